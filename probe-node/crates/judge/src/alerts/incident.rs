//! One finding tracked under one rule: a candidate first, then an open incident.
//!
//! ```text
//! Candidate ──▶ Firing ◀──▶ Recovering ──▶ resolved
//!     │           ▲             ▲
//!     ▼           ╰─▶ Unknown ◀─╯
//!  dropped
//! ```
//!
//! Each state carries what it needs to end, and nothing here has side effects: what happened is
//! returned as a [`Transition`].

use super::{
    candidate::{Candidate, CandidateStep},
    onsets::Onsets,
    open_incident::{OpenIncident, OpenStep},
    presence::Presence,
};
use crate::probes::ProbeCount;
use sentinel_model::{Incident, Millis, Moment, Rule};

/// What one assessment did to a tracked finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// Nothing that a person or the store would notice.
    Unchanged,
    /// The rule's trigger is met: the candidate is to be opened.
    Fired,
    /// An open incident changed its state.
    Changed,
    /// The incident is over.
    Resolved,
    /// The candidate never met the trigger.
    Dropped,
}

/// A finding tracked under a rule.
#[derive(Clone, Debug)]
pub(super) struct TrackedIncident {
    pub rule: Rule,
    /// When the condition lately began, under this incident and those just before it.
    pub onsets: Onsets,
    /// The probes made before the finding began; unknown after a restart.
    pub probes_before: Option<ProbeCount>,
    stage: Stage,
}

/// Whether the rule has fired.
#[derive(Clone, Debug)]
enum Stage {
    Candidate(Candidate),
    Open(Box<OpenIncident>),
}

impl TrackedIncident {
    /// Starts to track a finding.
    pub fn begin(rule: Rule, onsets: Onsets, probes_before: ProbeCount, now: Moment) -> Self {
        let stage = Stage::Candidate(Candidate::new(now));
        Self { rule, onsets, probes_before: Some(probes_before), stage }
    }

    /// Goes on with an incident that an earlier run left open; returns nothing if it is not open.
    pub fn resume(incident: Incident, rule: Rule) -> Option<Self> {
        let open = OpenIncident::resume(incident, &rule)?;
        Some(Self {
            rule,
            onsets: Onsets::default(),
            probes_before: None,
            stage: Stage::Open(Box::new(open)),
        })
    }

    /// Opens the incident of a rule that fired.
    pub fn open(&mut self, incident: Incident, is_announced: bool) {
        self.stage = Stage::Open(Box::new(OpenIncident::new(incident, is_announced)));
    }

    /// Returns true if the rule has not fired yet.
    pub fn is_candidate(&self) -> bool {
        matches!(self.stage, Stage::Candidate(_))
    }

    /// Returns the open incident, if the rule has fired.
    pub fn as_open(&self) -> Option<&OpenIncident> {
        match &self.stage {
            Stage::Candidate(_) => None,
            Stage::Open(open) => Some(open),
        }
    }

    /// Returns the open incident for changing it, if the rule has fired.
    pub fn as_open_mut(&mut self) -> Option<&mut OpenIncident> {
        match &mut self.stage {
            Stage::Candidate(_) => None,
            Stage::Open(open) => Some(open),
        }
    }

    /// Takes one assessment into account.
    ///
    /// `is_sample` says whether it counts as a new sample; `patience` is how long the finding may
    /// be undetermined before that matters.
    pub fn step(&mut self, presence: Presence, is_sample: bool, patience: Millis, now: Moment) -> Transition {
        match &mut self.stage {
            Stage::Candidate(candidate) => {
                match candidate.step(presence, is_sample, self.rule.trigger, patience, now) {
                    CandidateStep::Waiting => Transition::Unchanged,
                    CandidateStep::Triggered => {
                        self.onsets.record(now);
                        Transition::Fired
                    }
                    CandidateStep::Dropped => Transition::Dropped,
                }
            }
            Stage::Open(open) => {
                let clear_time = self.rule.clear.absent_for.max(self.onsets.damping(now));
                let flaps = open.flaps;
                let step = open.step(presence, clear_time, patience, now);
                if open.flaps > flaps {
                    self.onsets.record(now);
                }
                match step {
                    OpenStep::Unchanged => Transition::Unchanged,
                    OpenStep::Changed => Transition::Changed,
                    OpenStep::Resolved => Transition::Resolved,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::fallback_rule;
    use super::*;
    use sentinel_model::{
        Clear, FindingKind, IncidentId, IncidentState, Monotonic, RuleId, Severity, Timestamp, Trigger,
    };

    const PATIENCE: Millis = Millis(5_000);

    fn at(ms: u64) -> Moment {
        Moment { boot: Monotonic(ms), wall: Timestamp(0) }
    }

    fn incident() -> Incident {
        Incident {
            id: IncidentId("i".into()),
            rule: RuleId("r".into()),
            kind: FindingKind::ExitExposed,
            family: None,
            entity: None,
            title: String::new(),
            severity: Severity::Critical,
            state: IncidentState::Firing,
            sentence: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
            opened: at(0),
            changed: at(0),
            acknowledged: None,
        }
    }

    fn track(trigger: Trigger, absent_for: u64) -> TrackedIncident {
        let rule = Rule {
            trigger,
            clear: Clear { absent_for: Millis(absent_for) },
            ..fallback_rule(FindingKind::ExitExposed)
        };
        TrackedIncident::begin(rule, Onsets::default(), ProbeCount::default(), at(0))
    }

    fn run(tracked: &mut TrackedIncident, steps: &[(Presence, u64)]) -> Vec<Transition> {
        let step = |(presence, ms): &(Presence, u64)| {
            let transition = tracked.step(*presence, *ms > 0, PATIENCE, at(*ms));
            if transition == Transition::Fired {
                tracked.open(incident(), true);
            }
            transition
        };
        steps.iter().map(step).collect()
    }

    fn state(tracked: &TrackedIncident) -> IncidentState {
        tracked.as_open().unwrap().incident().state
    }

    #[test]
    fn an_incident_fires_recovers_and_resolves_after_its_clear_time() {
        let mut tracked = track(Trigger::AtOnce, 5_000);
        let steps = [
            (Presence::Present, 0),
            (Presence::Absent, 1_000),
            (Presence::Absent, 5_900),
            (Presence::Absent, 6_000),
        ];
        assert_eq!(
            run(&mut tracked, &steps),
            [Transition::Fired, Transition::Changed, Transition::Unchanged, Transition::Resolved]
        );
    }

    #[test]
    fn a_long_undetermined_finding_makes_the_incident_unknown_and_never_resolves_it() {
        let mut tracked = track(Trigger::AtOnce, 0);
        run(&mut tracked, &[(Presence::Present, 0)]);
        let undetermined: Vec<(Presence, u64)> =
            (1..10_000).map(|second| (Presence::Undetermined, second * 1_000)).collect();
        let steps = run(&mut tracked, &undetermined);
        assert_eq!(steps.iter().filter(|step| **step == Transition::Changed).count(), 1);
        assert_eq!(state(&tracked), IncidentState::Unknown);
        assert!(!steps.contains(&Transition::Resolved));
    }

    #[test]
    fn an_undetermined_step_restarts_the_clear_time() {
        let mut tracked = track(Trigger::AtOnce, 5_000);
        let steps = [
            (Presence::Present, 0),
            (Presence::Absent, 1_000),
            (Presence::Undetermined, 4_000),
            (Presence::Absent, 5_000),
            (Presence::Absent, 7_000),
            (Presence::Absent, 10_000),
        ];
        assert_eq!(run(&mut tracked, &steps).iter().position(|step| *step == Transition::Resolved), Some(5));
    }

    #[test]
    fn statistics_need_three_of_five_samples() {
        let mut sparse = track(Trigger::Samples { hits: 3, of: 5 }, 0);
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
        assert!(!run(&mut sparse, &timed).contains(&Transition::Fired));
        let mut dense = track(Trigger::Samples { hits: 3, of: 5 }, 0);
        let steps = run(&mut dense, &[(Presence::Present, 1), (Presence::Absent, 2), (Presence::Present, 3)]);
        assert_eq!(steps.last(), Some(&Transition::Fired));
    }

    #[test]
    fn a_duration_must_pass_without_an_absence() {
        let mut tracked = track(Trigger::For(Millis(1_500)), 0);
        let steps = [(Presence::Present, 0), (Presence::Present, 1_400), (Presence::Present, 1_500)];
        assert_eq!(run(&mut tracked, &steps).last(), Some(&Transition::Fired));
        let mut broken = track(Trigger::For(Millis(1_500)), 0);
        assert_eq!(
            run(&mut broken, &[(Presence::Present, 0), (Presence::Absent, 1_000)]).last(),
            Some(&Transition::Dropped)
        );
    }

    #[test]
    fn a_duration_survives_a_short_undetermined_time_and_not_a_long_one() {
        let fired = |undetermined: u64| {
            let mut tracked = track(Trigger::For(Millis(60_000)), 0);
            let steps = (0..120).map(|second| {
                let presence = if second % 30 >= 1 && second % 30 <= undetermined {
                    Presence::Undetermined
                } else {
                    Presence::Present
                };
                (presence, second * 1_000)
            });
            run(&mut tracked, &steps.collect::<Vec<_>>()).contains(&Transition::Fired)
        };
        assert!(fired(3));
        assert!(!fired(20));
    }

    #[test]
    fn inhibited_time_does_not_count_as_presence() {
        let mut tracked = track(Trigger::For(Millis(30_000)), 0);
        let inhibited: Vec<_> = (0..600).map(|second| (Presence::Inhibited, second * 1_000)).collect();
        run(&mut tracked, &inhibited);
        let present: Vec<_> = (600..640).map(|second| (Presence::Present, second * 1_000)).collect();
        assert_eq!(run(&mut tracked, &present).iter().position(|step| *step == Transition::Fired), Some(30));
    }

    #[test]
    fn an_inhibited_finding_stays_a_candidate_and_fires_once_it_is_not_inhibited() {
        let mut tracked = track(Trigger::AtOnce, 0);
        let steps = run(
            &mut tracked,
            &[(Presence::Inhibited, 0), (Presence::Inhibited, 1_000), (Presence::Present, 2_000)],
        );
        assert_eq!(steps, [Transition::Unchanged, Transition::Unchanged, Transition::Fired]);
    }

    #[test]
    fn flapping_never_fires_twice() {
        let mut tracked = track(Trigger::AtOnce, 60_000);
        let flaps: Vec<(Presence, u64)> = (0..100u64)
            .map(|i| (if i.is_multiple_of(2) { Presence::Present } else { Presence::Absent }, i * 1_000))
            .collect();
        let steps = run(&mut tracked, &flaps);
        assert_eq!(steps.iter().filter(|step| **step == Transition::Fired).count(), 1);
    }

    #[test]
    fn a_sleep_restarts_the_clear_time_and_forgets_how_long_it_was_undetermined() {
        let mut tracked = track(Trigger::AtOnce, 5_000);
        run(&mut tracked, &[(Presence::Present, 0), (Presence::Absent, 1_000)]);
        tracked.as_open_mut().unwrap().interrupt();
        let steps = [(Presence::Absent, 6_500), (Presence::Absent, 11_500)];
        assert_eq!(run(&mut tracked, &steps), [Transition::Unchanged, Transition::Resolved]);
    }

    #[test]
    fn an_unknown_incident_fires_again_without_counting_as_a_flap() {
        let mut tracked = track(Trigger::AtOnce, 5_000);
        run(
            &mut tracked,
            &[(Presence::Present, 0), (Presence::Undetermined, 1), (Presence::Undetermined, 5_001)],
        );
        assert_eq!(state(&tracked), IncidentState::Unknown);
        assert_eq!(run(&mut tracked, &[(Presence::Present, 6_000)]), [Transition::Changed]);
        assert_eq!((state(&tracked), tracked.as_open().unwrap().flaps), (IncidentState::Firing, 0));
        run(&mut tracked, &[(Presence::Absent, 7_000), (Presence::Present, 8_000)]);
        assert_eq!(tracked.as_open().unwrap().flaps, 1);
    }

    #[test]
    fn only_open_incidents_are_resumed_and_each_in_its_state() {
        let resume = |state| {
            let stored = Incident { state, ..incident() };
            TrackedIncident::resume(stored, fallback_rule(FindingKind::ExitExposed))
        };
        for open in [IncidentState::Firing, IncidentState::Recovering, IncidentState::Unknown] {
            assert_eq!(state(&resume(open).unwrap()), open);
        }
        assert!(resume(IncidentState::Pending).is_none() && resume(IncidentState::Resolved).is_none());
    }
}
