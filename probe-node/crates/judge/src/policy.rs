//! What the user stated: home, expectation, thresholds, rules.
//!
//! Everything the judge does follows from this and from the observations.

use crate::{alerts::default_rules, latency::Params};
use sentinel_model::{Expectation, Home, IpNet, Millis, NetworkKey, Rule, UtcOffset, is_within};
use serde::Deserialize;
use std::net::IpAddr;

/// The user's statements and settings that the judge follows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What identifies the unprotected connection.
    pub home: Home,
    /// What protected means beyond "not home".
    pub expectation: Expectation,
    /// The numbers the judge works with.
    pub thresholds: Thresholds,
    /// Which findings become incidents, and when.
    pub rules: Vec<Rule>,
    /// Ranges outside the public internet.
    ///
    /// A name that resolves to such an address does not resolve, and a voice that saw one did not
    /// see this machine across the internet.
    pub bogons: Vec<IpNet>,
    /// The node's local offset from UTC, for the times in sentences.
    pub offset: UtcOffset,
    /// Whether a tunnel was in use before this start.
    ///
    /// If so, its absence is a loss and not a VPN that was never on.
    pub own_tunnel_known: bool,
    /// Whether the user agreed that public services may be asked.
    pub consent: bool,
    /// Whether packets may be sent past the tunnel to test whether anything gets out there.
    pub tests_past_tunnel: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            home: Home::default(),
            expectation: Expectation::default(),
            thresholds: Thresholds::default(),
            rules: default_rules(),
            bogons: default_bogons(),
            offset: UtcOffset::default(),
            own_tunnel_known: false,
            consent: false,
            tests_past_tunnel: true,
        }
    }
}

impl Policy {
    /// Returns true if an address is outside the public internet.
    pub fn is_bogon(&self, address: IpAddr) -> bool {
        is_within(address, &self.bogons)
    }

    /// Returns true if a voice is in a network that may be reached outside the tunnel.
    pub(crate) fn excludes_voice(&self, network: NetworkKey) -> bool {
        match network {
            NetworkKey::Prefix(of_voice) => {
                self.expectation.excluded.iter().any(|excluded| excluded.contains(&of_voice))
            }
            NetworkKey::Asn(_) | NetworkKey::Named(_) => false,
        }
    }

    /// Returns true if the user stated what a protected machine must meet, or a tunnel is known
    /// from before.
    pub(crate) fn expects_something(&self) -> bool {
        self.own_tunnel_known || self.states_protection()
    }

    /// Returns true if the user stated what a protected machine must meet.
    ///
    /// Excluded networks and programs, the far end and the kill switch only say how to measure.
    /// What is left is enough to notice a loss by, but not to confirm an exit: resolvers and a
    /// blocked IPv6 say nothing about where the exit is.
    fn states_protection(&self) -> bool {
        let stated = &self.expectation;
        let how_to_measure = Expectation {
            excluded: stated.excluded.clone(),
            excluded_programs: stated.excluded_programs.clone(),
            strict_programs: stated.strict_programs,
            endpoint: stated.endpoint,
            kill_switch: stated.kill_switch,
            ..Expectation::default()
        };
        *stated != how_to_measure
    }
}

/// What a moved exit means to the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitChange {
    /// Nothing: exits come and go.
    Ignore,
    /// Another address is information; another operator is a warning.
    #[default]
    Inform,
    /// It must not happen.
    ///
    /// Another operator is critical until it is acknowledged or undone; another address is a
    /// warning, and the new normal after a while.
    Alarm,
}

/// The numbers the judge works with.
///
/// The defaults suit a beacon every second and a round every 30 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// How long a beacon's report counts.
    ///
    /// At least three beacon periods, or a lost packet would make a voice silent.
    pub voice_ttl: Millis,
    /// How long something measured once per round counts: about three rounds.
    pub round_ttl: Millis,
    /// How long after a network change the voices from before it may still uphold the verdict.
    pub epoch_grace: Millis,
    /// How long after a tunnel first carries traffic a report of home is still explained by packets
    /// that were under way.
    pub settle: Millis,
    /// How long a finding must be undetermined before its open incident is shown as unknown.
    pub unknown_after: Millis,
    /// How long a moved exit is reported before it is the new normal, unless it must not happen.
    pub change_shown: Millis,
    /// What a moved exit means.
    pub exit_change: ExitChange,
    /// How long a node must not announce itself to count as silent: three heartbeats.
    pub node_silent_after: Millis,
    /// The smallest drop in round trips that is to be found, as a share of them.
    pub latency_drop: f64,
    /// How many names must resolve to wrong addresses.
    pub dns_mismatch_names: usize,
    /// How many other sources must agree with each other about each of them.
    pub dns_agreeing_sources: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            voice_ttl: Millis(5_000),
            round_ttl: Millis::secs(90),
            epoch_grace: Millis(2_000),
            settle: Millis(1_000),
            unknown_after: Millis(5_000),
            change_shown: Millis::secs(60),
            exit_change: ExitChange::default(),
            node_silent_after: Millis::secs(30),
            latency_drop: Params::default().drop,
            dns_mismatch_names: 2,
            dns_agreeing_sources: 2,
        }
    }
}

impl Thresholds {
    /// Returns the detector's parameters under these thresholds.
    pub fn latency(&self) -> Params {
        Params { drop: self.latency_drop.clamp(0.01, 0.9) }
    }
}

/// Returns the ranges outside the public internet.
///
/// These are the special-purpose ranges of the IANA registries (RFC 6890 and its successors),
/// multicast, and the unassigned end of the IPv4 space.
pub fn default_bogons() -> Vec<IpNet> {
    const RANGES: [&str; 24] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "::ffff:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001:2::/48",
        "2001:db8::/32",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    ];
    RANGES.iter().filter_map(|range| range.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_range_parses_and_public_addresses_are_public() {
        let policy = Policy::default();
        assert_eq!(policy.bogons.len(), 24);
        assert!(policy.is_bogon("192.168.1.1".parse().unwrap()));
        assert!(policy.is_bogon("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!policy.is_bogon("9.9.9.9".parse().unwrap()));
        assert!(!policy.is_bogon("2620:fe::fe".parse().unwrap()));
    }
}
