//! What a story's log says of one snapshot after another: only what differs.

use super::Play;
use crate::Arrived;
use sentinel_model::{FindingKey, IncidentState, Verdict};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What has been shown last.
#[derive(Debug, Default)]
pub(super) struct Shown {
    verdict: Option<Verdict>,
    findings: BTreeSet<FindingKey>,
    incidents: BTreeMap<String, (FindingKey, IncidentState)>,
}

impl Play<'_> {
    /// Prints what differs from the snapshot before.
    pub(super) fn show(&mut self, arrived: &Arrived) {
        let snapshot = &arrived.snapshot;
        if self.shown.verdict != Some(snapshot.shown.verdict.verdict) {
            self.shown.verdict = Some(snapshot.shown.verdict.verdict);
            let detail = json!({ "verdict": snapshot.shown.verdict.verdict, "sentence": snapshot.shown.verdict.sentence });
            self.say_at(arrived.at, "verdict", detail);
        }
        let mut findings = BTreeSet::new();
        for finding in &snapshot.shown.findings {
            let about = finding.key();
            if !self.shown.findings.contains(&about) {
                let detail = json!({ "finding": finding.kind, "family": finding.family, "sentence": finding.sentence });
                self.say_at(arrived.at, "finding", detail);
            }
            findings.insert(about);
        }
        let gone: Vec<_> = self.shown.findings.difference(&findings).cloned().collect();
        for FindingKey { kind, family, .. } in gone {
            self.say_at(arrived.at, "gone", json!({ "finding": kind, "family": family }));
        }
        self.shown.findings = findings;
        self.show_incidents(arrived);
    }

    fn show_incidents(&mut self, arrived: &Arrived) {
        let mut incidents = BTreeMap::new();
        for incident in &arrived.snapshot.shown.incidents {
            self.had_incidents.insert((incident.kind, incident.family));
            let about = incident.key();
            if self.settled {
                self.opened.entry(about.clone()).or_default().insert(incident.id.0.clone());
            }
            let now = (about, incident.state);
            if self.shown.incidents.get(&incident.id.0) != Some(&now) {
                let detail =
                    json!({ "incident": incident.kind, "family": incident.family, "state": incident.state });
                self.say_at(arrived.at, "incident", detail);
            }
            incidents.insert(incident.id.0.clone(), now);
        }
        let over: Vec<_> = self
            .shown
            .incidents
            .iter()
            .filter(|(id, _)| !incidents.contains_key(*id))
            .map(|(_, it)| it.0.clone())
            .collect();
        for FindingKey { kind, family, .. } in over {
            let detail = json!({ "incident": kind, "family": family, "state": IncidentState::Resolved });
            self.say_at(arrived.at, "incident", detail);
        }
        self.shown.incidents = incidents;
    }
}
