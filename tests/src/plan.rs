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
//!
//! What only some stories need is an [`Extra`].

use crate::internet::Conditions;
use anyhow::{Context, Result};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What a world can have beyond the standard one: `with = ["services"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extra {
    /// Two more STUN servers and two more HTTPS echo services, each in a network of its own.
    Services,
    /// A TLS server with a valid certificate at every address of the [`PANEL`], and one elsewhere that is no such server.
    Websites,
    /// A second public resolver, of another operator, which the home server asks.
    SecondResolver,
    /// The public resolver speaks DNS over TLS and over HTTPS, and the laptop's node is told so.
    EncryptedDns,
    /// Names of a content network, for which every resolver is given another server.
    ContentNetwork,
    /// A public resolver that asks from another operator's network in another country.
    AnycastResolver,
    /// Example VPN's resolver asks from another AS than its exits are in.
    SplitProvider,
    /// The laptop has a second routing table with the way past the tunnel. Without a rule nobody looks there.
    SecondTable,
}

/// The extras of one world.
pub type Extras = BTreeSet<Extra>;

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
    /// The resolver with one address for many places.
    ANYCAST_RESOLVER = Ipv4Addr(198, 19, 10, 10);
    /// Where that one asks from.
    ANYCAST_SOURCE = Ipv4Addr(198, 18, 31, 53);
    /// Where Example VPN's resolver asks from if the provider is split.
    VPN_RESOLVER_ELSEWHERE = Ipv4Addr(198, 18, 40, 11);
    /// A TLS server whose certificate is for none of the panel's names.
    IMPOSTOR = Ipv4Addr(198, 18, 66, 66);
    /// The cloud's router on the VPS's network.
    CLOUD_ROUTER = Ipv4Addr(192, 0, 2, 1);
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

/// The name of [`PUBLIC_RESOLVER`] in its certificate.
pub const PUBLIC_RESOLVER_NAME: &str = "dns.example";
/// The name [`IMPOSTOR`]'s certificate is for.
pub const IMPOSTOR_NAME: &str = "www.impostor.example";
/// The names of the content network.
pub const CONTENT: [&str; 3] = ["www.stream.example", "www.shop.example", "www.news.example"];
/// The content network.
pub(crate) const CONTENT_PREFIX: &str = "198.19.61.0/24";

/// The content network's server for a name of [`CONTENT`], as a resolver is told that asks from this address. Different
/// sources in this plan have different servers.
pub(crate) fn content_server(name: usize, source: Ipv4Addr) -> Ipv4Addr {
    let place = match source {
        ISP_RESOLVER => 16,
        PUBLIC_RESOLVER => 32,
        SECOND_RESOLVER => 48,
        ANYCAST_SOURCE => 64,
        OTHER_VPN_RESOLVER_SOURCE => 80,
        _ => 96,
    };
    Ipv4Addr::new(198, 19, 61, u8::try_from(name).unwrap_or(u8::MAX - place).saturating_add(place + 1))
}

/// The public STUN servers of a world: host and address.
pub(crate) fn stun_servers(with: &Extras) -> Vec<(&'static str, Vec<IpAddr>)> {
    let mut all = vec![("stun", vec![STUN.into(), STUN_V6.into()])];
    if with.contains(&Extra::Services) {
        all.extend([("stun-2", vec![SECOND_STUN.into()]), ("stun-3", vec![THIRD_STUN.into()])]);
    }
    all
}

/// The HTTPS echo services of a world: host and addresses. `<host>.example` is the name.
pub(crate) fn echo_services(with: &Extras) -> Vec<(&'static str, Vec<IpAddr>)> {
    let mut all = vec![("echo", vec![ECHO.into(), ECHO_V6.into()])];
    if with.contains(&Extra::Services) {
        all.extend([("echo-2", vec![SECOND_ECHO.into()]), ("echo-3", vec![THIRD_ECHO.into()])]);
    }
    all
}

/// The public resolvers of a world that the laptop's node knows: host and address.
pub(crate) fn public_resolvers(with: &Extras) -> Vec<(&'static str, Ipv4Addr)> {
    let mut all = vec![("public-dns", PUBLIC_RESOLVER)];
    if with.contains(&Extra::SecondResolver) {
        all.push(("second-dns", SECOND_RESOLVER));
    }
    if with.contains(&Extra::AnycastResolver) {
        all.push(("anycast-dns", ANYCAST_RESOLVER));
    }
    all
}

/// What a node other than the laptop's asks for names.
pub(crate) fn resolver_of(node: &str, with: &Extras) -> Ipv4Addr {
    if node == "home-server" && with.contains(&Extra::SecondResolver) {
        SECOND_RESOLVER
    } else {
        PUBLIC_RESOLVER
    }
}

/// The names the nodes compare.
pub(crate) fn panel(with: &Extras) -> Vec<&'static str> {
    if with.contains(&Extra::ContentNetwork) {
        return CONTENT.to_vec();
    }
    PANEL.iter().map(|(name, _, _)| *name).collect()
}

/// Whether there are websites.
pub(crate) fn has_websites(with: &Extras) -> bool {
    with.contains(&Extra::Websites) || with.contains(&Extra::ContentNetwork)
}

/// Every host of a world.
pub(crate) fn hosts(with: &Extras) -> Vec<&'static str> {
    let mut all = HOSTS.to_vec();
    all.extend(extra_attachments(with).iter().map(|attachment| attachment.host));
    all
}

/// Every host of the standard world.
const HOSTS: [&str; 14] = [
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

fn attachment(
    host: &'static str,
    microseconds: u64,
    addresses: &[IpAddr],
    prefixes: &[&'static str],
) -> Attachment {
    let conditions = Conditions::delayed(microseconds);
    Attachment { host, addresses: addresses.to_vec(), prefixes: prefixes.to_vec(), conditions }
}

/// The attached hosts of a world.
pub(crate) fn attachments(with: &Extras) -> Vec<Attachment> {
    let mut all = standard_attachments();
    if with.contains(&Extra::SplitProvider) {
        for vpn in all.iter_mut().filter(|attachment| attachment.host == "vpn") {
            vpn.addresses.push(VPN_RESOLVER_ELSEWHERE.into());
        }
    }
    all.extend(extra_attachments(with));
    all
}

/// The hosts only some worlds have. All of them are attached.
fn extra_attachments(with: &Extras) -> Vec<Attachment> {
    let services = stun_servers(with)
        .into_iter()
        .chain(echo_services(with))
        .map(|(host, addresses)| (host, addresses, 5000));
    let resolvers = public_resolvers(with).into_iter().map(|(host, address)| {
        let mut addresses = vec![address.into()];
        if address == ANYCAST_RESOLVER {
            addresses.push(ANYCAST_SOURCE.into());
        }
        (host, addresses, 2000)
    });
    let extra = services.chain(resolvers).filter(|(host, ..)| !HOSTS.contains(host));
    let mut all: Vec<_> = extra
        .map(|(host, addresses, microseconds)| attachment(host, microseconds, &addresses, &[]))
        .collect();
    if has_websites(with) {
        all.push(attachment("web", 3000, &[IMPOSTOR.into()], &["198.19.60.0/24", CONTENT_PREFIX]));
    }
    all
}

fn standard_attachments() -> Vec<Attachment> {
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
    let attachments = standard_attachments();
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
pub(crate) const NETWORKS: [(&str, u32, &str, &str); 29] = [
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
    ("198.19.13.0/24", 64541, "Second STUN", "Netherlands"),
    ("198.19.23.0/24", 64542, "Third STUN", "Finland"),
    ("198.19.14.0/24", 64551, "Second Echo", "France"),
    ("198.19.24.0/24", 64552, "Third Echo", "Finland"),
    ("198.19.9.0/24", 64531, "Second DNS", "Switzerland"),
    ("198.19.10.0/24", 64532, "Anycast DNS", "Germany"),
    ("198.18.31.0/24", 64533, "Anycast DNS Asia", "Singapore"),
    ("198.18.40.0/24", 64511, "Example VPN Servers", "Iceland"),
    ("198.18.66.0/24", 64599, "Elsewhere", "Panama"),
    ("198.19.61.0/24", 64581, "Content Network", "Germany"),
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
