//! What the caller configures once, at the start.

mod services;

use ipnet::IpNet;
use sentinel_model::Millis;
use serde::Deserialize;
pub use services::{ListedService, PortalService, ResolverService, Service, Services};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The configuration of the checks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Public services, and whether they may be contacted.
    pub services: Services,
    /// Names whose answers are compared between resolvers; at most 16 are used.
    pub panel: Vec<String>,
    /// Time limit of each single check.
    pub timeout: Millis,
    /// The user's own zones whose authoritative servers report who asked.
    ///
    /// They are used in addition to the canary zones of the user's nodes. No consent is needed,
    /// because no third party is involved.
    pub whoami_zones: Vec<WhoamiZone>,
    /// Destinations spread over the address space, whose routes are looked up.
    ///
    /// Nothing is sent to them except, where `past_tunnel` allows it, packets whose hop limit ends
    /// at the first routers.
    pub spread: Vec<IpAddr>,
    /// What may be sent past the tunnel.
    pub past_tunnel: PastTunnel,
    /// The tunnel's far end, if the user configured it; otherwise the system is asked.
    pub endpoint: Option<IpAddr>,
    /// Networks that are reached past the tunnel on purpose.
    ///
    /// A service there sees the home address, as intended, and is not asked for the exit.
    pub excluded: Vec<IpNet>,
    /// Ranges that do not count as public.
    ///
    /// A mapped address in one of them means that the witness was reached without crossing the
    /// internet, so it is not an exit. A laboratory whose internet consists of such ranges, or uses
    /// the loopback interface, passes a shorter list.
    pub bogons: Vec<IpNet>,
}

/// What the checks may send past a tunnel that is up, to see whether packets get out there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastTunnel {
    /// No packets.
    Off,
    /// Only packets that reveal nothing new.
    ///
    /// - Packets whose hop limit ends at the first routers, so that no host beyond them sees them.
    /// - Packets to the tunnel's far end, where the system's own routes to it lead past the tunnel.
    #[default]
    Quiet,
    /// Everything in [`PastTunnel::Quiet`], and packets that hosts outside the tunnel see.
    ///
    /// - DNS questions to the local gateway's resolver and to those DHCP offered.
    /// - Packets to the tunnel's far end, whatever the routes say.
    Full,
}

/// A zone whose authoritative server reports who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoamiZone {
    /// The zone or the fixed name.
    pub name: String,
    /// Which names the zone answers.
    pub kind: WhoamiKind,
}

/// Which names of a [`WhoamiZone`] are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoamiKind {
    /// Every name below the zone: a never-used label is asked, so no cache can answer.
    Canary,
    /// Only the name itself: a resolver may answer from its cache until the TTL expires.
    Fixed,
}

/// Returns the names whose answers are compared unless the user configured others.
///
/// They are run by different operators on networks of their own, and their addresses seldom change.
pub fn default_panel() -> Vec<String> {
    ["example.com", "www.wikipedia.org", "dns.google", "one.one.one.one", "www.debian.org"]
        .map(str::to_owned)
        .to_vec()
}

/// Returns the default destinations for route lookups, spread over the unicast address space.
///
/// For IPv4, one address in every eighth /8; for IPv6, one in each large block the registries
/// allocate from. Routes more specific than the tunnel's (DHCP option 121) show up here.
pub fn default_spread() -> Vec<IpAddr> {
    // None of these is in 10/8, 127/8, 169.254/16, 172.16/12 or 192.168/16.
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
