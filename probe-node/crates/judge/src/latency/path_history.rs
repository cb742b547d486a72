//! One path's round trips: what they are compared with, and their detector.

use super::detector::{Detector, Drop, Params};
use crate::{bounded::LastUsed, context::JudgeContext};
use sentinel_model::{
    Attributed, Family, IpNet, Micros, Millis, Moment, Monotonic, RoundTrip, Source, Voice,
};
use std::net::IpAddr;

/// For how many voice lifetimes after its last sample a path to a node counts as in use.
///
/// Services are asked once a round, and count for as long as their report of the exit.
const IN_USE: u64 = 2;
/// From which age a path has seen enough to know its own lowest level.
const GROWN: Millis = Millis::secs(600);

/// What makes two round trips comparable: the same local network, exit and target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathKey {
    pub family: Family,
    pub target: Source,
    exit: Option<IpNet>,
    pub network: String,
}

impl PathKey {
    /// Returns the key of a round trip made in a local network.
    pub fn of(trip: &RoundTrip, network: String) -> Self {
        Self {
            family: trip.family,
            target: trip.target.source.clone(),
            exit: trip.exit.as_ref().and_then(neighbourhood),
            network,
        }
    }
}

/// One path's round trips.
#[derive(Clone, Debug)]
pub(super) struct PathHistory {
    pub target: Voice,
    pub detector: Detector,
    first: Moment,
    pub last: Moment,
}

impl LastUsed for PathHistory {
    fn last_used(&self) -> Monotonic {
        self.last.boot
    }
}

impl PathHistory {
    /// Creates the history of a path that is first measured now.
    pub fn new(target: Voice, params: Params, frozen: bool, now: Moment) -> Self {
        let mut detector = Detector::new(params);
        detector.freeze(frozen);
        Self { target, detector, first: now, last: now }
    }

    /// Records one round trip.
    pub fn record(&mut self, rtt: Micros, at: Moment) {
        self.last = at;
        self.detector.push(at, rtt);
    }

    /// Returns the drop that is being reported.
    pub fn drop(&self) -> Option<Drop> {
        self.detector.drop()
    }

    /// Returns true if the target has answered recently enough to describe the path as it is.
    pub fn is_in_use(&self, context: &JudgeContext<'_>) -> bool {
        let thresholds = &context.policy.thresholds;
        let lifetime = match self.target.source {
            Source::Node(_) => Millis(thresholds.voice_ttl.0 * IN_USE),
            Source::Service(_) => thresholds.round_ttl,
        };
        context.age(self.last) <= lifetime
    }

    /// Returns true if the reported drop came before the path knew its own lowest level.
    pub fn dropped_young(&self) -> bool {
        self.drop().is_some_and(|drop| drop.at.boot.since(self.first.boot) < GROWN)
    }
}

/// Returns the network that exits of one site of a provider share.
fn neighbourhood(exit: &Attributed) -> Option<IpNet> {
    let length = match exit.address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 48,
    };
    IpNet::new(exit.address, length).ok().map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Asn, NetworkKey};

    fn trip(exit: &str) -> RoundTrip {
        RoundTrip {
            family: Family::V4,
            target: Voice {
                source: Source::Service("stun".to_owned()),
                name: "stun".to_owned(),
                network: NetworkKey::Asn(Asn(1)),
            },
            rtt: Micros(1),
            exit: Some(Attributed::bare(exit.parse().unwrap())),
        }
    }

    #[test]
    fn neighbouring_exits_share_a_path_and_others_do_not() {
        let key = |exit, network: &str| PathKey::of(&trip(exit), network.to_owned());
        assert_eq!(key("192.0.2.1", "home"), key("192.0.2.200", "home"));
        assert_ne!(key("192.0.2.1", "home"), key("192.0.3.1", "home"));
        assert_ne!(key("192.0.2.1", "home"), key("192.0.2.1", "office"));
    }
}
