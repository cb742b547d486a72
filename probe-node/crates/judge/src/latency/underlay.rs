//! How much faster the underlay became: what the line gained, every path over it gains.

use super::detector::Drop;
use crate::{
    bounded::{BoundedMap, LastUsed, push_bounded},
    dated::Dated,
};
use sentinel_model::{Micros, Millis, Moment, Monotonic, Outcome, UnderlaySeen};
use std::{collections::VecDeque, net::IpAddr};

/// How many far ends are remembered, each in its local network.
const FAR_ENDS: usize = 16;
/// How many round trips are remembered of each: ten minutes of rounds.
const KEPT: usize = 20;
/// How many round trips make the level before a drop.
const BEFORE: usize = 3;
/// How long a drop may take to be noticed.
///
/// Whether a measurement within this time was made before or after the drop is undetermined.
const NOTICED: Millis = Millis::secs(10);
/// How old the last measurement before a drop may be.
const LOOK_BACK: Millis = Millis::secs(300);

/// The latest round trips to one far end, in the order of their measurement.
#[derive(Clone, Debug, Default)]
struct FarEndTrips(VecDeque<(Moment, Micros)>);

impl LastUsed for FarEndTrips {
    fn last_used(&self) -> Monotonic {
        self.0.back().map(|(at, _)| at.boot).unwrap_or_default()
    }
}

impl FarEndTrips {
    /// Returns by how much the round trip decreased with a drop; nothing, if it was not measured
    /// before and since.
    fn decrease(&self, drop: &Drop) -> Option<Micros> {
        let is_later = |at: &Moment| at.boot.after(NOTICED) > drop.at.boot;
        let after = self.0.iter().filter(|(at, _)| is_later(at)).map(|(_, rtt)| *rtt).min()?;
        Some(Micros(self.level_before(drop)?.0.saturating_sub(after.0)))
    }

    /// Returns the median of the last round trips that were certainly made before a drop.
    fn level_before(&self, drop: &Drop) -> Option<Micros> {
        let is_earlier =
            |at: &Moment| at.boot.after(NOTICED) <= drop.at.boot && drop.at.boot.since(at.boot) <= LOOK_BACK;
        let earlier = self.0.iter().rev().filter(|(at, _)| is_earlier(at));
        let mut last: Vec<Micros> = earlier.map(|(_, rtt)| *rtt).take(BEFORE).collect();
        last.sort_unstable();
        last.get(last.len() / 2).copied()
    }
}

/// The round trips to the far ends, outside the tunnel.
#[derive(Clone, Debug, Default)]
pub(super) struct Underlays {
    far_ends: BoundedMap<(String, IpAddr), FarEndTrips, FAR_ENDS>,
}

impl Underlays {
    /// Records a round trip made in a local network; a failure changes nothing.
    pub fn record(&mut self, seen: &Dated<&UnderlaySeen>, network: String) {
        let Outcome::Measured(rtt) = seen.value.rtt else { return };
        let key = (network, seen.value.endpoint.to_canonical());
        let trips = self.far_ends.get_or_insert_with(key, FarEndTrips::default);
        push_bounded(&mut trips.0, (seen.at, rtt), KEPT);
    }

    /// Returns by how much the underlay became faster with a drop.
    ///
    /// Returns nothing if it was not measured before and since, and the most of several far ends.
    pub fn decrease(&self, drop: &Drop, network: &str) -> Option<Micros> {
        self.in_network(network).filter_map(|trips| trips.decrease(drop)).max()
    }

    /// Returns true if the underlay was measured before a drop, so that its change will be known.
    pub fn is_known_before(&self, drop: &Drop, network: &str) -> bool {
        self.in_network(network).any(|trips| trips.level_before(drop).is_some())
    }

    fn in_network<'a>(&'a self, network: &str) -> impl Iterator<Item = &'a FarEndTrips> {
        self.far_ends.iter().filter(move |((of, _), _)| of == network).map(|(_, trips)| trips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Timestamp;

    fn at(second: u64) -> Moment {
        Moment { boot: Monotonic(second * 1_000), wall: Timestamp(0) }
    }

    #[test]
    fn the_underlay_is_compared_before_and_after_a_drop() {
        let drop = Drop { at: at(100), baseline: Micros(80_000), level: Micros(50_000) };
        let trips = |all: &[(u64, u32)]| {
            FarEndTrips(all.iter().map(|(second, millis)| (at(*second), Micros(millis * 1_000))).collect())
        };
        assert_eq!(trips(&[(60, 40), (110, 10)]).decrease(&drop), Some(Micros(30_000)));
        assert_eq!(trips(&[(60, 40)]).decrease(&drop), None, "not measured since");
        assert_eq!(trips(&[(95, 40), (110, 10)]).level_before(&drop), None, "perhaps not before");
        let lone = trips(&[(30, 90), (50, 40), (60, 40), (110, 40)]);
        assert_eq!(lone.decrease(&drop), Some(Micros(0)), "a median of three");
    }
}
