//! What an interface is, by the name its driver gave it, which is how macOS tells them apart.

use sentinel_model::InterfaceKind;

/// Tunnels of VPN clients (`utun`, `ipsec`, `ppp`, and `tun`, `tap` of older ones), and IP carried in IP.
const TUNNELS: [&str; 7] = ["utun", "ipsec", "ppp", "tun", "tap", "gif", "stf"];
/// Wires and radios (`en`, also for tethered telephones), mobile broadband, and the ways to share or bundle one.
const PHYSICAL: [&str; 5] = ["en", "pdp_ip", "bond", "vlan", "fw"];

/// What the interface of this name is. All that is neither listed here is virtual: bridges to virtual machines,
/// AirDrop's radio (`awdl`, `llw`), the links to the machine's own coprocessors (`anpi`, `ap`).
pub(super) fn kind(name: &str) -> InterfaceKind {
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
    fn names_tell_tunnels_wires_and_the_rest_apart() {
        for (kind_of_all, names) in [
            (InterfaceKind::Tunnel, ["utun4", "ipsec0", "ppp0", "tap1"]),
            (InterfaceKind::Physical, ["en0", "en12", "vlan0", "pdp_ip0"]),
            (InterfaceKind::Virtual, ["bridge100", "awdl0", "anpi0", "vmenet0"]),
            (InterfaceKind::Virtual, ["feth2391", "llw0", "ap1", "ent"]),
        ] {
            for name in names {
                assert_eq!(kind(name), kind_of_all, "{name}");
            }
        }
        assert_eq!(kind("lo0"), InterfaceKind::Loopback);
    }
}
