//! What one snapshot must not say, and whether it says what is expected.

use super::Play;
use crate::scenario::Expect;
use sentinel_model::{Family, FindingKind, IncidentState, Severity, Snapshot, Verdict};

impl Play<'_> {
    pub(super) fn check_never(&mut self, snapshot: &Snapshot) {
        if !self.settled {
            return self.check_before(snapshot);
        }
        let (verdict, never, calm) =
            (snapshot.shown.verdict.verdict, &self.scenario.never, self.scenario.calm);
        let mut forbidden = Vec::new();
        let alarming = calm && matches!(verdict, Verdict::Exposed | Verdict::Suspect);
        if never.verdicts.contains(&verdict) || alarming || (never.anything && verdict != Verdict::Protected)
        {
            forbidden.push(format!("the verdict {verdict}"));
        }
        for finding in &snapshot.shown.findings {
            let severe = never.severity.is_some_and(|severity| finding.severity >= severity);
            let alarming = calm && finding.severity >= Severity::Warning && !self.is_allowed(finding.kind);
            let wrong = never.anything || severe || alarming || never.findings.contains(&finding.kind);
            if wrong && self.found.insert(finding.key()) {
                forbidden.push(format!("the finding {}: {}", finding.kind, finding.sentence));
            }
        }
        for incident in snapshot.shown.incidents.iter().filter(|_| never.anything) {
            forbidden.push(format!("an incident {}: {}", incident.kind, incident.sentence));
        }
        if never.second_incident {
            let again = self.opened.iter().filter(|(_, ids)| ids.len() > 1);
            forbidden.extend(again.map(|(key, _)| format!("a second incident {}", key.kind)));
        }
        for what in forbidden {
            if !self.failures.contains(&what) {
                self.fail("forbidden", what);
            }
        }
    }

    /// Whether a calm story says that this may be found.
    fn is_allowed(&self, kind: FindingKind) -> bool {
        let expected = self.scenario.expect.iter().any(|expect| expect.finding == Some(kind));
        expected || self.scenario.never.except.contains(&kind)
    }

    /// Before the story nothing has gone wrong.
    fn check_before(&mut self, snapshot: &Snapshot) {
        if snapshot.shown.verdict.verdict == Verdict::Exposed {
            self.fail("forbidden", "the verdict Exposed before the story begins".to_owned());
        }
        for finding in snapshot.shown.findings.iter().filter(|finding| finding.severity == Severity::Critical)
        {
            let what = format!("the finding {} before the story begins: {}", finding.kind, finding.sentence);
            if !self.failures.contains(&what) {
                self.fail("forbidden", what);
            }
        }
    }

    pub(super) fn matches(&self, expect: &Expect, snapshot: &Snapshot) -> bool {
        let is_it = |kind: FindingKind, family: Option<Family>| {
            expect.finding == Some(kind) && (expect.family.is_none() || expect.family == family)
        };
        let open = |state: IncidentState| {
            snapshot
                .shown
                .incidents
                .iter()
                .any(|incident| is_it(incident.kind, incident.family) && incident.state == state)
        };
        let verdict = expect.verdict.is_none_or(|verdict| verdict == snapshot.shown.verdict.verdict);
        let absent = !snapshot.shown.findings.iter().any(|finding| expect.without.contains(&finding.kind));
        let says = |sentence: &str| expect.says.as_deref().is_none_or(|words| sentence.contains(words));
        let found = snapshot
            .shown
            .findings
            .iter()
            .any(|finding| is_it(finding.kind, finding.family) && says(&finding.sentence));
        let occurred = match (expect.finding, expect.incident_state) {
            (None, _) => true,
            (Some(_), None) => found,
            (Some(_), Some(IncidentState::Resolved)) => {
                let had = self.had_incidents.iter().any(|(kind, family)| is_it(*kind, *family));
                had && !snapshot.shown.incidents.iter().any(|incident| is_it(incident.kind, incident.family))
            }
            // While it recovers or nobody can tell, the finding itself is gone.
            (Some(_), Some(state)) => open(state) && (found || state != IncidentState::Firing),
        };
        let network =
            expect.connectivity.is_none_or(|connectivity| connectivity == snapshot.shown.connectivity);
        verdict && absent && network && occurred
    }
}

/// An expectation in words.
pub(super) fn describe(expect: &Expect) -> String {
    let mut parts = Vec::new();
    if expect.for_ms > 0 {
        parts.push(format!("for {} ms", expect.for_ms));
    }
    parts.extend(expect.verdict.map(|verdict| format!("verdict {verdict}")));
    if let Some(finding) = expect.finding {
        let family = expect.family.map(|family| format!(" over {family}")).unwrap_or_default();
        let state =
            expect.incident_state.map(|state| format!(", its incident {state:?}")).unwrap_or_default();
        let says = expect.says.as_ref().map(|words| format!(", saying {words:?}")).unwrap_or_default();
        parts.push(format!("{finding}{family}{says}{state}"));
    }
    parts.extend(expect.connectivity.map(|connectivity| format!("connectivity {connectivity:?}")));
    parts.extend(expect.without.iter().map(|finding| format!("no {finding}")));
    parts.join("; ")
}
