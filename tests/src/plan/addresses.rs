//! Addresses, ports and names of the lab.

use std::net::{Ipv4Addr, Ipv6Addr};

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident = $kind:ident($($part:expr),+);)*) => {
        $($(#[$doc])* pub const $name: $kind = $kind::new($($part),+);)*
    };
}

addresses! {
    /// The laptop on the home LAN.
    LAPTOP = Ipv4Addr(192, 168, 1, 2);
    /// The laptop on the home LAN, where it has IPv6.
    LAPTOP_V6 = Ipv6Addr(0x2001, 0xdb8, 0x51, 1, 0, 0, 0, 2);
    /// The home router on its LAN; also a forwarding resolver.
    ROUTER = Ipv4Addr(192, 168, 1, 1);
    /// The home router on its LAN, over IPv6.
    ROUTER_V6 = Ipv6Addr(0x2001, 0xdb8, 0x51, 1, 0, 0, 0, 1);
    /// The home line: the address that must not be visible while the laptop is protected.
    HOME = Ipv4Addr(198, 51, 100, 142);
    /// Example ISP's resolver.
    ISP_RESOLVER = Ipv4Addr(198, 51, 100, 53);
    /// Example VPN's WireGuard endpoint.
    VPN_ENDPOINT = Ipv4Addr(203, 0, 113, 10);
    /// The address from which Example VPN's resolver queries.
    VPN_RESOLVER_SOURCE = Ipv4Addr(203, 0, 113, 11);
    /// Example VPN's usual exit.
    VPN_EXIT = Ipv4Addr(203, 0, 113, 12);
    /// Example VPN's other exit.
    VPN_SECOND_EXIT = Ipv4Addr(203, 0, 113, 13);
    /// Example VPN's resolver, inside the tunnel.
    VPN_RESOLVER = Ipv4Addr(10, 64, 0, 1);
    /// The laptop inside Example VPN's tunnel.
    TUNNEL = Ipv4Addr(10, 64, 0, 2);
    /// Other VPN's WireGuard endpoint.
    OTHER_VPN_ENDPOINT = Ipv4Addr(198, 18, 20, 10);
    /// The address from which Other VPN's resolver queries.
    OTHER_VPN_RESOLVER_SOURCE = Ipv4Addr(198, 18, 20, 11);
    /// Other VPN's exit.
    OTHER_VPN_EXIT = Ipv4Addr(198, 18, 20, 12);
    /// Other VPN's resolver, inside its tunnel.
    OTHER_VPN_RESOLVER = Ipv4Addr(10, 65, 0, 1);
    /// The laptop inside Other VPN's tunnel.
    OTHER_TUNNEL = Ipv4Addr(10, 65, 0, 2);
    /// The public resolver.
    PUBLIC_RESOLVER = Ipv4Addr(198, 19, 8, 8);
    /// The authoritative server of the root and of every zone except the canary zone.
    ROOT_DNS = Ipv4Addr(198, 19, 53, 53);
    /// The public STUN server.
    STUN = Ipv4Addr(198, 19, 3, 3);
    /// The public STUN server over IPv6.
    STUN_V6 = Ipv6Addr(0x2001, 0xdb8, 0xc3, 0, 0, 0, 0, 3);
    /// The HTTPS echo service, which answers with the caller's address.
    ECHO = Ipv4Addr(198, 19, 4, 4);
    /// The HTTPS echo service over IPv6.
    ECHO_V6 = Ipv6Addr(0x2001, 0xdb8, 0xc4, 0, 0, 0, 0, 4);
    /// The second STUN server.
    SECOND_STUN = Ipv4Addr(198, 19, 13, 3);
    /// The third STUN server.
    THIRD_STUN = Ipv4Addr(198, 19, 23, 3);
    /// The second echo service.
    SECOND_ECHO = Ipv4Addr(198, 19, 14, 4);
    /// The third echo service.
    THIRD_ECHO = Ipv4Addr(198, 19, 24, 4);
    /// The second public resolver.
    SECOND_RESOLVER = Ipv4Addr(198, 19, 9, 9);
    /// The anycast resolver.
    ANYCAST_RESOLVER = Ipv4Addr(198, 19, 10, 10);
    /// The address from which the anycast resolver queries.
    ANYCAST_SOURCE = Ipv4Addr(198, 18, 31, 53);
    /// The address from which Example VPN's resolver queries if the provider has two ASNs.
    VPN_RESOLVER_ELSEWHERE = Ipv4Addr(198, 18, 40, 11);
    /// A TLS server whose certificate covers none of the panel's names.
    IMPOSTOR = Ipv4Addr(198, 18, 66, 66);
    /// The cloud's router on the VPS's network.
    CLOUD_ROUTER = Ipv4Addr(192, 0, 2, 1);
    /// The VPS with a public node.
    VPS = Ipv4Addr(192, 0, 2, 10);
    /// The VPS with a public node, over IPv6.
    VPS_V6 = Ipv6Addr(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10);
    /// The home server on its LAN.
    SERVER = Ipv4Addr(192, 168, 7, 2);
    /// The home server over IPv6.
    SERVER_V6 = Ipv6Addr(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 2);
    /// The second router on its LAN.
    SECOND_ROUTER = Ipv4Addr(192, 168, 7, 1);
    /// The second router on its LAN, over IPv6.
    SECOND_ROUTER_V6 = Ipv6Addr(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 1);
    /// The line of the home server, which is not the laptop's.
    SECOND_LINE = Ipv4Addr(198, 18, 5, 20);
    /// Example VPN's WireGuard endpoint over IPv6.
    VPN_ENDPOINT_V6 = Ipv6Addr(0x2001, 0xdb8, 0x56, 0, 0, 0, 0, 0x10);
    /// Example VPN's IPv6 exit.
    VPN_EXIT_V6 = Ipv6Addr(0x2001, 0xdb8, 0x56, 0, 0, 0, 0, 0x12);
    /// Example VPN's resolver inside the tunnel, over IPv6.
    VPN_RESOLVER_V6 = Ipv6Addr(0xfd00, 0x64, 0, 0, 0, 0, 0, 1);
    /// The laptop inside Example VPN's tunnel, over IPv6.
    TUNNEL_V6 = Ipv6Addr(0xfd00, 0x64, 0, 0, 0, 0, 0, 2);
    /// The café's router on its Wi-Fi.
    CAFE_ROUTER = Ipv4Addr(192, 168, 88, 1);
    /// The laptop on the café's Wi-Fi.
    LAPTOP_AT_CAFE = Ipv4Addr(192, 168, 88, 23);
    /// The café's line.
    CAFE = Ipv4Addr(198, 18, 30, 77);
    /// The router that reports a packet's expired time to live.
    BACKBONE = Ipv4Addr(198, 18, 0, 1);
    /// The router that reports a packet's exceeded hop limit.
    BACKBONE_V6 = Ipv6Addr(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
}

/// The WireGuard port of both VPN providers.
pub const WIREGUARD_PORT: u16 = 51_820;
/// The STUN port of the public server and of the nodes.
pub const STUN_PORT: u16 = 3478;
/// The port of every node's API, on its own loopback interface.
pub const API_PORT: u16 = 7466;
/// The port on which nodes accept each other's connections.
pub const SWARM_PORT: u16 = 7467;
/// The zone whose authoritative server is the VPS node.
pub const CANARY_ZONE: &str = "c.probe.example";
/// The host name of the captive portal's page.
pub const PORTAL_NAME: &str = "portal.hotel.example";
/// The host name of [`ECHO`].
pub const ECHO_NAME: &str = "echo.example";
/// The names that every resolver must answer alike, with their IPv4 and IPv6 addresses.
pub const PANEL: [(&str, &str, &str); 4] = [
    ("www.alpha.example", "198.19.60.1", "2001:db8:60::1"),
    ("www.beta.example", "198.19.60.2", "2001:db8:60::2"),
    ("www.gamma.example", "198.19.60.3", "2001:db8:60::3"),
    ("www.delta.example", "198.19.60.4", "2001:db8:60::4"),
];

/// The name of [`PUBLIC_RESOLVER`] in its certificate.
pub const PUBLIC_RESOLVER_NAME: &str = "dns.example";
/// The name in [`IMPOSTOR`]'s certificate.
pub const IMPOSTOR_NAME: &str = "www.impostor.example";
/// The names of the content network.
pub const CONTENT: [&str; 3] = ["www.stream.example", "www.shop.example", "www.news.example"];
/// The address range of the content network.
pub(crate) const CONTENT_PREFIX: &str = "198.19.61.0/24";
