//! One finding's life under one rule: Pending, Firing, Recovering, Resolved, and Unknown beside them. Small steps, no
//! side effects: what happened comes back as a value.

use crate::wording::Probes;
use sentinel_model::{
    FindingKind, Incident, IncidentState, Millis, Moment, Monotonic, Rule, Severity, Trigger,
};
use std::collections::VecDeque;

/// What an assessment says about one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is there.
    Present,
    /// It is there, but a graver finding speaks for it.
    Muted,
    /// It is not there, and the judge could tell.
    Absent,
    /// Nobody can tell.
    Blind,
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
pub(crate) struct Life {
    pub incident: Incident,
    pub rule: Rule,
    /// Whether the person was told that it began.
    pub announced: bool,
    /// Whether it comes from an earlier run, whose clock is not this one's.
    pub restored: bool,
    /// Acknowledged since the last assessment: to be stored.
    pub dirty: bool,
    /// The probes made before it began.
    pub probes: Option<Probes>,
    /// When the condition lately began, under this incident and those just before it.
    pub onsets: Onsets,
    /// How often it came back while this incident was recovering.
    pub flaps: u32,
    /// The last samples, the latest in the lowest bit, and how many there are.
    history: u32,
    /// How long it has been there without a break; what it was muted does not count.
    present_for: Option<Millis>,
    /// The step before.
    before: Option<(Sight, Moment)>,
    absent_since: Option<Moment>,
    blind_since: Option<Moment>,
}

impl Life {
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
            before: Some((Sight::Present, now)),
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
    pub fn step(&mut self, sight: Sight, sample: bool, patience: Millis, now: Moment) -> Step {
        self.remember(sight, sample, patience, now);
        match self.incident.state {
            IncidentState::Pending => self.pending(sight, patience, now),
            IncidentState::Resolved => Step::Quiet,
            state => {
                let next = self.open(state, sight, patience, now);
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

    fn remember(&mut self, sight: Sight, sample: bool, patience: Millis, now: Moment) {
        if sample && matches!(sight, Sight::Present | Sight::Absent) {
            self.history = (self.history << 1) | u32::from(sight == Sight::Present);
        }
        let keep = |kept: bool, since: Option<Moment>| if kept { since.or(Some(now)) } else { None };
        self.absent_since = keep(sight == Sight::Absent, self.absent_since);
        self.blind_since = keep(sight == Sight::Blind, self.blind_since);
        let counted = match self.before.replace((sight, now)) {
            Some((Sight::Present | Sight::Blind, at)) => lasted(Some(at), now),
            Some((Sight::Muted | Sight::Absent, _)) | None => Millis(0),
        };
        let so_far = self.present_for.map(|present| Millis(present.0.saturating_add(counted.0)));
        self.present_for = match sight {
            Sight::Present | Sight::Muted => so_far.or(Some(Millis(0))),
            // For a moment nobody can tell; only if it lasts does it break what was there.
            Sight::Blind if lasted(self.blind_since, now) < patience => so_far,
            Sight::Blind | Sight::Absent => None,
        };
    }

    fn pending(&mut self, sight: Sight, patience: Millis, now: Moment) -> Step {
        match sight {
            Sight::Present if self.is_triggered() => {
                self.onsets.note(now);
                self.enter(IncidentState::Firing, now);
                Step::Fired
            }
            Sight::Present | Sight::Muted => Step::Quiet,
            Sight::Absent if self.may_return() => Step::Quiet,
            Sight::Blind if lasted(self.blind_since, now) < patience => Step::Quiet,
            Sight::Absent | Sight::Blind => Step::Vanished,
        }
    }

    fn open(&self, state: IncidentState, sight: Sight, patience: Millis, now: Moment) -> IncidentState {
        match sight {
            Sight::Present | Sight::Muted => IncidentState::Firing,
            Sight::Absent if lasted(self.absent_since, now) >= self.clear_time(now) => {
                IncidentState::Resolved
            }
            Sight::Absent => IncidentState::Recovering,
            Sight::Blind if lasted(self.blind_since, now) >= patience => IncidentState::Unknown,
            Sight::Blind => state,
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

    fn life(trigger: Trigger, absent_for: u64) -> Life {
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
        Life::begin(incident, rule, at(0))
    }

    fn run(life: &mut Life, steps: &[(Sight, u64)]) -> Vec<Step> {
        steps.iter().map(|(sight, ms)| life.step(*sight, *ms > 0, PATIENCE, at(*ms))).collect()
    }

    #[test]
    fn fires_recovers_and_resolves_after_its_clear_time() {
        let mut life = life(Trigger::AtOnce, 5_000);
        let steps =
            [(Sight::Present, 0), (Sight::Absent, 1_000), (Sight::Absent, 5_900), (Sight::Absent, 6_000)];
        assert_eq!(run(&mut life, &steps), [Step::Fired, Step::Changed, Step::Quiet, Step::Resolved]);
    }

    #[test]
    fn silence_makes_it_unknown_and_never_resolves_it() {
        let mut life = life(Trigger::AtOnce, 0);
        run(&mut life, &[(Sight::Present, 0)]);
        let blind: Vec<(Sight, u64)> = (1..10_000).map(|second| (Sight::Blind, second * 1_000)).collect();
        let steps = run(&mut life, &blind);
        assert_eq!(steps.iter().filter(|step| **step == Step::Changed).count(), 1);
        assert_eq!(life.incident.state, IncidentState::Unknown);
        assert!(!steps.contains(&Step::Resolved));
    }

    #[test]
    fn a_blind_moment_starts_the_clear_time_anew() {
        let mut life = life(Trigger::AtOnce, 5_000);
        let steps = [
            (Sight::Present, 0),
            (Sight::Absent, 1_000),
            (Sight::Blind, 4_000),
            (Sight::Absent, 5_000),
            (Sight::Absent, 7_000),
            (Sight::Absent, 10_000),
        ];
        assert_eq!(run(&mut life, &steps).iter().position(|step| *step == Step::Resolved), Some(5));
    }

    #[test]
    fn statistics_need_three_of_five_samples() {
        let mut sparse = life(Trigger::Samples { hits: 3, of: 5 }, 0);
        let steps =
            [Sight::Present, Sight::Absent, Sight::Absent, Sight::Present, Sight::Absent, Sight::Absent];
        let timed: Vec<(Sight, u64)> =
            steps.into_iter().zip(0u64..).map(|(sight, s)| (sight, s * 1_000)).collect();
        assert!(!run(&mut sparse, &timed).contains(&Step::Fired));
        let mut dense = life(Trigger::Samples { hits: 3, of: 5 }, 0);
        let steps = run(&mut dense, &[(Sight::Present, 1), (Sight::Absent, 2), (Sight::Present, 3)]);
        assert_eq!(steps.last(), Some(&Step::Fired));
    }

    #[test]
    fn a_duration_is_counted_without_a_break() {
        let another = life;
        let mut life = life(Trigger::For(Millis(1_500)), 0);
        let steps = [(Sight::Present, 0), (Sight::Present, 1_400), (Sight::Present, 1_500)];
        assert_eq!(run(&mut life, &steps).last(), Some(&Step::Fired));
        let mut broken = another(Trigger::For(Millis(1_500)), 0);
        assert_eq!(
            run(&mut broken, &[(Sight::Present, 0), (Sight::Absent, 1_000)]).last(),
            Some(&Step::Vanished)
        );
    }

    #[test]
    fn a_blind_moment_does_not_break_a_duration_and_a_long_one_does() {
        let fired = |blind: u64| {
            let mut life = life(Trigger::For(Millis(60_000)), 0);
            let steps = (0..120).map(|second| {
                let sight =
                    if second % 30 >= 1 && second % 30 <= blind { Sight::Blind } else { Sight::Present };
                (sight, second * 1_000)
            });
            run(&mut life, &steps.collect::<Vec<_>>()).contains(&Step::Fired)
        };
        assert!(fired(3));
        assert!(!fired(20));
    }

    #[test]
    fn the_time_it_was_muted_does_not_count() {
        let mut life = life(Trigger::For(Millis(30_000)), 0);
        let muted: Vec<_> = (0..600).map(|second| (Sight::Muted, second * 1_000)).collect();
        run(&mut life, &muted);
        let present: Vec<_> = (600..640).map(|second| (Sight::Present, second * 1_000)).collect();
        assert_eq!(run(&mut life, &present).iter().position(|step| *step == Step::Fired), Some(30));
    }

    #[test]
    fn a_muted_finding_stays_pending_and_fires_when_it_speaks_for_itself() {
        let mut life = life(Trigger::AtOnce, 0);
        let steps = run(&mut life, &[(Sight::Muted, 0), (Sight::Muted, 1_000), (Sight::Present, 2_000)]);
        assert_eq!(steps, [Step::Quiet, Step::Quiet, Step::Fired]);
    }

    #[test]
    fn flapping_never_fires_twice() {
        let mut life = life(Trigger::AtOnce, 60_000);
        let flaps: Vec<(Sight, u64)> = (0..100u64)
            .map(|i| (if i.is_multiple_of(2) { Sight::Present } else { Sight::Absent }, i * 1_000))
            .collect();
        let steps = run(&mut life, &flaps);
        assert_eq!(steps.iter().filter(|step| **step == Step::Fired).count(), 1);
    }
}
