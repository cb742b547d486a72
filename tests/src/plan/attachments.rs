//! The hosts of a world and their links to the Internet.

use super::{
    addresses::{
        ANYCAST_RESOLVER, ANYCAST_SOURCE, CAFE, CONTENT_PREFIX, ECHO, ECHO_V6, HOME, IMPOSTOR, ISP_RESOLVER,
        OTHER_VPN_ENDPOINT, OTHER_VPN_EXIT, OTHER_VPN_RESOLVER_SOURCE, PUBLIC_RESOLVER, ROOT_DNS,
        SECOND_LINE, STUN, STUN_V6, VPN_ENDPOINT, VPN_ENDPOINT_V6, VPN_EXIT, VPN_EXIT_V6,
        VPN_RESOLVER_ELSEWHERE, VPN_RESOLVER_SOURCE, VPN_SECOND_EXIT,
    },
    extras::{Extra, Extras},
    services::{echo_services, has_websites, public_resolvers, stun_servers},
};
use crate::internet::Conditions;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Returns the names of all hosts of a world.
pub(crate) fn list_hosts(with: &Extras) -> Vec<&'static str> {
    let mut all = HOSTS.to_vec();
    all.extend(extra_attachments(with).iter().map(|attachment| attachment.host));
    all
}

/// The hosts of the standard world.
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

/// A host with a link to the Internet, and the addresses reached through it.
pub(crate) struct Attachment {
    pub(crate) host: &'static str,
    /// The host's own addresses on the link, the preferred source first.
    pub(crate) addresses: Vec<IpAddr>,
    /// Further prefixes that the Internet routes to the host.
    pub(crate) prefixes: Vec<&'static str>,
    /// The link's conditions, in each direction.
    ///
    /// The delays add up to these round trips from laptop to vps: directly 2 × (4 + 3.5) = 15 ms,
    /// through the tunnel 2 × (4 + 6.25 + 6.25 + 3.5) = 40 ms.
    pub(crate) conditions: Conditions,
}

fn attach(
    host: &'static str,
    microseconds: u64,
    addresses: &[IpAddr],
    prefixes: &[&'static str],
) -> Attachment {
    let conditions = Conditions::delayed(microseconds);
    Attachment { host, addresses: addresses.to_vec(), prefixes: prefixes.to_vec(), conditions }
}

/// Returns the attached hosts of a world.
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

/// Returns the hosts that only some worlds have. All of them are attached to the Internet.
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
    let mut all: Vec<_> =
        extra.map(|(host, addresses, microseconds)| attach(host, microseconds, &addresses, &[])).collect();
    if has_websites(with) {
        all.push(attach("web", 3000, &[IMPOSTOR.into()], &["198.19.60.0/24", CONTENT_PREFIX]));
    }
    all
}

fn standard_attachments() -> Vec<Attachment> {
    vec![
        attach("home-router", 4000, &[HOME.into(), v6("2001:db8:51::1")], &["2001:db8:51::/56"]),
        attach("cafe-router", 5000, &[CAFE.into()], &[]),
        attach("isp", 1000, &[ISP_RESOLVER.into()], &[]),
        attach(
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
        attach(
            "other-vpn",
            8000,
            &[OTHER_VPN_ENDPOINT.into(), OTHER_VPN_RESOLVER_SOURCE.into(), OTHER_VPN_EXIT.into()],
            &["198.18.20.0/24"],
        ),
        attach("public-dns", 2000, &[PUBLIC_RESOLVER.into()], &[]),
        attach("root-dns", 2000, &[ROOT_DNS.into()], &[]),
        attach("stun", 5000, &[STUN.into(), STUN_V6.into()], &[]),
        attach("echo", 5000, &[ECHO.into(), ECHO_V6.into()], &[]),
        attach(
            "cloud",
            3500,
            &[Ipv4Addr::new(192, 0, 2, 2).into(), v6("2001:db8:a:ffff::2")],
            &["192.0.2.0/24", "2001:db8:a::/48"],
        ),
        attach("second-router", 6000, &[SECOND_LINE.into(), v6("2001:db8:b::1")], &["2001:db8:b::/56"]),
    ]
}

/// Returns the round trip from the laptop to an attached host through Example VPN's tunnel.
///
/// `vpn` stands for the VPN's own resolver, at the far end of the tunnel. `vps` is reached through
/// its router. Returns `None` for a host that is not attached in the standard world.
pub fn tunnel_round_trip(host: &str) -> Option<Duration> {
    let attachments = standard_attachments();
    let host = if host == "vps" { "cloud" } else { host };
    let delay = |name| Some(attachments.iter().find(|attachment| attachment.host == name)?.conditions.delay);
    let tunnel = delay("home-router")? + delay("vpn")?;
    let beyond = if host == "vpn" { Duration::ZERO } else { delay("vpn")? + delay(host)? };
    Some(2 * (tunnel + beyond))
}

/// Parses an IPv6 constant of this file, all of which are well-formed.
#[allow(clippy::expect_used)]
fn v6(text: &str) -> IpAddr {
    text.parse().expect("a constant address")
}
