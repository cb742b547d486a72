//! Classifies interfaces by their driver, whose name every interface name begins with.

use sentinel_model::InterfaceKind;

/// Tunnels of VPN clients (`utun`, `ipsec`, `ppp`, and `tun`, `tap` of older ones), and IP carried
/// in IP.
const TUNNELS: [&str; 7] = ["utun", "ipsec", "ppp", "tun", "tap", "gif", "stf"];
/// Ethernet and Wi-Fi (`en`, also for tethered phones), mobile broadband, and aggregated or tagged
/// links.
const PHYSICAL: [&str; 5] = ["en", "pdp_ip", "bond", "vlan", "fw"];

/// Returns the kind of the interface of this name.
///
/// Drivers that are not listed are virtual: bridges to virtual machines, AirDrop's Wi-Fi interfaces
/// (`awdl`, `llw`), and links to the machine's own coprocessors (`anpi`, `ap`).
pub(super) fn classify_interface(name: &str) -> InterfaceKind {
    let driver = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if driver == "lo" {
        InterfaceKind::Loopback
    } else if TUNNELS.contains(&driver) {
        InterfaceKind::Tunnel
    } else if PHYSICAL.contains(&driver) {
        InterfaceKind::Physical
    } else {
        InterfaceKind::Virtual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_physical_and_virtual_interfaces_are_distinguished() {
        for (kind, names) in [
            (InterfaceKind::Tunnel, ["utun4", "ipsec0", "ppp0", "tap1"]),
            (InterfaceKind::Physical, ["en0", "en12", "vlan0", "pdp_ip0"]),
            (InterfaceKind::Virtual, ["bridge100", "awdl0", "anpi0", "vmenet0"]),
            (InterfaceKind::Virtual, ["feth2391", "llw0", "ap1", "ent"]),
        ] {
            for name in names {
                assert_eq!(classify_interface(name), kind, "{name}");
            }
        }
        assert_eq!(classify_interface("lo0"), InterfaceKind::Loopback);
    }
}
