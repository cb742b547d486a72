//! The memory of one family's exit: what each voice reported last, and what the reports amount to.

use super::{
    quorum::{Quorum, Tally, VoiceReport, is_home},
    voice_record::{SeenExit, VoiceRecord, validate_report},
};
use crate::{bounded::BoundedMap, context::JudgeContext, dated::Dated, probes::ProbeCount};
use sentinel_model::{
    Attributed, Epoch, Evidence, ExitPath, ExitSeen, Family, InterfaceKind, Micros, Millis, Moment,
    Monotonic, NetworkKey, NodeId, Outcome, RoundTrip, Source, Timestamp, Voice,
};
use std::collections::BTreeMap;

/// How many voices are remembered per family; far above the five witnesses and the handful of
/// services in use.
const VOICES: usize = 64;

/// The exit that was last accepted as normal, to notice when it moves.
#[derive(Clone, Debug)]
pub(super) struct SettledExit {
    pub exits: Vec<Attributed>,
    /// Since when another exit has been seen.
    pub moved_since: Option<Moment>,
}

/// One family's exit.
#[derive(Clone, Debug)]
pub(crate) struct FamilyExit {
    /// The IP version.
    pub family: Family,
    pub(super) records: BoundedMap<(Source, u8), VoiceRecord, VOICES>,
    pub(super) round_trips: BoundedMap<Source, Micros, VOICES>,
    pub(super) settled: Option<SettledExit>,
    /// The epoch in which a quorum last saw an exit that is not home.
    pub confirmed_in: Option<Epoch>,
    /// Reports of home from before this describe packets that were under way when the tunnel took
    /// over.
    pub settled_from: Monotonic,
    pub(super) shown: Option<(Option<Attributed>, Timestamp)>,
    probes: ProbeCount,
    probes_before: ProbeCount,
}

/// What the voices of one family amount to.
#[derive(Clone, Debug)]
pub(crate) struct ExitTallies {
    /// The tally of this epoch's voices.
    pub current: Tally,
    /// The tally that includes voices from before the last network change, while they may still
    /// uphold the verdict.
    pub in_grace: Option<Tally>,
    /// Whether a voice reported home from before the tunnel had settled; such reports are left out.
    pub is_settling: bool,
}

impl ExitTallies {
    /// Returns true if enough voices of this epoch agree.
    pub fn has_quorum(&self) -> bool {
        self.current.quorum == Quorum::Reached && !self.is_settling
    }
}

impl FamilyExit {
    /// Creates the memory of a family that has not been observed yet.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            records: BoundedMap::default(),
            round_trips: BoundedMap::default(),
            settled: None,
            confirmed_in: None,
            settled_from: Monotonic(0),
            shown: None,
            probes: ProbeCount::default(),
            probes_before: ProbeCount::default(),
        }
    }

    /// Records what a voice reported.
    pub fn record(&mut self, seen: &Dated<&ExitSeen>, context: &JudgeContext<'_>) {
        let outcome = validate_report(seen.value, context.policy);
        if let Some(exit) = outcome.measured() {
            self.probes.add(is_home(exit, seen.value.route.as_ref(), context.policy));
        }
        let key = (seen.value.voice.source.clone(), path_index(seen.value.path));
        let previous = self.records.remove(&key);
        self.records.insert(key, VoiceRecord::update(previous, seen, outcome, context.policy));
    }

    /// Records a round trip, which is shown beside the voice.
    pub fn record_round_trip(&mut self, trip: &RoundTrip) {
        self.round_trips.try_insert(trip.target.source.clone(), trip.rtt);
    }

    /// Accepts the exit the voices see now as normal, since the person knows that it moved.
    pub fn accept_move(&mut self) {
        self.settled = None;
    }

    /// Forgets what the voices reported: after a sleep it means nothing.
    pub fn forget_voices(&mut self) {
        self.records.clear();
    }

    /// Returns the probes made over this family until the assessment before, and until now.
    pub fn probes(&self) -> [ProbeCount; 2] {
        [self.probes_before, self.probes]
    }

    /// Notes that an assessment has taken all probes into account.
    pub fn mark_probes_assessed(&mut self) {
        self.probes_before = self.probes;
    }

    /// Returns true if an exit was measured after a moment.
    pub fn is_measured_after(&self, moment: Moment) -> bool {
        self.seen_exits().any(|seen| seen.at.boot > moment.boot)
    }

    /// Returns when an exit was last measured.
    pub fn last_measured(&self) -> Option<Moment> {
        self.seen_exits().map(|seen| seen.at).max_by_key(|at| at.boot)
    }

    /// Returns true if an exit was measured in an epoch or a later one.
    pub fn is_measured_since(&self, epoch: Epoch) -> bool {
        self.seen_exits().any(|seen| seen.epoch >= epoch)
    }

    /// Returns true if an exit was measured in an epoch.
    pub fn is_measured_in(&self, epoch: Epoch) -> bool {
        self.seen_exits().any(|seen| seen.epoch == epoch)
    }

    fn seen_exits(&self) -> impl Iterator<Item = &Dated<Attributed>> {
        self.records.values().filter_map(|record| record.seen.as_ref()).map(|seen| &seen.exit)
    }

    /// Returns true if any voice was ever asked.
    pub fn has_voices(&self) -> bool {
        !self.records.is_empty()
    }

    /// Returns true if one of the user's nodes was ever asked.
    pub fn has_node_voice(&self) -> bool {
        self.records.keys().any(|(source, _)| matches!(source, Source::Node(_)))
    }

    /// Returns true if a service answered in this epoch whose address a proxy hides.
    pub fn has_named_voice(&self, context: &JudgeContext<'_>) -> bool {
        self.records.values().any(|record| {
            let seen = record.seen.as_ref().filter(|_| matches!(record.voice.network, NetworkKey::Named(_)));
            seen.is_some_and(|seen| context.is_current(&seen.exit))
        })
    }

    /// Returns the voice of a node, if it was ever asked.
    pub fn voice_of(&self, node: &NodeId) -> Option<&Voice> {
        let of_node = |record: &&VoiceRecord| matches!(&record.voice.source, Source::Node(id) if id == node);
        self.records.values().find(of_node).map(|record| &record.voice)
    }

    /// Returns for each voice what it last reported, or why it did not answer, as evidence of a
    /// silence.
    pub fn last_outcomes(&self) -> Vec<Evidence> {
        let mut latest: BTreeMap<&Source, &VoiceRecord> = BTreeMap::new();
        for record in self.records.values() {
            let entry = latest.entry(&record.voice.source).or_insert(record);
            if record.at.boot > entry.at.boot {
                *entry = record;
            }
        }
        let evidence = |record: &VoiceRecord| Evidence {
            voice: Some(record.voice.clone()),
            saw: match &record.last {
                Outcome::Measured(exit) => format!("{exit} over {}, and nothing since", self.family),
                Outcome::Unknown(reason) => format!("{reason} over {}", self.family),
            },
            at: record.at.wall,
        };
        latest.into_values().map(evidence).collect()
    }

    /// Counts the voices.
    ///
    /// Voices that are reached outside the tunnel on purpose are never asked, so they are not
    /// included.
    pub fn tally(&self, context: &JudgeContext<'_>) -> ExitTallies {
        let reports = self.fresh_reports(context, false);
        // A packet that went by a tunnel-like interface was not under way outside the tunnel.
        let went_by_tunnel = |report: &VoiceReport| {
            report.route.as_ref().is_some_and(|taken| taken.kind == InterfaceKind::Tunnel)
        };
        let is_valid = |report: &VoiceReport| {
            !report.names_home || report.at.boot >= self.settled_from || went_by_tunnel(report)
        };
        let is_settling = !reports.iter().all(is_valid);
        let current = Tally::of(reports.into_iter().filter(is_valid).collect());
        let in_grace = context.in_grace().then(|| Tally::of(self.fresh_reports(context, true)));
        ExitTallies { current, in_grace, is_settling }
    }

    fn fresh_reports(&self, context: &JudgeContext<'_>, any_epoch: bool) -> Vec<VoiceReport> {
        let silence = self.beacon_silence(context);
        let direct = self.last_direct_reports();
        // What a voice attests to is what it saw earlier: it neither outvotes nor outlives its own
        // later direct report.
        let is_overtaken = |record: &VoiceRecord| {
            let seen = record.seen.as_ref().filter(|_| record.path == ExitPath::Attested);
            seen.zip(direct.get(&record.voice.source)).is_some_and(|(seen, at)| *at > seen.at().boot)
        };
        self.records
            .values()
            .filter(|record| record.is_fresh(context, any_epoch, silence) && !is_overtaken(record))
            .filter_map(|record| {
                record.seen.as_ref().map(|seen| VoiceReport {
                    voice: record.voice.clone(),
                    exit: seen.exit.value.clone(),
                    at: seen.at(),
                    since: seen.since,
                    names_home: is_home(&seen.exit.value, seen.route.as_ref(), context.policy),
                    route: seen.route.clone(),
                })
            })
            .collect()
    }

    /// Returns when each voice last reported an exit in direct answer to a packet of ours.
    fn last_direct_reports(&self) -> BTreeMap<&Source, Monotonic> {
        let is_direct = |record: &&VoiceRecord| matches!(record.path, ExitPath::Beacon | ExitPath::Stun);
        let mut latest = BTreeMap::new();
        for record in self.records.values().filter(is_direct) {
            if let Some(seen) = &record.seen {
                let at = latest.entry(&record.voice.source).or_insert(seen.at().boot);
                *at = seen.at().boot.max(*at);
            }
        }
        latest
    }

    /// Returns since when the beacons have been silent, if they answered in this epoch and no
    /// longer do.
    ///
    /// Whatever was measured before then may have been cut off together with them.
    pub(super) fn beacon_silence(&self, context: &JudgeContext<'_>) -> Option<Monotonic> {
        let beacons = self.records.values().filter(|record| record.path == ExitPath::Beacon);
        let last = beacons
            .filter_map(|record| record.seen.as_ref())
            .filter(|seen| seen.exit.epoch == context.epoch)
            .map(SeenExit::at)
            .max_by_key(|at| at.boot)?;
        let ttl = context.policy.thresholds.voice_ttl;
        (context.age(last) > ttl).then(|| last.boot.after(Millis(ttl.0 / 2)))
    }
}

/// Returns what distinguishes the records of one voice.
const fn path_index(path: ExitPath) -> u8 {
    match path {
        ExitPath::Beacon => 0,
        ExitPath::Attested => 1,
        ExitPath::Stun => 2,
        ExitPath::HttpsEcho => 3,
    }
}
