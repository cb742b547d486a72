//! One path's round trips: its detector, and the drop that is being reported.

use super::detector::{Detector, Drop, Params};
use crate::{bounded::LastUsed, context::JudgeContext};
use sentinel_model::{
    Attributed, Family, IpNet, Micros, Millis, Moment, Monotonic, RoundTrip, Source, Voice,
};
use std::net::IpAddr;

/// How long a drop is reported before it counts as the new normal.
const REPORTED: Millis = Millis::secs(300);
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
    /// The drop that is being reported.
    pub drop: Option<Drop>,
    /// The lowest the baseline has been while no drop was reported.
    lowest: Option<Micros>,
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
        Self { target, detector, drop: None, lowest: None, first: now, last: now }
    }

    /// Records one round trip; `share` is how far the round trip must fall to matter.
    pub fn record(&mut self, rtt: Micros, share: f64, at: Moment) {
        self.last = at;
        if self.drop.is_none() {
            self.lowest = self.lowest.into_iter().chain(self.detector.baseline()).min();
        }
        let new = self.detector.push(at, rtt);
        if let Some(new) = new.filter(|drop| !self.is_return(drop, share)) {
            // A second drop within the first keeps the baseline from before both.
            let baseline = self.drop.map_or(new.baseline, |before| before.baseline.max(new.baseline));
            self.drop = Some(Drop { baseline, ..new });
        }
        self.drop = self.drop.filter(|drop| !self.is_over(drop, share, at));
    }

    /// Returns true if a drop only leads back to where the path has been before.
    ///
    /// A full line or a busy machine raises round trips for minutes; when that ends they fall
    /// without anything being wrong.
    fn is_return(&self, drop: &Drop, share: f64) -> bool {
        self.lowest.is_some_and(|lowest| f64::from(drop.level.0) >= f64::from(lowest.0) * (1.0 - share / 2.0))
    }

    /// Returns true if the path has slowed down again, or the drop is the new normal.
    fn is_over(&self, drop: &Drop, share: f64, now: Moment) -> bool {
        let back = f64::from(drop.baseline.0) * (1.0 - share / 2.0);
        let level = self.detector.level().map_or(0.0, |level| f64::from(level.0));
        level > back || now.boot.since(drop.at.boot) > REPORTED
    }

    /// Stops or resumes judging; stopping drops what was suspected.
    pub fn freeze(&mut self, frozen: bool) {
        self.detector.freeze(frozen);
        if frozen {
            self.drop = None;
        }
    }

    /// Returns the baseline from before the reported drop, or the current one.
    pub fn reference(&self) -> Option<Micros> {
        self.drop.map(|drop| drop.baseline).or_else(|| self.detector.baseline())
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
        self.drop.is_some_and(|drop| drop.at.boot.since(self.first.boot) < GROWN)
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
    use sentinel_model::{Asn, NetworkKey, Timestamp};

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

    fn at(second: u64) -> Moment {
        Moment { boot: Monotonic(second * 1_000), wall: Timestamp(0) }
    }

    /// Seconds of round trips at each level, one a second; returns whether a drop is reported at
    /// the end.
    fn is_dropped(levels: &[(u64, u32)]) -> bool {
        let mut history = PathHistory::new(trip("192.0.2.1").target, Params::default(), false, at(0));
        let mut now = 0;
        for (seconds, level) in levels {
            for _ in 0..*seconds {
                now += 1;
                history.record(Micros(*level), 0.2, at(now));
            }
        }
        history.drop.is_some()
    }

    #[test]
    fn a_drop_is_reported_until_the_path_slows_down_or_five_minutes_have_passed() {
        assert!(is_dropped(&[(60, 80_000), (10, 40_000)]));
        assert!(!is_dropped(&[(60, 80_000), (10, 40_000), (10, 80_000)]));
        assert!(!is_dropped(&[(60, 80_000), (320, 40_000)]));
    }

    #[test]
    fn a_drop_back_to_an_earlier_level_is_not_reported() {
        assert!(!is_dropped(&[(60, 40_000), (120, 80_000), (10, 40_000)]));
        assert!(is_dropped(&[(60, 40_000), (120, 80_000), (10, 20_000)]));
    }
}
