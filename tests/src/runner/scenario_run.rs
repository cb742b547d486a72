//! The state of a running scenario.

use super::{outcome::Outcome, rounds::RoundTracker};
use crate::scenario::Scenario;
use anyhow::Result;
use sentinel_model::{Family, FindingKey, FindingKind, IncidentState, Snapshot, Verdict};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A running scenario: what has happened, and what has been published so far.
pub(super) struct ScenarioRun<'a> {
    pub(super) scenario: &'a Scenario,
    print: &'a mut dyn FnMut(&Value),
    began: Instant,
    /// Whether the world has settled, so that the faults may begin.
    pub(super) settled: bool,
    pub(super) logged: LoggedState,
    /// The injected faults to which expectations can refer, by their ids.
    pub(super) injected: BTreeMap<String, InjectedFault>,
    /// The state of each expectation, in the order of the file.
    pub(super) states: Vec<ExpectationState>,
    pub(super) rounds: RoundTracker,
    /// The latest snapshot.
    pub(super) last: Option<Snapshot>,
    /// The kind and family of every incident so far.
    pub(super) past_incidents: BTreeSet<(FindingKind, Option<Family>)>,
    /// The ids of the incidents about each subject since settling.
    pub(super) opened: BTreeMap<FindingKey, BTreeSet<String>>,
    pub(super) failures: Vec<String>,
    spoiled: Vec<String>,
    /// The forbidden findings that were reported already; their sentences may change every second.
    pub(super) forbidden_findings: BTreeSet<FindingKey>,
}

/// The state that was logged last, with which the next snapshot is compared.
#[derive(Debug, Default)]
pub(super) struct LoggedState {
    pub(super) verdict: Option<Verdict>,
    pub(super) findings: BTreeSet<FindingKey>,
    /// Subject and state of each incident, by its id.
    pub(super) incidents: BTreeMap<String, (FindingKey, IncidentState)>,
}

/// An injected fault to which expectations can refer.
#[derive(Debug)]
pub(super) struct InjectedFault {
    pub(super) at: Instant,
    /// Whether its effect has been observed in the world.
    pub(super) observed: bool,
    /// The expectations that the snapshot before the fault met already.
    pub(super) met_before: BTreeSet<usize>,
}

/// The state of an expectation.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpectationState {
    /// Undecided; the snapshots have met it since this time.
    Open { since: Option<Instant> },
    /// Met, this long after the fault.
    Met { took: Duration },
    /// Not met in time.
    Missed,
}

/// The result of looking for a fault's effect.
pub(super) struct ControlOutcome {
    pub(super) id: Option<String>,
    pub(super) fault: String,
    pub(super) effect: String,
    pub(super) result: Result<Duration>,
}

impl<'a> ScenarioRun<'a> {
    /// Starts a run whose log lines go to `print`.
    pub(super) fn new(scenario: &'a Scenario, print: &'a mut dyn FnMut(&Value)) -> Self {
        Self {
            scenario,
            print,
            began: Instant::now(),
            settled: false,
            logged: LoggedState::default(),
            injected: BTreeMap::new(),
            states: vec![ExpectationState::Open { since: None }; scenario.expect.len()],
            rounds: RoundTracker::default(),
            last: None,
            past_incidents: BTreeSet::new(),
            opened: BTreeMap::new(),
            failures: Vec::new(),
            spoiled: Vec::new(),
            forbidden_findings: BTreeSet::new(),
        }
    }

    /// Logs an event that happens now.
    pub(super) fn log(&mut self, event: &str, detail: Value) {
        self.log_at(Instant::now(), event, detail);
    }

    /// Logs an event that happened at a certain time.
    pub(super) fn log_at(&mut self, at: Instant, event: &str, detail: Value) {
        let ms = whole_millis(at.saturating_duration_since(self.began));
        let mut line = json!({ "ms": ms, "event": event });
        if let (Some(line), Value::Object(detail)) = (line.as_object_mut(), detail) {
            line.extend(detail);
        }
        (self.print)(&line);
    }

    /// Records a failure.
    pub(super) fn fail(&mut self, event: &str, failure: String) {
        self.log(event, json!({ "what": failure }));
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Records a failure that proves nothing about the program.
    pub(super) fn spoil(&mut self, event: &str, failure: String) {
        self.spoiled.push(failure.clone());
        self.fail(event, failure);
    }

    /// Ends the run.
    pub(super) fn finish(mut self) -> Outcome {
        let failures = std::mem::take(&mut self.failures);
        self.log("result", json!({ "passed": failures.is_empty(), "failures": failures }));
        let took = self.states.iter().map(|state| match state {
            ExpectationState::Met { took } => Some(*took),
            ExpectationState::Open { .. } | ExpectationState::Missed => None,
        });
        Outcome { failures, took: took.collect(), spoiled: self.spoiled, logs: String::new() }
    }
}

/// Returns a duration in whole milliseconds.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
