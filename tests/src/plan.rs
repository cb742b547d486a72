//! Who lives where in the standard world. All addresses are from the documentation and benchmarking ranges.
//!
//! ```text
//! laptop ── home-router ──┐                        ┌── vpn          Example VPN: WireGuard, resolver, exits
//! 192.168.1.2   NAT       │                        ├── other-vpn    Other VPN: the same again
//! (roams to) cafe-router ─┤                        ├── isp          Example ISP's resolver
//!                         ├── Internet (internet) ─┼── public-dns   a public resolver
//! home-server ─ second-  ─┤                        ├── root-dns     the authoritative server of everything
//! 192.168.7.2   router    │                        ├── stun         a public STUN server
//!               NAT       │                        └── echo         an HTTPS service that answers with the caller
//! vps ───────── cloud ────┘
//! 192.0.2.10    router
//! ```

use crate::internet::Conditions;
use anyhow::{Context, Result};
use sentinel_model::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident = $kind:ident($($part:expr),+);)*) => {
        $($(#[$doc])* pub const $name: $kind = $kind::new($($part),+);)*
    };
}

addresses! {
    /// The laptop on the home LAN.
    LAPTOP = Ipv4Addr(192, 168, 1, 2);
    /// The laptop on the home LAN, once IPv6 is there.
    LAPTOP_V6 = Ipv6Addr(0x2001, 0xdb8, 0x51, 1, 0, 0, 0, 2);
    /// The home router on its LAN; also a forwarding resolver.
    ROUTER = Ipv4Addr(192, 168, 1, 1);
    /// The home router on its LAN.
    ROUTER_V6 = Ipv6Addr(0x2001, 0xdb8, 0x51, 1, 0, 0, 0, 1);
    /// The home line: what must never be seen while protected.
    HOME = Ipv4Addr(198, 51, 100, 142);
    /// Example ISP's resolver.
    ISP_RESOLVER = Ipv4Addr(198, 51, 100, 53);
    /// Example VPN's WireGuard endpoint.
    VPN_ENDPOINT = Ipv4Addr(203, 0, 113, 10);
    /// Where Example VPN's resolver asks from.
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
    /// Where Other VPN's resolver asks from.
    OTHER_VPN_RESOLVER_SOURCE = Ipv4Addr(198, 18, 20, 11);
    /// Other VPN's exit.
    OTHER_VPN_EXIT = Ipv4Addr(198, 18, 20, 12);
    /// Other VPN's resolver, inside its tunnel.
    OTHER_VPN_RESOLVER = Ipv4Addr(10, 65, 0, 1);
    /// The laptop inside Other VPN's tunnel.
    OTHER_TUNNEL = Ipv4Addr(10, 65, 0, 2);
    /// The public resolver.
    PUBLIC_RESOLVER = Ipv4Addr(198, 19, 8, 8);
    /// The authoritative server of the root and of every name but the canary's.
    ROOT_DNS = Ipv4Addr(198, 19, 53, 53);
    /// The public STUN server.
    STUN = Ipv4Addr(198, 19, 3, 3);
    /// The public STUN server.
    STUN_V6 = Ipv6Addr(0x2001, 0xdb8, 0xc3, 0, 0, 0, 0, 3);
    /// The HTTPS service that answers with the caller's address.
    ECHO = Ipv4Addr(198, 19, 4, 4);
    /// The HTTPS service that answers with the caller's address.
    ECHO_V6 = Ipv6Addr(0x2001, 0xdb8, 0xc4, 0, 0, 0, 0, 4);
    /// The VPS with a public node.
    VPS = Ipv4Addr(192, 0, 2, 10);
    /// The VPS with a public node.
    VPS_V6 = Ipv6Addr(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10);
    /// The home server on its LAN.
    SERVER = Ipv4Addr(192, 168, 7, 2);
    /// The home server.
    SERVER_V6 = Ipv6Addr(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 2);
    /// The second router on its LAN.
    SECOND_ROUTER = Ipv4Addr(192, 168, 7, 1);
    /// The second router on its LAN.
    SECOND_ROUTER_V6 = Ipv6Addr(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 1);
    /// The line the home server sits on; a different one from the laptop's.
    SECOND_LINE = Ipv4Addr(198, 18, 5, 20);
    /// Example VPN's WireGuard endpoint.
    VPN_ENDPOINT_V6 = Ipv6Addr(0x2001, 0xdb8, 0x56, 0, 0, 0, 0, 0x10);
    /// Example VPN's IPv6 exit.
    VPN_EXIT_V6 = Ipv6Addr(0x2001, 0xdb8, 0x56, 0, 0, 0, 0, 0x12);
    /// Example VPN's resolver, inside the tunnel.
    VPN_RESOLVER_V6 = Ipv6Addr(0xfd00, 0x64, 0, 0, 0, 0, 0, 1);
    /// The laptop inside Example VPN's tunnel.
    TUNNEL_V6 = Ipv6Addr(0xfd00, 0x64, 0, 0, 0, 0, 0, 2);
    /// The café's router on its Wi-Fi.
    CAFE_ROUTER = Ipv4Addr(192, 168, 88, 1);
    /// The laptop on the café's Wi-Fi.
    LAPTOP_AT_CAFE = Ipv4Addr(192, 168, 88, 23);
    /// The café's line.
    CAFE = Ipv4Addr(198, 18, 30, 77);
    /// Who says that a packet's time to live is over.
    BACKBONE = Ipv4Addr(198, 18, 0, 1);
    /// Who says that a packet's hop limit is reached.
    BACKBONE_V6 = Ipv6Addr(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
}

/// The WireGuard port of both providers.
pub const WIREGUARD_PORT: u16 = 51_820;
/// The STUN port of the public server and of the nodes.
pub const STUN_PORT: u16 = 3478;
/// Where every node's API listens, on its own loopback.
pub const API_PORT: u16 = 7466;
/// Where nodes listen for one another.
pub const SWARM_PORT: u16 = 7467;
/// The zone whose authoritative server is the VPS node.
pub const CANARY_ZONE: &str = "c.probe.example";
/// The host name of the captive portal's page.
pub const PORTAL_NAME: &str = "portal.hotel.example";
/// The host name of [`ECHO`].
pub const ECHO_NAME: &str = "echo.example";
/// Names everybody must resolve alike, with their addresses.
pub const PANEL: [(&str, &str, &str); 4] = [
    ("www.alpha.example", "198.19.60.1", "2001:db8:60::1"),
    ("www.beta.example", "198.19.60.2", "2001:db8:60::2"),
    ("www.gamma.example", "198.19.60.3", "2001:db8:60::3"),
    ("www.delta.example", "198.19.60.4", "2001:db8:60::4"),
];

/// Every host.
pub(crate) const HOSTS: [&str; 14] = [
    "laptop",
    "home-router",
    "cafe-router",
    "isp",
    "vpn",
    "other-vpn",
    "public-dns",
    "root-dns",
    "stun",
    "echo",
    "cloud",
    "vps",
    "second-router",
    "home-server",
];

/// A host with a link to the Internet.
pub(crate) struct Attachment {
    pub(crate) host: &'static str,
    /// Its own addresses on the link, the preferred source first.
    pub(crate) addresses: Vec<IpAddr>,
    /// What else the Internet sends its way.
    pub(crate) prefixes: Vec<&'static str>,
    /// One way. laptop to vps: directly 2 × (4 + 3.5) = 15 ms there and back, through the tunnel
    /// 2 × (4 + 6.25 + 6.25 + 3.5) = 40 ms.
    pub(crate) conditions: Conditions,
}

/// The attached hosts.
pub(crate) fn attachments() -> Vec<Attachment> {
    let attachment = |host, microseconds, addresses: &[IpAddr], prefixes: &[&'static str]| Attachment {
        host,
        addresses: addresses.to_vec(),
        prefixes: prefixes.to_vec(),
        conditions: Conditions::delayed(microseconds),
    };
    vec![
        attachment("home-router", 4000, &[HOME.into(), v6("2001:db8:51::1")], &["2001:db8:51::/56"]),
        attachment("cafe-router", 5000, &[CAFE.into()], &[]),
        attachment("isp", 1000, &[ISP_RESOLVER.into()], &[]),
        attachment(
            "vpn",
            6250,
            &[
                VPN_ENDPOINT.into(),
                VPN_RESOLVER_SOURCE.into(),
                VPN_EXIT.into(),
                VPN_SECOND_EXIT.into(),
                VPN_ENDPOINT_V6.into(),
                VPN_EXIT_V6.into(),
            ],
            &["203.0.113.0/24", "2001:db8:56::/48"],
        ),
        attachment(
            "other-vpn",
            8000,
            &[OTHER_VPN_ENDPOINT.into(), OTHER_VPN_RESOLVER_SOURCE.into(), OTHER_VPN_EXIT.into()],
            &["198.18.20.0/24"],
        ),
        attachment("public-dns", 2000, &[PUBLIC_RESOLVER.into()], &[]),
        attachment("root-dns", 2000, &[ROOT_DNS.into()], &[]),
        attachment("stun", 5000, &[STUN.into(), STUN_V6.into()], &[]),
        attachment("echo", 5000, &[ECHO.into(), ECHO_V6.into()], &[]),
        attachment(
            "cloud",
            3500,
            &[Ipv4Addr::new(192, 0, 2, 2).into(), v6("2001:db8:a:ffff::2")],
            &["192.0.2.0/24", "2001:db8:a::/48"],
        ),
        attachment("second-router", 6000, &[SECOND_LINE.into(), v6("2001:db8:b::1")], &["2001:db8:b::/56"]),
    ]
}

/// How long a packet through Example VPN's tunnel takes from the laptop to a host and back, where that host is attached to
/// the Internet by itself; the VPN's own resolver is at the tunnel's far end.
pub fn tunnel_round_trip(host: &str) -> Option<std::time::Duration> {
    let attachments = attachments();
    let host = if host == "vps" { "cloud" } else { host };
    let delay = |name| Some(attachments.iter().find(|known| known.host == name)?.conditions.delay);
    let tunnel = delay("home-router")? + delay("vpn")?;
    let beyond = if host == "vpn" { std::time::Duration::ZERO } else { delay("vpn")? + delay(host)? };
    Some(2 * (tunnel + beyond))
}

/// The constants in this file are well-formed.
#[allow(clippy::expect_used)]
fn v6(text: &str) -> IpAddr {
    text.parse().expect("a constant address")
}

/// Who owns what, as a node's configuration says it: prefix, AS, operator, country.
pub(crate) const NETWORKS: [(&str, u32, &str, &str); 19] = [
    ("198.51.100.0/24", 64500, "Example ISP", "Germany"),
    ("2001:db8:51::/48", 64500, "Example ISP", "Germany"),
    ("203.0.113.0/24", 64510, "Example VPN", "Sweden"),
    ("2001:db8:56::/48", 64510, "Example VPN", "Sweden"),
    ("198.18.30.0/24", 64575, "Café Telecom", "Denmark"),
    ("198.18.20.0/24", 64520, "Other VPN", "Netherlands"),
    ("198.19.8.0/24", 64530, "Public DNS", "Germany"),
    ("198.19.53.0/24", 64535, "Root Servers", "Germany"),
    ("198.19.3.0/24", 64540, "Example STUN", "France"),
    ("2001:db8:c3::/48", 64540, "Example STUN", "France"),
    ("198.19.4.0/24", 64550, "Example Echo", "Ireland"),
    ("2001:db8:c4::/48", 64550, "Example Echo", "Ireland"),
    ("192.0.2.0/24", 64560, "Example Cloud", "Germany"),
    ("2001:db8:a::/48", 64560, "Example Cloud", "Germany"),
    ("198.18.5.0/24", 64570, "Second ISP", "Austria"),
    ("2001:db8:b::/48", 64570, "Second ISP", "Austria"),
    ("198.19.60.0/24", 64580, "Example Hosting", "Germany"),
    ("2001:db8:60::/48", 64580, "Example Hosting", "Germany"),
    ("198.19.0.0/16", 64590, "Example Transit", "Germany"),
];

/// What the nodes must not take for public addresses; the documentation ranges are public here.
pub(crate) const BOGONS: [&str; 10] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Parses a prefix of this plan.
pub(crate) fn prefix(text: &str) -> Result<IpNet> {
    text.parse().with_context(|| format!("{text} is no prefix"))
}
