//! How the way to the tunnel's far end itself became faster: what the line gained, every path over it gains.

use super::detector::Drop;
use sentinel_model::{Micros, Millis, Moment, Outcome, UnderlaySeen};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

/// How many far ends are remembered, each in its local network.
const ENDPOINTS: usize = 16;
/// How many round trips are remembered of each: ten minutes of rounds.
const KEPT: usize = 20;
/// How many of them make the level before a fall.
const BEFORE: usize = 3;
/// How long a fall may take to be noticed: what was measured within may be from before or after it.
const NOTICED: Millis = Millis::secs(10);
/// How old the last measurement before a fall may be to say how the line was.
const STANDS: Millis = Millis::secs(300);

/// The round trips to the far ends, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Underlays {
    trips: BTreeMap<(String, IpAddr), VecDeque<(Moment, Micros)>>,
}

impl Underlays {
    /// Takes in a round trip made in the given local network. A failure says nothing.
    pub fn observe(&mut self, seen: &UnderlaySeen, at: Moment, network: String) {
        let Outcome::Measured(rtt) = seen.rtt else { return };
        let key = (network, seen.endpoint.to_canonical());
        if self.trips.len() >= ENDPOINTS && !self.trips.contains_key(&key) {
            let last = |trips: &VecDeque<(Moment, Micros)>| trips.back().map(|(at, _)| at.boot);
            let oldest = self.trips.iter().min_by_key(|(_, trips)| last(trips)).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.trips.remove(&key));
        }
        let trips = self.trips.entry(key).or_default();
        trips.push_back((at, rtt));
        while trips.len() > KEPT {
            trips.pop_front();
        }
    }

    /// How much faster the way to the far end became with a fall. Nothing, if it was not measured before and since; the
    /// most, if there are several far ends.
    pub fn gained(&self, fall: &Drop, network: &str) -> Option<Micros> {
        let here = self.trips.iter().filter(|((of, _), _)| of == network);
        here.filter_map(|(_, trips)| gained(trips, fall)).max()
    }

    /// Whether the way to the far end was measured before a fall, so that it will be known how it changed.
    pub fn known(&self, fall: &Drop, network: &str) -> bool {
        let mut here = self.trips.iter().filter(|((of, _), _)| of == network);
        here.any(|(_, trips)| before(trips, fall).is_some())
    }
}

fn gained(trips: &VecDeque<(Moment, Micros)>, fall: &Drop) -> Option<Micros> {
    let later = |at: &Moment| at.boot.after(NOTICED) > fall.at.boot;
    let after = trips.iter().filter(|(at, _)| later(at)).map(|(_, rtt)| *rtt).min()?;
    Some(Micros(before(trips, fall)?.0.saturating_sub(after.0)))
}

/// The median of the last round trips that are surely from before a fall.
fn before(trips: &VecDeque<(Moment, Micros)>, fall: &Drop) -> Option<Micros> {
    let earlier =
        |at: &Moment| at.boot.after(NOTICED) <= fall.at.boot && fall.at.boot.since(at.boot) <= STANDS;
    let mut last: Vec<Micros> =
        trips.iter().rev().filter(|(at, _)| earlier(at)).map(|(_, rtt)| *rtt).take(BEFORE).collect();
    last.sort_unstable();
    last.get(last.len() / 2).copied()
}
