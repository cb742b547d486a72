//! What an adapter is, by the type it has in IANA's list (ifType-MIB) and by how its driver describes itself: most VPN
//! clients' adapters claim to be Ethernet.

use sentinel_model::InterfaceKind;

/// What drivers of tunnels have in their descriptions, in lower case.
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
/// What joins virtual machines or nothing at all, in lower case; or carries IPv6 across IPv4 without protecting it.
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

/// What an adapter with this IANA type and description is.
pub(super) fn kind(if_type: u32, description: &str) -> InterfaceKind {
    let description = description.to_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| description.contains(word));
    if if_type == 24 {
        return InterfaceKind::Loopback;
    }
    if names(&VIRTUAL) {
        return InterfaceKind::Virtual;
    }
    if names(&TUNNELS) {
        return InterfaceKind::Tunnel;
    }
    match if_type {
        // PPP, which is also how Windows' own VPN client shows; SLIP; a tunnel; the type that Wintun and WireGuard take.
        23 | 28 | 53 | 131 => InterfaceKind::Tunnel,
        // Ethernet in its forms, token ring, ATM, modem, radio, FireWire, mobile broadband.
        6 | 9 | 15 | 26 | 37 | 48 | 62 | 69 | 71 | 117 | 144 | 237 | 243 | 244 => InterfaceKind::Physical,
        _ => InterfaceKind::Virtual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind_of_all: InterfaceKind, adapters: &[(u32, &str)]) {
        for (if_type, description) in adapters {
            assert_eq!(kind(*if_type, description), kind_of_all, "{if_type} {description}");
        }
    }

    #[test]
    fn tunnels_are_known_by_type_and_by_description() {
        all(
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
    fn wires_and_radios_are_physical() {
        all(
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
    fn what_protects_nothing_is_no_tunnel() {
        all(
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
        all(InterfaceKind::Loopback, &[(24, "Software Loopback Interface 1")]);
    }
}
