//! Whether and when the snapshots meet a scenario's expectations.

use super::scenario_run::{ExpectationState, ScenarioRun, whole_millis};
use crate::{node_api::ReceivedSnapshot, scenario::ExpectedSnapshot};
use sentinel_model::{Family, FindingKind, IncidentState, Snapshot};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

impl ScenarioRun<'_> {
    /// Processes a snapshot: logs its changes, and compares it with what is forbidden and expected.
    pub(super) fn observe(&mut self, received: &ReceivedSnapshot) {
        self.rounds.observe(received);
        self.log_changes(received);
        self.check_forbidden(&received.snapshot);
        let scenario = self.scenario;
        for (index, expect) in scenario.expect.iter().enumerate() {
            let (Some(injected), ExpectationState::Open { since }) =
                (self.injected.get(&expect.after), self.states[index])
            else {
                continue;
            };
            // A state from before the fault counts only once a later round has confirmed it.
            let caused_by_fault = !injected.met_before.contains(&index)
                || (injected.observed && self.rounds.has_round_since(injected.at));
            let met =
                caused_by_fault && received.at > injected.at && self.matches(expect, &received.snapshot);
            self.states[index] = ExpectationState::Open { since: met.then(|| since.unwrap_or(received.at)) };
        }
        self.decide(received.at);
        self.last = Some(received.snapshot.clone());
    }

    /// Returns the expectations that the latest snapshot meets.
    pub(super) fn list_met(&self) -> BTreeSet<usize> {
        let Some(snapshot) = &self.last else { return BTreeSet::new() };
        let all = self.scenario.expect.iter().enumerate();
        all.filter(|(_, expect)| self.matches(expect, snapshot)).map(|(index, _)| index).collect()
    }

    /// Returns the earliest time at which an expectation is decided without a further snapshot.
    pub(super) fn next_decision(&self) -> Option<Instant> {
        let decision = |(index, injected): (usize, Instant)| {
            let expect = &self.scenario.expect[index];
            let since = match self.states[index] {
                ExpectationState::Open { since } => since,
                ExpectationState::Met { .. } | ExpectationState::Missed => return None,
            };
            let deadline = injected + Duration::from_millis(expect.within_ms);
            Some(since.map_or(deadline, |since| since + Duration::from_millis(expect.for_ms)))
        };
        self.list_begun().filter_map(decision).min()
    }

    /// Returns the expectations whose fault has been injected, each with the time of the injection.
    fn list_begun(&self) -> impl Iterator<Item = (usize, Instant)> {
        let all = self.scenario.expect.iter().enumerate();
        all.filter_map(|(index, expect)| Some((index, self.injected.get(&expect.after)?.at)))
    }

    /// Decides the expectations that have been met for long enough, or whose deadline has passed.
    pub(super) fn decide(&mut self, now: Instant) {
        let scenario = self.scenario;
        for (index, injected) in self.list_begun().collect::<Vec<_>>() {
            let (ExpectationState::Open { since }, expect) = (self.states[index], &scenario.expect[index])
            else {
                continue;
            };
            let deadline = injected + Duration::from_millis(expect.within_ms);
            match since {
                Some(since) if since <= deadline => {
                    if now < since + Duration::from_millis(expect.for_ms) {
                        continue;
                    }
                    let took = since - injected;
                    self.states[index] = ExpectationState::Met { took };
                    let what = json!({
                        "after": expect.after, "what": describe(expect), "took_ms": whole_millis(took),
                    });
                    self.log_at(since, "met", what);
                }
                _ if now >= deadline => {
                    self.states[index] = ExpectationState::Missed;
                    let (after, within, what) = (&expect.after, expect.within_ms, describe(expect));
                    self.fail("missed", format!("after {after}, within {within} ms: {what}"));
                }
                _ => {}
            }
        }
    }

    /// Returns true if a snapshot meets an expectation.
    fn matches(&self, expect: &ExpectedSnapshot, snapshot: &Snapshot) -> bool {
        let shown = &snapshot.shown;
        let is_subject = |kind: FindingKind, family: Option<Family>| {
            expect.finding == Some(kind) && (expect.family.is_none() || expect.family == family)
        };
        let has_incident = |state: IncidentState| {
            let mut incidents = shown.incidents.iter();
            incidents.any(|incident| is_subject(incident.kind, incident.family) && incident.state == state)
        };
        let verdict = expect.verdict.is_none_or(|verdict| verdict == shown.verdict.verdict);
        let absent = !shown.findings.iter().any(|finding| expect.without.contains(&finding.kind));
        let says = |sentence: &str| expect.says.as_deref().is_none_or(|words| sentence.contains(words));
        let found = shown
            .findings
            .iter()
            .any(|finding| is_subject(finding.kind, finding.family) && says(&finding.sentence));
        let occurred = match (expect.finding, expect.incident_state) {
            (None, _) => true,
            (Some(_), None) => found,
            (Some(_), Some(IncidentState::Resolved)) => {
                let existed = self.past_incidents.iter().any(|(kind, family)| is_subject(*kind, *family));
                existed && !shown.incidents.iter().any(|incident| is_subject(incident.kind, incident.family))
            }
            // The finding is absent while its incident recovers or its state is unknown.
            (Some(_), Some(state)) => has_incident(state) && (found || state != IncidentState::Firing),
        };
        let connectivity = expect.connectivity.is_none_or(|connectivity| connectivity == shown.connectivity);
        verdict && absent && connectivity && occurred
    }
}

/// Describes an expectation for the log.
fn describe(expect: &ExpectedSnapshot) -> String {
    let mut parts = Vec::new();
    if expect.for_ms > 0 {
        parts.push(format!("for {} ms", expect.for_ms));
    }
    parts.extend(expect.verdict.map(|verdict| format!("verdict {verdict}")));
    if let Some(finding) = expect.finding {
        let family = expect.family.map(|family| format!(" over {family}")).unwrap_or_default();
        let state =
            expect.incident_state.map(|state| format!(", its incident {state:?}")).unwrap_or_default();
        let says = expect.says.as_ref().map(|words| format!(", naming {words:?}")).unwrap_or_default();
        parts.push(format!("{finding}{family}{says}{state}"));
    }
    parts.extend(expect.connectivity.map(|connectivity| format!("connectivity {connectivity:?}")));
    parts.extend(expect.without.iter().map(|finding| format!("no {finding}")));
    parts.join("; ")
}
