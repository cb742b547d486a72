//! Round trips to all targets: a detector per path, and a majority of targets in different
//! networks.
//!
//! Unless the exit, the DNS or the floor point to traffic outside the tunnel too, a drop is no sign
//! of it if
//! - it leads back to where the path has been before: a full line that is free again;
//! - the underlay dropped by as much: the baseline was learned while the line was full. Traffic
//!   that leaves the tunnel does not change the underlay, and a far end that comes nearer makes
//!   what lies beyond it faster by more than itself;
//! - the underlay is not measured, every path dropped by about the same time at once, and a path is
//!   young. A full line slows all of them by the same; two paths outside a tunnel are rarely
//!   shorter by the same. Youth alone is not enough: a tunnel can be lost in its first minutes too.
//!
//! A beacon's round trips are processed one by one. A public server, asked once a round, is asked
//! three times at once instead.

use super::{
    detector::Drop,
    path_history::{PathHistory, PathKey},
    recent_trips::RecentTrips,
    underlay::Underlays,
};
use crate::{
    bounded::BoundedMap,
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult},
    wording::{self, name_millis},
};
use sentinel_model::{
    Evidence, Family, FindingKind, LatencyView, Micros, Millis, Moment, NetworkKey, RoundTrip, Severity,
    Source, UnderlaySeen, Voice, Weight,
};
use std::collections::BTreeMap;

/// How many paths are remembered: five witnesses, two families, a few exits and local networks.
const PATHS: usize = 96;
/// How many targets are shown.
const SHOWN_TARGETS: usize = 24;
/// A target that has not answered for this long is no longer shown.
const SHOWN: Millis = Millis::secs(600);

/// The paths in use, by the network of their target.
type PathsByNetwork<'a> = BTreeMap<NetworkKey, Vec<&'a PathHistory>>;

/// Round trips to all targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    paths: BoundedMap<PathKey, PathHistory, PATHS>,
    recent: BoundedMap<(Family, Source), RecentTrips, SHOWN_TARGETS>,
    underlays: Underlays,
    frozen: bool,
}

/// What the evaluation of a family's round trips depends on besides their own memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatencyInputs<'a> {
    /// The name of the local network.
    pub network: &'a str,
    /// Whether the family is supposed to be protected.
    pub is_guarded: bool,
    /// Whether the exit, the DNS or the floor point to traffic outside the tunnel.
    pub is_corroborated: bool,
}

impl Targets {
    /// Records a round trip made in a local network.
    pub fn record(&mut self, trip: &RoundTrip, network: String, at: Moment, context: &JudgeContext<'_>) {
        let recent_key = (trip.family, trip.target.source.clone());
        let recent = self.recent.get_or_insert_with(recent_key, || RecentTrips::new(trip.target.clone(), at));
        recent.record(trip, at);
        let params = context.policy.thresholds.latency();
        let new = || PathHistory::new(trip.target.clone(), params, self.frozen, at);
        let history = self.paths.get_or_insert_with(PathKey::of(trip, network), new);
        history.record(trip.rtt, at);
    }

    /// Records a round trip to the tunnel's far end, made outside the tunnel in a local network.
    pub fn record_underlay(&mut self, seen: &Dated<&UnderlaySeen>, network: String) {
        self.underlays.record(seen, network);
    }

    /// Stops or resumes judging, after a wake: suspicions are dropped, and baselines kept as they
    /// are.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        self.paths.values_mut().for_each(|history| history.detector.freeze(frozen));
    }

    /// Forgets all paths, since the thresholds have changed.
    pub fn forget_paths(&mut self) {
        self.paths.clear();
    }

    /// Returns the paths to judge by: of each target the one in use last, where its detector is
    /// ready.
    fn paths_in_use(&self, family: Family, network: &str, context: &JudgeContext<'_>) -> PathsByNetwork<'_> {
        let mut latest: BTreeMap<&Source, &PathHistory> = BTreeMap::new();
        for (key, history) in self.paths.iter() {
            if key.family != family || key.network != network || !history.is_in_use(context) {
                continue;
            }
            let entry = latest.entry(&key.target).or_insert(history);
            if history.last.boot > entry.last.boot {
                *entry = history;
            }
        }
        let mut networks = PathsByNetwork::new();
        for history in latest.into_values().filter(|history| history.detector.is_ready()) {
            networks.entry(history.target.network).or_default().push(history);
        }
        networks
    }

    /// Evaluates one family.
    pub fn evaluate(
        &self,
        family: Family,
        inputs: LatencyInputs<'_>,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        let networks = self.paths_in_use(family, inputs.network, context);
        if networks.len() < 2 {
            return result;
        }
        let is_line = self.dropped_together(&networks, inputs.network);
        let counts = |history: &&PathHistory| {
            history.drop().is_some_and(|drop| {
                inputs.is_corroborated || !(is_line || self.shares_underlay_drop(&drop, inputs.network))
            })
        };
        let dropped: Vec<&Vec<&PathHistory>> =
            networks.values().filter(|paths| paths.iter().all(counts)).collect();
        if dropped.len() < majority(networks.len()) {
            result.determine(FindingKind::LatencyDrop, Some(family));
            return result;
        }
        if inputs.is_guarded {
            let paths: Vec<&PathHistory> = dropped.into_iter().flatten().copied().collect();
            let draft = draft(family, &paths, inputs.is_corroborated);
            result.findings.extend(draft.map(|draft| draft.finish(context)));
        }
        result
    }

    /// Returns true if the underlay became faster by as much as a path did.
    fn shares_underlay_drop(&self, drop: &Drop, network: &str) -> bool {
        self.underlays.decrease(drop, network).is_some_and(|decrease| is_most_of(decrease, decrease_of(drop)))
    }

    /// Returns true if all paths dropped by about the same time, one of them young, and the
    /// underlay is not measured.
    fn dropped_together(&self, networks: &PathsByNetwork<'_>, network: &str) -> bool {
        let paths = || networks.values().flatten();
        let drops: Option<Vec<Drop>> = paths().map(|history| history.drop()).collect();
        let Some(drops) = drops else { return false };
        let decreases = || drops.iter().map(decrease_of);
        let are_alike =
            decreases().min().zip(decreases().max()).is_some_and(|(least, most)| is_most_of(least, most));
        paths().any(|history| history.dropped_young())
            && are_alike
            && !drops.iter().any(|drop| self.underlays.is_known_before(drop, network))
    }

    /// Returns round trips as the snapshot shows them.
    pub fn view(&self, network: &str, context: &JudgeContext<'_>) -> Vec<LatencyView> {
        let baseline = |family: Family, target: &Source| -> Option<Micros> {
            let paths = self
                .paths
                .iter()
                .filter(|(key, _)| key.family == family && key.target == *target && key.network == network);
            let (_, latest) = paths.max_by_key(|(_, history)| history.last.boot)?;
            latest.detector.baseline()
        };
        self.recent
            .iter()
            .filter(|(_, recent)| context.age(recent.last) <= SHOWN)
            .map(|((family, source), recent)| LatencyView {
                target: recent.target.clone(),
                family: *family,
                baseline: baseline(*family, source),
                points: recent.points.iter().copied().collect(),
            })
            .collect()
    }
}

/// Returns how many networks are more than half, which is two at the least.
const fn majority(networks: usize) -> usize {
    networks / 2 + 1
}

/// Returns by how much a path became faster.
fn decrease_of(drop: &Drop) -> Micros {
    Micros(drop.baseline.0.saturating_sub(drop.level.0))
}

/// Returns true if a part is at least four fifths of the whole: the same, except for jitter.
fn is_most_of(part: Micros, whole: Micros) -> bool {
    u64::from(part.0) * 5 >= u64::from(whole.0) * 4
}

fn draft<'a>(family: Family, paths: &[&PathHistory], is_corroborated: bool) -> Option<FindingDraft<'a>> {
    let drops: Vec<(&Voice, Drop)> =
        paths.iter().filter_map(|history| Some((&history.target, history.drop()?))).collect();
    let (_, latest) = *drops.iter().max_by_key(|(_, drop)| drop.at.boot)?;
    let names = wording::list_voices(drops.iter().map(|(voice, _)| *voice));
    let evidence = |(voice, drop): &(&Voice, Drop)| Evidence {
        voice: Some((*voice).clone()),
        saw: format!("{} instead of {}", name_millis(drop.level), name_millis(drop.baseline)),
        at: drop.at.wall,
    };
    let (before, after) = (name_millis(latest.baseline), name_millis(latest.level));
    Some(FindingDraft {
        kind: FindingKind::LatencyDrop,
        family: Some(family),
        entity: None,
        severity: if is_corroborated { Severity::Critical } else { Severity::Warning },
        weight: Weight::Statistic,
        fact: format!("Round trips over {family} to {names} fell from {before} to {after}"),
        details: &[],
        advice: "Check that your VPN is still in use; it is harmless if you chose a nearer server.",
        evidence: drops.iter().map(evidence).collect(),
        since: drops.iter().map(|(_, drop)| drop.at).min_by_key(|at| at.boot)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_decides_and_never_a_single_network() {
        let pairs = [(2, 2), (3, 2), (4, 3), (5, 3)];
        assert!(pairs.into_iter().all(|(networks, expected)| majority(networks) == expected));
    }
}
