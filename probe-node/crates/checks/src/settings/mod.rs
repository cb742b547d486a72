//! What the checks are told once, at the start.

mod services;

use ipnet::IpNet;
use sentinel_model::Millis;
use serde::Deserialize;
pub use services::{ListedService, PortalService, ResolverService, Service, Services};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the checks are told once, at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Public services, and whether they may be contacted.
    pub services: Services,
    /// Names whose answers are compared between resolvers; at most 16 are used.
    pub panel: Vec<String>,
    /// How long each single check may take.
    pub timeout: Millis,
    /// Zones of the user's own whose authoritative servers tell who asked, besides those of the swarm's nodes. Asked
    /// without consent, since they are nobody else's.
    pub whoami_zones: Vec<WhoamiZone>,
    /// Destinations spread over the address space, whose routes are looked up. Nothing is sent to them, but for packets
    /// that die on the way where `past_tunnel` allows it.
    pub spread: Vec<IpAddr>,
    /// What may be sent past the tunnel.
    pub past_tunnel: PastTunnel,
    /// The tunnel's far end, where the user said; else the system is asked.
    pub endpoint: Option<IpAddr>,
    /// Networks that are reached past the tunnel on purpose. Whoever sits there sees the home line, as it should, and is
    /// not asked for the exit.
    pub excluded: Vec<IpNet>,
    /// Ranges that do not count as public. A mapped address in one of them means that the witness was reached without
    /// crossing the internet, so it is no exit. A laboratory whose internet is made of such ranges, or one on the
    /// loopback interface, passes a shorter list.
    pub bogons: Vec<IpNet>,
}

/// What the checks may send past a tunnel that is up, to see whether the way is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastTunnel {
    /// Never a packet.
    Off,
    /// Only packets that die at the first routers, so that nobody beyond them sees anything; and to the tunnel's far
    /// end, where the system's own routes lead there past the tunnel.
    #[default]
    Quiet,
    /// Also real questions to the resolvers of the local gateway and of DHCP, and to the tunnel's far end whatever the
    /// routes say.
    Full,
}

/// A zone whose authoritative server tells who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoamiZone {
    /// The zone or the fixed name.
    pub name: String,
    /// How it is asked.
    pub kind: WhoamiKind,
}

/// How a zone that tells who asked is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoamiKind {
    /// Every name under it is answered: a never-used label is asked, so no cache can answer.
    Canary,
    /// Only the name itself is answered; a resolver may answer from its cache for as long as the TTL says.
    Fixed,
}

/// Names whose answers are compared unless the user chose others: operated by different companies on networks of
/// their own, with addresses that seldom change.
pub fn default_panel() -> Vec<String> {
    ["example.com", "www.wikipedia.org", "dns.google", "one.one.one.one", "www.debian.org"]
        .map(str::to_owned)
        .to_vec()
}

/// Destinations for route look-ups: one in every eighth of the first octet of IPv4's unicast space, and one in each
/// large block that is handed out of IPv6's. Routes more specific than the tunnel's (DHCP option 121) show here.
pub fn default_spread() -> Vec<IpAddr> {
    // Not 10, 127 or 169.254, 172.16 and 192.168, which lie in none of these.
    let v4 = (1..=217_u8).step_by(8).map(|first| IpAddr::V4(Ipv4Addr::new(first, 96, 7, 11)));
    let v6 = [
        0x2001_0200,
        0x2001_4860,
        0x2400_cb00,
        0x2600_1f00,
        0x2606_4700,
        0x2800_03f0,
        0x2a00_1450,
        0x2c0f_fb50_u32,
    ]
    .map(|top| IpAddr::V6(Ipv6Addr::from_bits((u128::from(top) << 96) | 0x11)));
    v4.chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_lies_in_global_unicast_space_in_both_families() {
        let spread = default_spread();
        assert_eq!(spread.iter().filter(|address| address.is_ipv4()).count(), 28);
        assert_eq!(spread.iter().filter(|address| address.is_ipv6()).count(), 8);
        for address in spread {
            match address {
                IpAddr::V4(v4) => {
                    assert!(!v4.is_private() && !v4.is_loopback() && !v4.is_multicast(), "{v4}");
                }
                IpAddr::V6(v6) => assert_eq!(v6.segments()[0] >> 13, 1, "{v6} is outside 2000::/3"),
            }
        }
    }
}
