//! One finding's life under one rule: Pending, Firing, Recovering, Resolved, and Unknown beside them. Small steps, no
//! side effects: what happened comes back as a value.

use crate::wording::ProbeCount;
use sentinel_model::{
    FindingKind, Incident, IncidentState, Millis, Moment, Monotonic, Rule, Severity, Trigger,
};
use std::collections::VecDeque;

/// What an assessment says about one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is there.
    Present,
    /// It is there, but a graver finding speaks for it.
    Inhibited,
    /// It is not there, and the judge could tell.
    Absent,
    /// Nobody can tell.
    Undetermined,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing a person or the store would notice.
    Quiet,
    /// The trigger is met: the incident opens.
    Fired,
    /// An open incident changed state.
    Changed,
    /// The incident is over.
    Resolved,
    /// It never came to anything.
    Vanished,
}

/// When a condition lately began. One that comes and goes is one incident: the oftener it came, the longer it must stay
/// away before anybody is told that it is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Onsets(VecDeque<Monotonic>);

impl Onsets {
    /// How far back they count.
    const WINDOW: Millis = Millis::secs(600);
    /// From how many on they damp.
    const MANY: usize = 3;
    /// How many are remembered; more would not damp any further.
    const KEPT: usize = 8;
    /// How long the condition must then stay away, doubled with every further onset up to the longest.
    const DAMPING: Millis = Millis::secs(60);
    const LONGEST: Millis = Millis::secs(300);

    fn note(&mut self, now: Moment) {
        self.0.push_back(now.boot);
        while self.0.len() > Self::KEPT {
            self.0.pop_front();
        }
    }

    fn recent(&self, now: Moment) -> usize {
        self.0.iter().filter(|at| now.boot.since(**at) < Self::WINDOW).count()
    }

    /// Whether none of them counts any more.
    pub fn is_past(&self, now: Moment) -> bool {
        self.recent(now) == 0
    }

    fn damping(&self, now: Moment) -> Millis {
        match self.recent(now).checked_sub(Self::MANY) {
            None => Millis(0),
            Some(further) => Millis((Self::DAMPING.0 << further.min(8)).min(Self::LONGEST.0)),
        }
    }
}

/// A finding's life under a rule.
#[derive(Clone, Debug)]
pub(crate) struct TrackedIncident {
    pub incident: Incident,
    pub rule: Rule,
    /// Whether the person was told that it began.
    pub announced: bool,
    /// Whether it comes from an earlier run, whose clock is not this one's.
    pub restored: bool,
    /// Acknowledged since the last assessment: to be stored.
    pub dirty: bool,
    /// The probes made before it began.
    pub probes: Option<ProbeCount>,
    /// When the condition lately began, under this incident and those just before it.
    pub onsets: Onsets,
    /// How often it came back while this incident was recovering.
    pub flaps: u32,
    /// The last samples, the latest in the lowest bit, and how many there are.
    history: u32,
    /// How long it has been there without a break; what it was muted does not count.
    present_for: Option<Millis>,
    /// The step before.
    before: Option<(Presence, Moment)>,
    absent_since: Option<Moment>,
    blind_since: Option<Moment>,
}

impl TrackedIncident {
    /// A life that begins with a finding.
    pub fn begin(incident: Incident, rule: Rule, now: Moment) -> Self {
        Self {
            incident,
            rule,
            announced: false,
            restored: false,
            dirty: false,
            probes: None,
            onsets: Onsets::default(),
            flaps: 0,
            history: 1,
            present_for: Some(Millis(0)),
            before: Some((Presence::Present, now)),
            absent_since: None,
            blind_since: None,
        }
    }

    /// A life that goes on from an earlier run.
    pub fn resume(incident: Incident, rule: Rule, now: Moment) -> Self {
        let announced = rule.notify && !is_on_purpose(incident.kind, incident.severity);
        Self { announced, restored: true, history: 0, present_for: None, ..Self::begin(incident, rule, now) }
    }

    /// Forgets what is only suspected or half over: the machine slept in between.
    pub fn interrupt(&mut self) {
        self.history = 0;
        self.present_for = None;
        self.before = None;
        self.absent_since = None;
        self.blind_since = None;
    }

    pub fn is_pending(&self) -> bool {
        self.incident.state == IncidentState::Pending
    }

    /// Takes one assessment into account. `sample` says whether it counts as a new sample; `patience` is how long nobody
    /// must be able to tell before the incident is unknown.
    pub fn step(&mut self, presence: Presence, sample: bool, patience: Millis, now: Moment) -> Step {
        self.remember(presence, sample, patience, now);
        match self.incident.state {
            IncidentState::Pending => self.pending(presence, patience, now),
            IncidentState::Resolved => Step::Quiet,
            state => {
                let next = self.open(state, presence, patience, now);
                if next == state {
                    return Step::Quiet;
                }
                if state == IncidentState::Recovering && next == IncidentState::Firing {
                    self.flaps = self.flaps.saturating_add(1);
                    self.onsets.note(now);
                }
                self.enter(next, now);
                if next == IncidentState::Resolved { Step::Resolved } else { Step::Changed }
            }
        }
    }

    fn remember(&mut self, presence: Presence, sample: bool, patience: Millis, now: Moment) {
        if sample && matches!(presence, Presence::Present | Presence::Absent) {
            self.history = (self.history << 1) | u32::from(presence == Presence::Present);
        }
        let keep = |kept: bool, since: Option<Moment>| if kept { since.or(Some(now)) } else { None };
        self.absent_since = keep(presence == Presence::Absent, self.absent_since);
        self.blind_since = keep(presence == Presence::Undetermined, self.blind_since);
        let counted = match self.before.replace((presence, now)) {
            Some((Presence::Present | Presence::Undetermined, at)) => lasted(Some(at), now),
            Some((Presence::Inhibited | Presence::Absent, _)) | None => Millis(0),
        };
        let so_far = self.present_for.map(|present| Millis(present.0.saturating_add(counted.0)));
        self.present_for = match presence {
            Presence::Present | Presence::Inhibited => so_far.or(Some(Millis(0))),
            // For a moment nobody can tell; only if it lasts does it break what was there.
            Presence::Undetermined if lasted(self.blind_since, now) < patience => so_far,
            Presence::Undetermined | Presence::Absent => None,
        };
    }

    fn pending(&mut self, presence: Presence, patience: Millis, now: Moment) -> Step {
        match presence {
            Presence::Present if self.is_triggered() => {
                self.onsets.note(now);
                self.enter(IncidentState::Firing, now);
                Step::Fired
            }
            Presence::Present | Presence::Inhibited => Step::Quiet,
            Presence::Absent if self.may_return() => Step::Quiet,
            Presence::Undetermined if lasted(self.blind_since, now) < patience => Step::Quiet,
            Presence::Absent | Presence::Undetermined => Step::Vanished,
        }
    }

    fn open(&self, state: IncidentState, presence: Presence, patience: Millis, now: Moment) -> IncidentState {
        match presence {
            Presence::Present | Presence::Inhibited => IncidentState::Firing,
            Presence::Absent if lasted(self.absent_since, now) >= self.clear_time(now) => {
                IncidentState::Resolved
            }
            Presence::Absent => IncidentState::Recovering,
            Presence::Undetermined if lasted(self.blind_since, now) >= patience => IncidentState::Unknown,
            Presence::Undetermined => state,
        }
    }

    /// How long it must be gone to be over: as the rule says, and longer if it keeps coming back.
    fn clear_time(&self, now: Moment) -> Millis {
        self.rule.clear.absent_for.max(self.onsets.damping(now))
    }

    fn is_triggered(&self) -> bool {
        match self.rule.trigger {
            Trigger::AtOnce => true,
            Trigger::Samples { hits, of } => {
                let window = u32::from(of.max(hits)).min(u32::BITS);
                let mask = u32::MAX.checked_shr(u32::BITS - window).unwrap_or(0);
                (self.history & mask).count_ones() >= u32::from(hits)
            }
            Trigger::For(span) => self.present_for.is_some_and(|present| present >= span),
        }
    }

    /// Whether a pending life may still come to something: samples are counted over a window with gaps in it.
    fn may_return(&self) -> bool {
        match self.rule.trigger {
            Trigger::Samples { hits, of } => {
                let window = u32::from(of.max(hits)).min(u32::BITS);
                self.history & u32::MAX.checked_shr(u32::BITS - window).unwrap_or(0) != 0
            }
            Trigger::AtOnce | Trigger::For(_) => false,
        }
    }

    fn enter(&mut self, state: IncidentState, now: Moment) {
        self.incident.state = state;
        self.incident.changed = now;
    }
}

/// What a VPN provider does for its customers is recorded, but nobody is told.
pub(crate) fn is_on_purpose(kind: FindingKind, severity: Severity) -> bool {
    kind == FindingKind::DnsInterception && severity == Severity::Information
}

fn lasted(since: Option<Moment>, now: Moment) -> Millis {
    since.map_or(Millis(0), |since| now.boot.since(since.boot))
}

#[cfg(test)]
mod tests {
    use super::super::rules::fallback;
    use super::*;
    use sentinel_model::{Clear, IncidentId, Timestamp};

    const PATIENCE: Millis = Millis(5_000);

    fn at(ms: u64) -> Moment {
        Moment { boot: Monotonic(ms), wall: Timestamp(0) }
    }

    fn life(trigger: Trigger, absent_for: u64) -> TrackedIncident {
        let rule = Rule {
            trigger,
            clear: Clear { absent_for: Millis(absent_for) },
            ..fallback(FindingKind::ExitExposed)
        };
        let incident = Incident {
            id: IncidentId("i".into()),
            rule: rule.id.clone(),
            kind: FindingKind::ExitExposed,
            family: None,
            entity: None,
            title: String::new(),
            severity: Severity::Critical,
            state: IncidentState::Pending,
            sentence: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
            opened: at(0),
            changed: at(0),
            acknowledged: None,
        };
        TrackedIncident::begin(incident, rule, at(0))
    }

    fn run(life: &mut TrackedIncident, steps: &[(Presence, u64)]) -> Vec<Step> {
        steps.iter().map(|(presence, ms)| life.step(*presence, *ms > 0, PATIENCE, at(*ms))).collect()
    }

    #[test]
    fn fires_recovers_and_resolves_after_its_clear_time() {
        let mut life = life(Trigger::AtOnce, 5_000);
        let steps = [
            (Presence::Present, 0),
            (Presence::Absent, 1_000),
            (Presence::Absent, 5_900),
            (Presence::Absent, 6_000),
        ];
        assert_eq!(run(&mut life, &steps), [Step::Fired, Step::Changed, Step::Quiet, Step::Resolved]);
    }

    #[test]
    fn silence_makes_it_unknown_and_never_resolves_it() {
        let mut life = life(Trigger::AtOnce, 0);
        run(&mut life, &[(Presence::Present, 0)]);
        let blind: Vec<(Presence, u64)> =
            (1..10_000).map(|second| (Presence::Undetermined, second * 1_000)).collect();
        let steps = run(&mut life, &blind);
        assert_eq!(steps.iter().filter(|step| **step == Step::Changed).count(), 1);
        assert_eq!(life.incident.state, IncidentState::Unknown);
        assert!(!steps.contains(&Step::Resolved));
    }

    #[test]
    fn a_blind_moment_starts_the_clear_time_anew() {
        let mut life = life(Trigger::AtOnce, 5_000);
        let steps = [
            (Presence::Present, 0),
            (Presence::Absent, 1_000),
            (Presence::Undetermined, 4_000),
            (Presence::Absent, 5_000),
            (Presence::Absent, 7_000),
            (Presence::Absent, 10_000),
        ];
        assert_eq!(run(&mut life, &steps).iter().position(|step| *step == Step::Resolved), Some(5));
    }

    #[test]
    fn statistics_need_three_of_five_samples() {
        let mut sparse = life(Trigger::Samples { hits: 3, of: 5 }, 0);
        let steps = [
            Presence::Present,
            Presence::Absent,
            Presence::Absent,
            Presence::Present,
            Presence::Absent,
            Presence::Absent,
        ];
        let timed: Vec<(Presence, u64)> =
            steps.into_iter().zip(0u64..).map(|(presence, s)| (presence, s * 1_000)).collect();
        assert!(!run(&mut sparse, &timed).contains(&Step::Fired));
        let mut dense = life(Trigger::Samples { hits: 3, of: 5 }, 0);
        let steps = run(&mut dense, &[(Presence::Present, 1), (Presence::Absent, 2), (Presence::Present, 3)]);
        assert_eq!(steps.last(), Some(&Step::Fired));
    }

    #[test]
    fn a_duration_is_counted_without_a_break() {
        let another = life;
        let mut life = life(Trigger::For(Millis(1_500)), 0);
        let steps = [(Presence::Present, 0), (Presence::Present, 1_400), (Presence::Present, 1_500)];
        assert_eq!(run(&mut life, &steps).last(), Some(&Step::Fired));
        let mut broken = another(Trigger::For(Millis(1_500)), 0);
        assert_eq!(
            run(&mut broken, &[(Presence::Present, 0), (Presence::Absent, 1_000)]).last(),
            Some(&Step::Vanished)
        );
    }

    #[test]
    fn a_blind_moment_does_not_break_a_duration_and_a_long_one_does() {
        let fired = |blind: u64| {
            let mut life = life(Trigger::For(Millis(60_000)), 0);
            let steps = (0..120).map(|second| {
                let presence = if second % 30 >= 1 && second % 30 <= blind {
                    Presence::Undetermined
                } else {
                    Presence::Present
                };
                (presence, second * 1_000)
            });
            run(&mut life, &steps.collect::<Vec<_>>()).contains(&Step::Fired)
        };
        assert!(fired(3));
        assert!(!fired(20));
    }

    #[test]
    fn the_time_it_was_muted_does_not_count() {
        let mut life = life(Trigger::For(Millis(30_000)), 0);
        let muted: Vec<_> = (0..600).map(|second| (Presence::Inhibited, second * 1_000)).collect();
        run(&mut life, &muted);
        let present: Vec<_> = (600..640).map(|second| (Presence::Present, second * 1_000)).collect();
        assert_eq!(run(&mut life, &present).iter().position(|step| *step == Step::Fired), Some(30));
    }

    #[test]
    fn a_muted_finding_stays_pending_and_fires_when_it_speaks_for_itself() {
        let mut life = life(Trigger::AtOnce, 0);
        let steps = run(
            &mut life,
            &[(Presence::Inhibited, 0), (Presence::Inhibited, 1_000), (Presence::Present, 2_000)],
        );
        assert_eq!(steps, [Step::Quiet, Step::Quiet, Step::Fired]);
    }

    #[test]
    fn flapping_never_fires_twice() {
        let mut life = life(Trigger::AtOnce, 60_000);
        let flaps: Vec<(Presence, u64)> = (0..100u64)
            .map(|i| (if i.is_multiple_of(2) { Presence::Present } else { Presence::Absent }, i * 1_000))
            .collect();
        let steps = run(&mut life, &flaps);
        assert_eq!(steps.iter().filter(|step| **step == Step::Fired).count(), 1);
    }
}
