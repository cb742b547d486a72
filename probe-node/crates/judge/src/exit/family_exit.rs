//! The address the world sees, family by family: what each voice said last, and what follows from it.

use crate::{part_result::JudgeContext, policy::Policy, wording::ProbeCount};
use sentinel_model::{
    Attributed, Epoch, ExitPath, ExitSeen, Family, Micros, Millis, Moment, Monotonic, Outcome, Reason,
    RoundTrip, Source, Timestamp, Voice,
};
use std::collections::BTreeMap;

use super::quorum::{Quorum, Tally, VoiceReport};

/// How many voices are remembered per family; far above the five witnesses and the handful of services in use.
const VOICES: usize = 64;
/// How long a voice that says nothing is still shown.
pub(super) const SHOWN: u64 = 120_000;

/// What one voice said last, by one way of asking.
#[derive(Clone, Debug)]
pub(super) struct VoiceRecord {
    pub(super) voice: Voice,
    pub(super) path: ExitPath,
    /// The last outcome, measured or not.
    pub(super) last: Outcome<Attributed>,
    pub(super) at: Moment,
    pub(super) seen: Option<SeenExit>,
}

/// An address a voice saw.
#[derive(Clone, Debug)]
pub(super) struct SeenExit {
    pub(super) exit: Attributed,
    pub(super) at: Moment,
    pub(super) epoch: Epoch,
    pub(super) since: Moment,
}

/// The exit that was last vouched for, to notice when it moves.
#[derive(Clone, Debug)]
pub(super) struct SettledExit {
    pub(super) exits: Vec<Attributed>,
    /// Since when something else has been seen.
    pub(super) moved: Option<Moment>,
}

/// One family's exit.
#[derive(Clone, Debug)]
pub(crate) struct FamilyExit {
    pub family: Family,
    pub(super) records: BTreeMap<(Source, u8), VoiceRecord>,
    pub(super) round_trips: BTreeMap<Source, Micros>,
    pub(super) settled: Option<SettledExit>,
    /// The epoch in which a quorum last saw an exit that is not home.
    pub vouched_in: Option<Epoch>,
    /// Home sightings before this are packets that were under way when the tunnel took over.
    pub settled_from: Monotonic,
    pub(super) shown: Option<(Option<Attributed>, Timestamp)>,
    probes: ProbeCount,
    /// The same at the assessment before.
    probes_before: ProbeCount,
}

/// What the voices of one family add up to.
#[derive(Clone, Debug)]
pub(crate) struct ExitTallies {
    /// From voices of this epoch.
    pub now: Tally,
    /// From those before the last network change as well, while they may still uphold the verdict.
    pub held: Option<Tally>,
    /// Some voice named home, but before the tunnel had settled.
    pub unsettled: bool,
}

impl ExitTallies {
    /// Whether enough voices of this epoch agree.
    pub fn agreed(&self) -> bool {
        self.now.quorum == Quorum::Reached && !self.unsettled
    }
}

impl FamilyExit {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            records: BTreeMap::new(),
            round_trips: BTreeMap::new(),
            settled: None,
            vouched_in: None,
            settled_from: Monotonic(0),
            shown: None,
            probes: ProbeCount::default(),
            probes_before: ProbeCount::default(),
        }
    }

    /// Takes in what a voice said.
    pub fn observe(&mut self, seen: &ExitSeen, at: Moment, epoch: Epoch, context: &JudgeContext<'_>) {
        let policy = context.policy;
        let outcome = crossing(seen, policy);
        if let Some(exit) = outcome.measured() {
            self.probes.made += 1;
            self.probes.outside += u64::from(policy.home.contains(exit));
        }
        let key = (seen.voice.source.clone(), path_rank(seen.path));
        let previous = self.records.remove(&key);
        let record = match previous {
            Some(known) if is_kept(&known, &outcome, at, epoch, policy) => known,
            known => {
                let before = known.and_then(|record| record.seen);
                let sighting = match outcome.measured() {
                    Some(exit) => {
                        let unbroken = before.filter(|s| s.exit.address == exit.address && s.epoch == epoch);
                        let since = unbroken.map_or(at, |sighting| sighting.since);
                        Some(SeenExit { exit: exit.clone(), at, epoch, since })
                    }
                    None => before,
                };
                VoiceRecord { voice: seen.voice.clone(), path: seen.path, last: outcome, at, seen: sighting }
            }
        };
        self.records.insert(key, record);
        self.bound();
    }

    /// Takes in a round trip, for showing beside the voice.
    pub fn round_trip(&mut self, trip: &RoundTrip) {
        if self.round_trips.len() < VOICES || self.round_trips.contains_key(&trip.target.source) {
            self.round_trips.insert(trip.target.source.clone(), trip.rtt);
        }
    }

    /// The person knows that the exit moved: wherever it is now is where it belongs.
    pub fn accept_move(&mut self) {
        self.settled = None;
    }

    /// Forgets everybody: after a sleep nothing they said means anything.
    pub fn forget(&mut self) {
        self.records.clear();
    }

    /// How many probes were made over this family, and how many left outside the tunnel: until the assessment before,
    /// and until now.
    pub fn probes(&self) -> [ProbeCount; 2] {
        [self.probes_before, self.probes]
    }

    /// An assessment has taken all probes into account.
    pub fn assessed(&mut self) {
        self.probes_before = self.probes;
    }

    /// Whether an exit was measured after that moment.
    pub fn measured_after(&self, moment: Moment) -> bool {
        self.records
            .values()
            .any(|record| record.seen.as_ref().is_some_and(|sighting| sighting.at.boot > moment.boot))
    }

    /// When the last exit was measured.
    pub fn last_measured(&self) -> Option<Moment> {
        self.records.values().filter_map(|record| record.seen.as_ref()).map(|s| s.at).max_by_key(|at| at.boot)
    }

    /// Whether an exit was measured in that epoch.
    pub fn heard_in(&self, epoch: Epoch) -> bool {
        self.records.values().filter_map(|record| record.seen.as_ref()).any(|seen| seen.epoch == epoch)
    }

    /// Whether anybody was ever asked.
    pub fn asked(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether there is a voice of this sort.
    pub fn has_voice(&self, sort: impl Fn(&Source) -> bool) -> bool {
        self.records.keys().any(|(source, _)| sort(source))
    }

    /// What the voices add up to now. Those reached past the tunnel on purpose are never asked, so they are not here.
    pub fn read(&self, context: &JudgeContext<'_>) -> ExitTallies {
        let heard = |older: bool| self.fresh(context, older);
        let current = heard(false);
        let settled = |heard: &VoiceReport| !heard.names_home || heard.at.boot >= self.settled_from;
        let unsettled = !current.iter().all(settled);
        let now = Tally::of(current.into_iter().filter(settled).collect());
        let held = context.in_grace().then(|| Tally::of(heard(true)));
        ExitTallies { now, held, unsettled }
    }

    fn fresh(&self, context: &JudgeContext<'_>, older: bool) -> Vec<VoiceReport> {
        let silence = self.beacon_silence(context);
        let asked = self.asked_directly();
        let overtaken = |record: &VoiceRecord| {
            let sighting = record.seen.as_ref().filter(|_| record.path == ExitPath::Attested);
            let direct = asked.get(&record.voice.source);
            sighting.zip(direct).is_some_and(|(sighting, direct)| *direct > sighting.at.boot)
        };
        self.records
            .values()
            .filter(|record| record.is_fresh(context, older, silence) && !overtaken(record))
            .filter_map(|record| {
                record.seen.as_ref().map(|sighting| VoiceReport {
                    voice: record.voice.clone(),
                    exit: sighting.exit.clone(),
                    at: sighting.at,
                    since: sighting.since,
                    names_home: context.policy.home.contains(&sighting.exit),
                })
            })
            .collect()
    }

    /// When each voice last said what it sees in answer to a packet of ours. What it attests to is what it saw earlier:
    /// that neither outvotes nor outlives its own later word.
    fn asked_directly(&self) -> BTreeMap<&Source, Monotonic> {
        let direct = |record: &&VoiceRecord| matches!(record.path, ExitPath::Beacon | ExitPath::Stun);
        let mut latest = BTreeMap::new();
        for record in self.records.values().filter(direct) {
            if let Some(sighting) = &record.seen {
                let at = latest.entry(&record.voice.source).or_insert(sighting.at.boot);
                *at = sighting.at.boot.max(*at);
            }
        }
        latest
    }

    /// Since when the beacons have been silent, if they were heard in this epoch and no longer are. Whatever was
    /// measured before then may have been cut off together with them.
    pub(super) fn beacon_silence(&self, context: &JudgeContext<'_>) -> Option<Monotonic> {
        let beacons = self.records.values().filter(|record| record.path == ExitPath::Beacon);
        let sightings = beacons.filter_map(|record| record.seen.as_ref());
        let last = sightings
            .filter(|sighting| sighting.epoch == context.epoch)
            .map(|sighting| sighting.at)
            .max_by_key(|at| at.boot)?;
        let ttl = context.policy.thresholds.voice_ttl;
        (context.age(last) > ttl).then(|| last.boot.after(Millis(ttl.0 / 2)))
    }

    /// Keeps the memory bounded: the voice that was silent longest goes first.
    fn bound(&mut self) {
        while self.records.len() > VOICES {
            let oldest =
                self.records.iter().min_by_key(|(_, record)| record.at.boot).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.records.remove(&key);
        }
    }
}

impl VoiceRecord {
    /// Whether a voice's word still counts. A beacon's counts for seconds, and so does a sighting attested to, which is of
    /// such a packet. What is asked once per round counts until the next rounds, unless the same voice has failed to answer since, or the beacons have fallen silent meanwhile.
    pub(super) fn is_fresh(
        &self,
        context: &JudgeContext<'_>,
        older: bool,
        beacons_silent: Option<Monotonic>,
    ) -> bool {
        let Some(sighting) = &self.seen else { return false };
        if sighting.epoch != context.epoch && !older {
            return false;
        }
        let thresholds = &context.policy.thresholds;
        let age = context.age(sighting.at);
        let by_round = !matches!(self.path, ExitPath::Beacon | ExitPath::Attested)
            && sighting.epoch == context.epoch
            && self.last.measured().is_some()
            && beacons_silent.is_none_or(|since| sighting.at.boot > since);
        age <= thresholds.voice_ttl || (by_round && age <= thresholds.round_ttl)
    }
}

/// A voice that saw an address from outside the public internet did not see us across it: it is no voice.
fn crossing(seen: &ExitSeen, policy: &Policy) -> Outcome<Attributed> {
    match &seen.address {
        Outcome::Measured(exit)
            if policy.is_bogon(exit.address) || Family::of(exit.address) != seen.family =>
        {
            Outcome::Unknown(Reason::Malformed(format!(
                "{} is not an address of the public internet",
                exit.address
            )))
        }
        outcome => outcome.clone(),
    }
}

/// Whether what is known stands against a new outcome: because it is newer, or made at the same instant and to be
/// preferred. So the order in which simultaneous outcomes arrive does not matter, and home is never overlooked.
fn is_kept(
    known: &VoiceRecord,
    outcome: &Outcome<Attributed>,
    at: Moment,
    epoch: Epoch,
    policy: &Policy,
) -> bool {
    let same_epoch = known.seen.as_ref().is_none_or(|sighting| sighting.epoch == epoch);
    if known.at.boot != at.boot || !same_epoch {
        return known.at.boot > at.boot && same_epoch;
    }
    let rank = |outcome: &Outcome<Attributed>| {
        outcome.measured().map(|exit| (policy.home.contains(exit), exit.address))
    };
    known.last.measured().is_some() && rank(&known.last) >= rank(outcome)
}

const fn path_rank(path: ExitPath) -> u8 {
    match path {
        ExitPath::Beacon => 0,
        ExitPath::Attested => 1,
        ExitPath::Stun => 2,
        ExitPath::HttpsEcho => 3,
    }
}
