//! Classifies network adapters by their IANA type (`ifType`) and their driver's description.
//!
//! The type alone is insufficient: most VPN clients' adapters claim to be Ethernet.

use sentinel_model::InterfaceKind;

/// Parts of the descriptions of tunnel drivers, in lower case.
const TUNNELS: [&str; 14] = [
    "wireguard",
    "wintun",
    "tap-",
    "tap adapter",
    "openvpn",
    "vpn",
    "tunnel",
    "nordlynx",
    "anyconnect",
    "pangp",
    "juniper",
    "fortissl",
    "zerotier",
    "wan miniport",
];
/// Parts of the descriptions of virtual adapters, in lower case.
///
/// These connect virtual machines or nothing at all, or carry IPv6 over IPv4 without protecting it.
const VIRTUAL: [&str; 10] = [
    "hyper-v virtual ethernet",
    "virtualbox host-only",
    "vmware virtual ethernet",
    "wi-fi direct",
    "loopback",
    "kernel debug",
    "teredo",
    "isatap",
    "6to4",
    "ip-https",
];

/// Returns the kind of an adapter with this IANA type and description.
pub(super) fn classify_adapter(if_type: u32, description: &str) -> InterfaceKind {
    let description = description.to_lowercase();
    let contains_any = |words: &[&str]| words.iter().any(|word| description.contains(word));
    if if_type == 24 {
        return InterfaceKind::Loopback;
    }
    if contains_any(&VIRTUAL) {
        return InterfaceKind::Virtual;
    }
    if contains_any(&TUNNELS) {
        return InterfaceKind::Tunnel;
    }
    match if_type {
        // PPP (also used by Windows' own VPN client), SLIP, the type used by Wintun and WireGuard,
        // tunnel.
        23 | 28 | 53 | 131 => InterfaceKind::Tunnel,
        // Ethernet, token ring, ATM, modem, Wi-Fi, FireWire, mobile broadband.
        6 | 9 | 15 | 26 | 37 | 48 | 62 | 69 | 71 | 117 | 144 | 237 | 243 | 244 => InterfaceKind::Physical,
        _ => InterfaceKind::Virtual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_all(expected: InterfaceKind, adapters: &[(u32, &str)]) {
        for (if_type, description) in adapters {
            assert_eq!(classify_adapter(*if_type, description), expected, "{if_type} {description}");
        }
    }

    #[test]
    fn tunnels_are_recognised_by_type_and_by_description() {
        assert_all(
            InterfaceKind::Tunnel,
            &[
                (53, "WireGuard Tunnel"),
                (53, "Mullvad"),
                (53, "Wintun Userspace Tunnel"),
                (6, "TAP-Windows Adapter V9"),
                (6, "TAP-NordVPN Windows Adapter V9"),
                (53, "OpenVPN Data Channel Offload"),
                (6, "Cisco AnyConnect Virtual Miniport Adapter for Windows x64"),
                (6, "PANGP Virtual Ethernet Adapter Secure"),
                (23, "Work"),
                (131, "Some tunnel"),
            ],
        );
    }

    #[test]
    fn ethernet_and_wireless_adapters_are_physical() {
        assert_all(
            InterfaceKind::Physical,
            &[
                (6, "Intel(R) Ethernet Connection I219-LM"),
                (71, "Intel(R) Wi-Fi 6 AX201 160MHz"),
                (6, "Microsoft Hyper-V Network Adapter"),
                (6, "Bluetooth Device (Personal Area Network)"),
                (6, "Remote NDIS based Internet Sharing Device"),
                (243, "Quectel Wireless WWAN"),
            ],
        );
    }

    #[test]
    fn adapters_that_protect_nothing_are_not_tunnels() {
        assert_all(
            InterfaceKind::Virtual,
            &[
                (131, "Microsoft Teredo Tunneling Adapter"),
                (131, "Microsoft ISATAP Adapter"),
                (6, "Hyper-V Virtual Ethernet Adapter"),
                (6, "VirtualBox Host-Only Ethernet Adapter"),
                (71, "Microsoft Wi-Fi Direct Virtual Adapter #2"),
                (6, "Microsoft KM-TEST Loopback Adapter"),
                (1, "Something new"),
            ],
        );
        assert_all(InterfaceKind::Loopback, &[(24, "Software Loopback Interface 1")]);
    }
}
