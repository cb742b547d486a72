//! Round trips to all targets: a detector for each path, and the vote among targets in different networks.
//!
//! What is no sign of traffic that left the tunnel, unless the exit, the DNS or the floor point the same way:
//! - a fall back to where the path has been before: a full line that is free again;
//! - a fall that the way to the tunnel's far end shares, outside the tunnel: the baseline was learned while the line was
//!   full, and there is nothing from before to compare it with. Traffic that leaves the tunnel changes nothing about
//!   that way; a far end that comes nearer speeds up what lies beyond it by more than itself;
//! - where that way is not measured, a fall by the same time on every path at once, while a path is young. A line takes
//!   the same from all of them; two ways past a tunnel are rarely shorter by the same. The age alone would not do: a
//!   tunnel can be lost in its first minutes too.
//!
//! A beacon's round trips are taken one by one, a median of three guards against a wild one. The smallest of a sliding
//! three would count one low sample three times, and the smallest of each three would take three times as long; a
//! public server, asked once a round, is asked thrice at once instead.

use super::{
    detector::{Detector, Drop},
    underlay::Underlays,
};
use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult},
    wording,
};
use sentinel_model::{
    Attributed, Evidence, Family, FindingKind, IpNet, LatencyPoint, LatencyView, Micros, Millis, Moment,
    NetworkKey, RoundTrip, Severity, Source, UnderlaySeen, Voice, Weight,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

/// How many paths are remembered: five witnesses, two families, a few exits and local networks.
const PATHS: usize = 96;
/// How many targets are shown.
const SHOWN_TARGETS: usize = 24;
/// How many points are shown per target.
const POINTS: usize = 120;
/// A target that has not answered for this long is no longer shown.
const SHOWN: Millis = Millis::secs(600);
/// How long a fall is reported before it is the new normal.
const REPORTED: Millis = Millis::secs(300);
/// How many voice lifetimes a node's history counts as in use after its last sample. Services are asked once a round, and
/// count for as long as what they say of the exit.
const IN_USE: u64 = 2;
/// From what age on a path has seen enough to know its own best.
const GROWN: Millis = Millis::secs(600);

/// What makes two round trips comparable: the same local network, exit and target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PathKey {
    family: Family,
    target: Source,
    exit: Option<IpNet>,
    network: String,
}

#[derive(Clone, Debug)]
struct PathHistory {
    target: Voice,
    detector: Detector,
    fall: Option<Drop>,
    /// The lowest the baseline has been while nothing had fallen.
    lowest: Option<Micros>,
    first: Moment,
    last: Moment,
}

impl PathHistory {
    /// Whether a fall only leads back to where this path has been before: a full line or a busy machine lifts round trips
    /// for minutes, and when that ends they fall without anything being wrong.
    /// Whether it has answered lately enough to speak of the path as it is.
    fn in_use(&self, context: &JudgeContext<'_>) -> bool {
        let thresholds = &context.policy.thresholds;
        let lifetime = match self.target.source {
            Source::Node(_) => Millis(thresholds.voice_ttl.0 * IN_USE),
            Source::Service(_) => thresholds.round_ttl,
        };
        context.age(self.last) <= lifetime
    }

    fn is_relief(&self, fall: &Drop, drop: f64) -> bool {
        self.lowest.is_some_and(|lowest| f64::from(fall.level.0) >= f64::from(lowest.0) * (1.0 - drop / 2.0))
    }
}

#[derive(Clone, Debug)]
struct ShownTarget {
    target: Voice,
    points: VecDeque<LatencyPoint>,
    last: Moment,
}

/// Round trips to all targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    paths: BTreeMap<PathKey, PathHistory>,
    shown: BTreeMap<(Family, Source), ShownTarget>,
    underlays: Underlays,
    frozen: bool,
}

impl Targets {
    /// Takes in a round trip made in the given local network.
    pub fn observe(&mut self, trip: &RoundTrip, at: Moment, network: String, context: &JudgeContext<'_>) {
        self.trace(trip, at);
        let thresholds = &context.policy.thresholds;
        let path = PathKey {
            family: trip.family,
            target: trip.target.source.clone(),
            exit: trip.exit.as_ref().and_then(neighbourhood),
            network,
        };
        if self.paths.len() >= PATHS && !self.paths.contains_key(&path) {
            let oldest =
                self.paths.iter().min_by_key(|(_, history)| history.last.boot).map(|(path, _)| path.clone());
            oldest.and_then(|path| self.paths.remove(&path));
        }
        let frozen = self.frozen;
        let history = self.paths.entry(path).or_insert_with(|| {
            let mut detector = Detector::new(thresholds.latency());
            detector.freeze(frozen);
            PathHistory {
                target: trip.target.clone(),
                detector,
                fall: None,
                lowest: None,
                first: at,
                last: at,
            }
        });
        history.last = at;
        let drop = thresholds.latency().drop;
        if history.fall.is_none() {
            history.lowest = history.lowest.into_iter().chain(history.detector.baseline()).min();
        }
        let fall = history.detector.push(at, trip.rtt);
        if let Some(fall) = fall.filter(|fall| !history.is_relief(fall, drop)) {
            // A second fall within the first keeps the reference from before both.
            let baseline = history.fall.map_or(fall.baseline, |before| before.baseline.max(fall.baseline));
            history.fall = Some(Drop { baseline, ..fall });
        }
        let over = |fall: &Drop| {
            let back = f64::from(fall.baseline.0) * (1.0 - drop / 2.0);
            let level = history.detector.level().map_or(0.0, |level| f64::from(level.0));
            level > back || at.boot.since(fall.at.boot) > REPORTED
        };
        history.fall = history.fall.filter(|fall| !over(fall));
    }

    /// Takes in a round trip to the tunnel's far end, made in the given local network.
    pub fn underlay(&mut self, seen: &UnderlaySeen, at: Moment, network: String) {
        self.underlays.observe(seen, at, network);
    }

    fn trace(&mut self, trip: &RoundTrip, at: Moment) {
        let key = (trip.family, trip.target.source.clone());
        if self.shown.len() >= SHOWN_TARGETS && !self.shown.contains_key(&key) {
            let oldest =
                self.shown.iter().min_by_key(|(_, target)| target.last.boot).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.shown.remove(&key));
        }
        let target = self.shown.entry(key).or_insert_with(|| ShownTarget {
            target: trip.target.clone(),
            points: VecDeque::with_capacity(POINTS),
            last: at,
        });
        target.last = at;
        target.points.push_back(LatencyPoint { at: at.wall, rtt: trip.rtt });
        while target.points.len() > POINTS {
            target.points.pop_front();
        }
    }

    /// After a wake: what was suspected is forgotten, what is known of the paths is kept but not added to.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        for history in self.paths.values_mut() {
            history.detector.freeze(frozen);
            if frozen {
                history.fall = None;
            }
        }
    }

    /// Forgets all paths: the thresholds have changed.
    pub fn forget(&mut self) {
        self.paths.clear();
    }

    /// The paths in use now, the latest of each target, one per network and all of them ready.
    fn in_use<'a>(
        &'a self,
        family: Family,
        network: &'a str,
        context: &JudgeContext<'_>,
    ) -> BTreeMap<NetworkKey, Vec<&'a PathHistory>> {
        let mut latest: BTreeMap<&Source, &PathHistory> = BTreeMap::new();
        for (path, history) in &self.paths {
            if path.family != family || path.network != network || !history.in_use(context) {
                continue;
            }
            let entry = latest.entry(&path.target).or_insert(history);
            if history.last.boot > entry.last.boot {
                *entry = history;
            }
        }
        let mut networks: BTreeMap<NetworkKey, Vec<&PathHistory>> = BTreeMap::new();
        for history in latest.into_values().filter(|history| history.detector.is_ready()) {
            networks.entry(history.target.network).or_default().push(history);
        }
        networks
    }

    /// Rules on one family. `corroborated` says whether the exit or the DNS point the same way.
    pub fn evaluate(
        &self,
        family: Family,
        network: &str,
        guarded: bool,
        corroborated: bool,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        let networks = self.in_use(family, network, context);
        if networks.len() < 2 {
            return result;
        }
        let together = self.fell_together(&networks, network);
        let counts = |history: &PathHistory| {
            let fall = history.fall.filter(|fall| corroborated || !(together || self.of_line(fall, network)));
            fall.is_some()
        };
        let fell = |paths: &&Vec<&PathHistory>| paths.iter().all(|history| counts(history));
        let fallen: Vec<&PathHistory> = networks.values().filter(fell).flatten().copied().collect();
        let count = networks.values().filter(fell).count();
        if count < needed(networks.len()) {
            result.determine(FindingKind::LatencyDrop, Some(family));
            return result;
        }
        if guarded && let Some(draft) = draft(family, &fallen, corroborated) {
            result.findings.push(draft.finish(context));
        }
        result
    }

    /// Whether the line itself became faster by as much.
    fn of_line(&self, fall: &Drop, network: &str) -> bool {
        self.underlays.gained(fall, network).is_some_and(|gained| is_most(gained, fell_by(fall)))
    }

    /// Whether all paths fell by about the same time, some before they were grown, and nothing tells whether the line did.
    fn fell_together(&self, networks: &BTreeMap<NetworkKey, Vec<&PathHistory>>, network: &str) -> bool {
        let paths = || networks.values().flatten();
        let falls: Option<Vec<Drop>> = paths().map(|history| history.fall).collect();
        let Some(falls) = falls else { return false };
        let young = paths()
            .any(|history| history.fall.is_some_and(|fall| fall.at.boot.since(history.first.boot) < GROWN));
        let by = || falls.iter().map(fell_by);
        let alike = by().min().zip(by().max()).is_some_and(|(least, most)| is_most(least, most));
        young && alike && !falls.iter().any(|fall| self.underlays.known(fall, network))
    }

    /// Round trips as the snapshot shows them.
    pub fn view(&self, network: &str, context: &JudgeContext<'_>) -> Vec<LatencyView> {
        let baseline = |family: Family, target: &Source| -> Option<Micros> {
            let paths = self.paths.iter().filter(|(path, _)| {
                path.family == family && path.target == *target && path.network == network
            });
            let (_, history) = paths.max_by_key(|(_, history)| history.last.boot)?;
            history.fall.map(|fall| fall.baseline).or_else(|| history.detector.baseline())
        };
        self.shown
            .iter()
            .filter(|(_, target)| context.age(target.last) <= SHOWN)
            .map(|((family, source), target)| LatencyView {
                target: target.target.clone(),
                family: *family,
                baseline: baseline(*family, source),
                points: target.points.iter().copied().collect(),
            })
            .collect()
    }
}

/// More than half, and two at the least: both of two, two of three, three of four and of five.
const fn needed(networks: usize) -> usize {
    networks / 2 + 1
}

fn fell_by(fall: &Drop) -> Micros {
    Micros(fall.baseline.0.saturating_sub(fall.level.0))
}

/// Whether a part is at least four fifths of the whole: the same, but for jitter.
fn is_most(part: Micros, whole: Micros) -> bool {
    u64::from(part.0) * 5 >= u64::from(whole.0) * 4
}

fn draft<'a>(family: Family, fallen: &[&PathHistory], corroborated: bool) -> Option<FindingDraft<'a>> {
    let falls: Vec<(&Voice, Drop)> =
        fallen.iter().filter_map(|history| Some((&history.target, history.fall?))).collect();
    let (_, first) = *falls.iter().max_by_key(|(_, fall)| fall.at.boot)?;
    let names = wording::names(falls.iter().map(|(voice, _)| *voice));
    let evidence = |(voice, fall): &(&Voice, Drop)| Evidence {
        voice: Some((*voice).clone()),
        saw: format!("{} instead of {}", millis(fall.level), millis(fall.baseline)),
        at: fall.at.wall,
    };
    Some(FindingDraft {
        kind: FindingKind::LatencyDrop,
        family: Some(family),
        entity: None,
        severity: if corroborated { Severity::Critical } else { Severity::Warning },
        weight: Weight::Statistic,
        fact: format!(
            "Round trips over {family} to {names} fell from {} to {}",
            millis(first.baseline),
            millis(first.level)
        ),
        details: &[],
        advice: "Check that your VPN is still in use; it is harmless if you chose a nearer server.",
        evidence: falls.iter().map(evidence).collect(),
        since: falls.iter().map(|(_, fall)| fall.at).min_by_key(|at| at.boot)?,
    })
}

/// A round trip as people read it.
pub(crate) fn millis(rtt: Micros) -> String {
    let millis = rtt.as_millis_f64();
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// Exits that are neighbours are one exit: the same site of the same provider.
fn neighbourhood(exit: &Attributed) -> Option<IpNet> {
    let length = match exit.address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 48,
    };
    IpNet::new(exit.address, length).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_decides_and_never_a_single_network() {
        let pairs = [(2, 2), (3, 2), (4, 3), (5, 3)];
        assert!(pairs.into_iter().all(|(networks, expected)| needed(networks) == expected));
    }
}
