//! The log of what differs between one snapshot and the next.

use super::scenario_run::ScenarioRun;
use crate::node_api::ReceivedSnapshot;
use sentinel_model::{FindingKey, IncidentState};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

impl ScenarioRun<'_> {
    /// Logs what differs from the previous snapshot.
    pub(super) fn log_changes(&mut self, received: &ReceivedSnapshot) {
        let shown = &received.snapshot.shown;
        if self.logged.verdict != Some(shown.verdict.verdict) {
            self.logged.verdict = Some(shown.verdict.verdict);
            let detail = json!({ "verdict": shown.verdict.verdict, "sentence": shown.verdict.sentence });
            self.log_at(received.at, "verdict", detail);
        }
        let mut findings = BTreeSet::new();
        for finding in &shown.findings {
            let key = finding.key();
            if !self.logged.findings.contains(&key) {
                let detail = json!({
                    "finding": finding.kind, "family": finding.family, "sentence": finding.sentence,
                });
                self.log_at(received.at, "finding", detail);
            }
            findings.insert(key);
        }
        let gone: Vec<_> = self.logged.findings.difference(&findings).cloned().collect();
        for FindingKey { kind, family, .. } in gone {
            self.log_at(received.at, "gone", json!({ "finding": kind, "family": family }));
        }
        self.logged.findings = findings;
        self.log_incidents(received);
    }

    fn log_incidents(&mut self, received: &ReceivedSnapshot) {
        let mut incidents = BTreeMap::new();
        for incident in &received.snapshot.shown.incidents {
            self.past_incidents.insert((incident.kind, incident.family));
            let key = incident.key();
            if self.settled {
                self.opened.entry(key.clone()).or_default().insert(incident.id.0.clone());
            }
            let now = (key, incident.state);
            if self.logged.incidents.get(&incident.id.0) != Some(&now) {
                let detail =
                    json!({ "incident": incident.kind, "family": incident.family, "state": incident.state });
                self.log_at(received.at, "incident", detail);
            }
            incidents.insert(incident.id.0.clone(), now);
        }
        let over: Vec<_> = self
            .logged
            .incidents
            .iter()
            .filter(|(id, _)| !incidents.contains_key(*id))
            .map(|(_, (key, _))| key.clone())
            .collect();
        for FindingKey { kind, family, .. } in over {
            let detail = json!({ "incident": kind, "family": family, "state": IncidentState::Resolved });
            self.log_at(received.at, "incident", detail);
        }
        self.logged.incidents = incidents;
    }
}
