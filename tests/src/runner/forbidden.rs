//! The check of each snapshot for what a scenario forbids.

use super::scenario_run::ScenarioRun;
use sentinel_model::{FindingKind, Severity, Snapshot, Verdict};

impl ScenarioRun<'_> {
    /// Records a failure for everything in a snapshot that the scenario forbids.
    pub(super) fn check_forbidden(&mut self, snapshot: &Snapshot) {
        if !self.settled {
            return self.check_before_settling(snapshot);
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
            if wrong && self.forbidden_findings.insert(finding.key()) {
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

    /// Returns true if a calm scenario expects or excepts the finding.
    fn is_allowed(&self, kind: FindingKind) -> bool {
        let expected = self.scenario.expect.iter().any(|expect| expect.finding == Some(kind));
        expected || self.scenario.never.except.contains(&kind)
    }

    /// Before the first fault nothing is wrong, so `Exposed` and critical findings are failures.
    fn check_before_settling(&mut self, snapshot: &Snapshot) {
        if snapshot.shown.verdict.verdict == Verdict::Exposed {
            self.fail("forbidden", "the verdict Exposed before the first fault".to_owned());
        }
        for finding in snapshot.shown.findings.iter().filter(|finding| finding.severity == Severity::Critical)
        {
            let what = format!("the finding {} before the first fault: {}", finding.kind, finding.sentence);
            if !self.failures.contains(&what) {
                self.fail("forbidden", what);
            }
        }
    }
}
