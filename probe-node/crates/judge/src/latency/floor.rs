//! The latency floor: traffic inside the tunnel cannot be faster than the underlay.
//!
//! It travels to the tunnel's far end and on from there. Where round trips to two targets are
//! shorter than the one to the far end outside the tunnel, their traffic is not in the tunnel.

use crate::{
    bounded::{BoundedMap, LastUsed, push_bounded},
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult},
    wording::{self, name_millis},
};
use sentinel_model::{
    Attributed, Evidence, Family, FindingKind, Micros, Moment, Monotonic, NetworkKey, Outcome, RoundTrip,
    Severity, Source, UnderlaySeen, Voice, Weight,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

/// How many far ends are remembered; a tunnel has one, a mesh a few.
const FAR_ENDS: usize = 16;
/// How many targets are remembered: five witnesses, two families, a few services.
const TARGETS: usize = 48;
/// How many of the latest round trips make a level.
const RECENT: usize = 5;
/// How often the underlay must have been measured, so that one slow answer is not taken for the
/// floor.
const MEASURED: u32 = 2;
/// For how many voice lifetimes after its last round trip a target counts as in use.
const IN_USE: u64 = 2;
/// How far below the floor a level must lie at the least: routers answer with about that much
/// jitter.
const MARGIN: Micros = Micros(1_000);

/// The round trips to one far end, outside the tunnel.
#[derive(Clone, Debug)]
struct FarEndFloor {
    smallest: Micros,
    measured: u32,
    last: Moment,
}

/// The latest round trips to one target.
#[derive(Clone, Debug)]
struct TargetTrips {
    target: Voice,
    recent: VecDeque<(Moment, Micros)>,
}

impl TargetTrips {
    /// Returns the median of the latest round trips, once there are enough.
    fn level(&self) -> Option<Micros> {
        let mut sorted: Vec<Micros> = self.recent.iter().map(|(_, rtt)| *rtt).collect();
        sorted.sort();
        sorted.get(RECENT / 2).copied().filter(|_| sorted.len() == RECENT)
    }

    fn last(&self) -> Option<Moment> {
        self.recent.back().map(|(at, _)| *at)
    }
}

impl LastUsed for TargetTrips {
    fn last_used(&self) -> Monotonic {
        self.last().map(|at| at.boot).unwrap_or_default()
    }
}

/// One target's level, and when it was last measured.
struct TargetLevel<'a> {
    trips: &'a TargetTrips,
    level: Micros,
    last: Moment,
}

/// The round trips of this epoch; another network or another server has other floors.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyFloor {
    far_ends: BoundedMap<IpAddr, FarEndFloor, FAR_ENDS>,
    targets: BoundedMap<(Family, Source), TargetTrips, TARGETS>,
}

impl LatencyFloor {
    /// Forgets everything, since the network changed or the machine slept.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Records a round trip to a far end, made outside the tunnel; a failure changes nothing.
    pub fn record_underlay(&mut self, seen: &Dated<&UnderlaySeen>) {
        let Outcome::Measured(rtt) = seen.value.rtt else { return };
        let far_end = seen.value.endpoint.to_canonical();
        if let Some(known) = self.far_ends.get_mut(&far_end) {
            known.smallest = known.smallest.min(rtt);
            known.measured = known.measured.saturating_add(1);
            known.last = seen.at;
        } else {
            self.far_ends.try_insert(far_end, FarEndFloor { smallest: rtt, measured: 1, last: seen.at });
        }
    }

    /// Records a round trip to a target.
    ///
    /// One to the local network, or one in which home was seen, is outside the tunnel for a reason
    /// of its own; it removes the target.
    pub fn record(&mut self, trip: &RoundTrip, at: Moment, context: &JudgeContext<'_>) {
        let policy = context.policy;
        let key = (trip.family, trip.target.source.clone());
        let network = trip.target.network;
        // Behind a local address may be a proxy that answers in the target's place.
        let is_local = match network {
            NetworkKey::Prefix(prefix) => policy.is_bogon(prefix.addr()),
            NetworkKey::Named(_) => true,
            NetworkKey::Asn(_) => false,
        };
        let is_outside = |exit: &Attributed| policy.is_bogon(exit.address) || policy.home.contains(exit);
        if is_local || policy.excludes_voice(network) || trip.exit.as_ref().is_some_and(is_outside) {
            self.targets.remove(&key);
            return;
        }
        let new = || TargetTrips { target: trip.target.clone(), recent: VecDeque::new() };
        let trips = self.targets.get_or_insert_with(key, new);
        push_bounded(&mut trips.recent, (at, trip.rtt), RECENT);
    }

    /// Returns the smallest round trip to one of the tunnel's far ends, as the snapshot shows it.
    pub fn smallest(&self, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> Option<Micros> {
        self.recent_far_ends(far_ends, context).map(|far_end| far_end.smallest).min()
    }

    /// Returns the recent measurements of the tunnel's far ends.
    ///
    /// Whatever else was measured is routed past the tunnel for another reason, and may be farther
    /// away.
    fn recent_far_ends(
        &self,
        far_ends: &[IpAddr],
        context: &JudgeContext<'_>,
    ) -> impl Iterator<Item = &FarEndFloor> {
        let of_tunnel = far_ends.iter().filter_map(|far_end| self.far_ends.get(far_end));
        of_tunnel.filter(move |far_end| context.is_recent(far_end.last))
    }

    /// Returns the floor to judge by: the lowest of the tunnel's far ends, if each was measured
    /// often enough.
    fn floor(&self, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> Option<Micros> {
        let mut recent = self.recent_far_ends(far_ends, context);
        let are_settled = recent.all(|far_end| far_end.measured >= MEASURED);
        self.smallest(far_ends, context).filter(|_| are_settled)
    }

    /// Evaluates one family.
    ///
    /// `far_ends` are the tunnel's over either family; none, if the tunnel is not up or not
    /// supposed to carry this family.
    pub fn evaluate(&self, family: Family, far_ends: &[IpAddr], context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let Some(floor) = self.floor(far_ends, context) else { return result };
        let networks = self.levels(family, context);
        let count = networks.len();
        let below: Vec<Vec<TargetLevel<'_>>> = networks
            .into_values()
            .filter(|targets| targets.iter().all(|target| is_below(target.level, floor)))
            .collect();
        if below.len() >= 2 {
            let targets: Vec<TargetLevel<'_>> = below.into_iter().flatten().collect();
            result.findings.push(draft(family, floor, &targets, context).finish(context));
        } else if count >= 2 {
            result.determine(FindingKind::LatencyFloor, Some(family));
        }
        result
    }

    /// Returns the levels of the targets in use, by network.
    fn levels(
        &self,
        family: Family,
        context: &JudgeContext<'_>,
    ) -> BTreeMap<NetworkKey, Vec<TargetLevel<'_>>> {
        let in_use = context.policy.thresholds.voice_ttl.0 * IN_USE;
        let mut networks: BTreeMap<NetworkKey, Vec<TargetLevel<'_>>> = BTreeMap::new();
        for ((of, _), trips) in self.targets.iter() {
            if let (Some(level), Some(last)) = (trips.level(), trips.last())
                && *of == family
                && context.age(last).0 <= in_use
            {
                networks.entry(trips.target.network).or_default().push(TargetLevel { trips, level, last });
            }
        }
        networks
    }
}

/// Returns true if a level is below nine tenths of the floor, and by more than jitter.
fn is_below(level: Micros, floor: Micros) -> bool {
    u64::from(level.0) * 10 < u64::from(floor.0) * 9 && floor.0.saturating_sub(level.0) >= MARGIN.0
}

fn draft<'a>(
    family: Family,
    floor: Micros,
    below: &[TargetLevel<'_>],
    context: &JudgeContext<'_>,
) -> FindingDraft<'a> {
    let names = wording::list_voices(below.iter().map(|target| &target.trips.target));
    let slowest = below.iter().map(|target| target.level).max().unwrap_or_default();
    let floor = name_millis(floor);
    let evidence = |target: &TargetLevel<'_>| Evidence {
        voice: Some(target.trips.target.clone()),
        saw: format!("{}, and the tunnel's far end alone takes {floor}", name_millis(target.level)),
        at: target.last.wall,
    };
    let starts = below.iter().filter_map(|target| target.trips.recent.front().map(|(at, _)| *at));
    FindingDraft {
        kind: FindingKind::LatencyFloor,
        family: Some(family),
        entity: None,
        severity: Severity::Critical,
        weight: Weight::Statistic,
        fact: format!(
            "{names} answer over {family} within {}, but the way to the tunnel's far end alone takes {floor}",
            name_millis(slowest)
        ),
        details: &[],
        advice: "This traffic is not in the tunnel: reconnect the VPN or go offline.",
        evidence: below.iter().map(evidence).collect(),
        since: starts.min_by_key(|at| at.boot).unwrap_or(context.now),
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
