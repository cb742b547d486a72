//! The latency floor: traffic inside the tunnel travels to the tunnel's far end and on from there, so it cannot be faster
//! than the way to that far end outside of it. Where it is, on two targets, it is not in the tunnel.

use super::targets::millis;
use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult},
    wording,
};
use sentinel_model::{
    Attributed, Evidence, Family, FindingKind, Micros, Moment, NetworkKey, Outcome, RoundTrip, Severity,
    Source, UnderlaySeen, Voice, Weight,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

/// How many far ends are remembered; a tunnel has one, a mesh a few.
const ENDPOINTS: usize = 16;
/// How many targets are remembered: five witnesses, two families, a few services.
const TARGETS: usize = 48;
/// How many of the latest round trips make a level.
const RECENT: usize = 5;
/// How often the way to the far end must have been measured: one slow answer must not pass for the floor.
const MEASURED: u32 = 2;
/// How many voice lifetimes a target counts as in use after its last round trip.
const IN_USE: u64 = 2;
/// How far below the floor a level must lie, at the least: routers answer with a jitter of about that.
const MARGIN: Micros = Micros(1_000);

#[derive(Clone, Debug)]
struct Underlay {
    smallest: Micros,
    measured: u32,
    last: Moment,
}

#[derive(Clone, Debug)]
struct Trips {
    target: Voice,
    recent: VecDeque<(Moment, Micros)>,
}

impl Trips {
    /// The median of the latest round trips, once there are enough.
    fn level(&self) -> Option<Micros> {
        let mut sorted: Vec<Micros> = self.recent.iter().map(|(_, rtt)| *rtt).collect();
        sorted.sort();
        sorted.get(RECENT / 2).copied().filter(|_| sorted.len() == RECENT)
    }

    fn last(&self) -> Option<Moment> {
        self.recent.back().map(|(at, _)| *at)
    }
}

/// What was measured in this epoch; another network or another server has other floors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floor {
    endpoints: BTreeMap<IpAddr, Underlay>,
    targets: BTreeMap<(Family, Source), Trips>,
}

impl Floor {
    /// Forgets everything: the network changed, or the machine slept.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes in a round trip to the tunnel's far end, outside of it. A failure says nothing.
    pub fn underlay(&mut self, seen: &UnderlaySeen, at: Moment) {
        let Outcome::Measured(rtt) = seen.rtt else { return };
        let endpoint = seen.endpoint.to_canonical();
        if self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&endpoint) {
            return;
        }
        let known =
            self.endpoints.entry(endpoint).or_insert(Underlay { smallest: rtt, measured: 0, last: at });
        known.smallest = known.smallest.min(rtt);
        known.measured = known.measured.saturating_add(1);
        known.last = at;
    }

    /// Takes in a round trip to a target. One on the local network, or one that saw home, is past the tunnel for a
    /// reason of its own and no statement about it.
    pub fn trip(&mut self, trip: &RoundTrip, at: Moment, context: &JudgeContext<'_>) {
        let policy = context.policy;
        let key = (trip.family, trip.target.source.clone());
        let network = trip.target.network;
        let nearby = matches!(network, NetworkKey::Prefix(prefix) if policy.is_bogon(prefix.addr()));
        let past = |exit: &Attributed| policy.is_bogon(exit.address) || policy.home.contains(exit);
        if nearby || policy.excludes_voice(network) || trip.exit.as_ref().is_some_and(past) {
            self.targets.remove(&key);
            return;
        }
        if self.targets.len() >= TARGETS && !self.targets.contains_key(&key) {
            let last = |trips: &Trips| trips.last().map(|at| at.boot);
            let oldest = self.targets.iter().min_by_key(|(_, trips)| last(trips)).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.targets.remove(&key));
        }
        let trips = self
            .targets
            .entry(key)
            .or_insert_with(|| Trips { target: trip.target.clone(), recent: VecDeque::new() });
        trips.recent.push_back((at, trip.rtt));
        while trips.recent.len() > RECENT {
            trips.recent.pop_front();
        }
    }

    /// The smallest round trip to one of the tunnel's far ends, as the snapshot shows it.
    pub fn smallest(&self, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> Option<Micros> {
        self.standing(far_ends, context).map(|underlay| underlay.smallest).min()
    }

    /// Whatever else was measured was put past the tunnel for another reason, and may be farther away.
    fn standing(&self, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> impl Iterator<Item = &Underlay> {
        let ttl = context.policy.thresholds.round_ttl;
        let of_tunnel = far_ends.iter().filter_map(|end| self.endpoints.get(end));
        of_tunnel.filter(move |underlay| context.age(underlay.last) <= ttl)
    }

    /// The floor to judge by: measured often enough, and the lowest of the tunnel's far ends.
    fn floor(&self, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> Option<Micros> {
        let settled = self.standing(far_ends, context).all(|underlay| underlay.measured >= MEASURED);
        self.smallest(far_ends, context).filter(|_| settled)
    }

    /// Rules on one family. `far_ends` are the tunnel's, over either family; none, if it is not up or not supposed to
    /// carry this one.
    pub fn evaluate(&self, family: Family, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let Some(floor) = self.floor(far_ends, context) else { return result };
        let recent = context.policy.thresholds.voice_ttl.0 * IN_USE;
        let mut networks: BTreeMap<NetworkKey, Vec<(&Trips, Micros, Moment)>> = BTreeMap::new();
        for ((of, _), trips) in &self.targets {
            if let (Some(level), Some(last)) = (trips.level(), trips.last())
                && *of == family
                && context.age(last).0 <= recent
            {
                networks.entry(trips.target.network).or_default().push((trips, level, last));
            }
        }
        let below: Vec<&(&Trips, Micros, Moment)> = networks
            .values()
            .filter(|of_network| of_network.iter().all(|(_, level, _)| is_below(*level, floor)))
            .flatten()
            .collect();
        let count = networks
            .values()
            .filter(|of_network| of_network.iter().all(|(_, level, _)| is_below(*level, floor)))
            .count();
        if count >= 2 {
            result.findings.push(draft(family, floor, &below, context).finish(context));
        } else if networks.len() >= 2 {
            result.determine(FindingKind::LatencyFloor, Some(family));
        }
        result
    }
}

/// Below nine tenths of the floor, and by more than jitter.
fn is_below(level: Micros, floor: Micros) -> bool {
    u64::from(level.0) * 10 < u64::from(floor.0) * 9 && floor.0.saturating_sub(level.0) >= MARGIN.0
}

fn draft<'a>(
    family: Family,
    floor: Micros,
    below: &[&(&Trips, Micros, Moment)],
    context: &JudgeContext<'_>,
) -> FindingDraft<'a> {
    let names = wording::names(below.iter().map(|(trips, ..)| &trips.target));
    let fastest = below.iter().map(|(_, level, _)| *level).max().unwrap_or_default();
    let evidence = |(trips, level, last): &&(&Trips, Micros, Moment)| Evidence {
        voice: Some(trips.target.clone()),
        saw: format!("{}, and the tunnel's far end alone takes {}", millis(*level), millis(floor)),
        at: last.wall,
    };
    let first = |(trips, ..): &&(&Trips, Micros, Moment)| trips.recent.front().map(|(at, _)| *at);
    FindingDraft {
        kind: FindingKind::LatencyFloor,
        family: Some(family),
        entity: None,
        severity: Severity::Critical,
        weight: Weight::Statistic,
        fact: format!(
            "{names} answer over {family} within {}, but the way to the tunnel's far end alone takes {}",
            millis(fastest),
            millis(floor)
        ),
        details: &[],
        advice: "This traffic is not in the tunnel: reconnect the VPN or go offline.",
        evidence: below.iter().map(evidence).collect(),
        since: below.iter().filter_map(first).min_by_key(|at| at.boot).unwrap_or(context.now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_floor_is_a_tenth_and_a_millisecond() {
        for (level, floor, expected) in [
            (17_900, 20_000, true),
            (18_000, 20_000, false),
            (20_000, 20_000, false),
            (1_000, 1_900, false),
            (500, 1_900, true),
        ] {
            assert_eq!(is_below(Micros(level), Micros(floor)), expected, "{level} {floor}");
        }
    }
}
