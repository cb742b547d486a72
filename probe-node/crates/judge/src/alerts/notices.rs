//! Incidents and notices, made from findings.

use crate::{part_result::ReportedFinding, probes::ProbeCount, wording};
use sentinel_model::{
    Finding, Incident, IncidentId, IncidentState, Millis, Moment, Notice, NoticeKind, Rule, RuleId, Verdict,
};

/// Returns the incident of a rule that fired.
pub(super) fn build_incident(
    rule: &Rule,
    finding: &Finding,
    id: IncidentId,
    opened: Moment,
    now: Moment,
) -> Incident {
    Incident {
        id,
        rule: rule.id.clone(),
        kind: finding.kind,
        family: finding.family,
        entity: finding.entity.clone(),
        severity: rule.severity.unwrap_or(finding.severity),
        state: IncidentState::Firing,
        title: finding.title.clone(),
        sentence: finding.sentence.clone(),
        advice: finding.advice.clone(),
        evidence: finding.evidence.clone(),
        opened,
        changed: now,
        acknowledged: None,
    }
}

/// Returns `exit-exposed-v4-1700000000000`, followed by the name of its entity where there is one.
pub(super) fn build_id(rule: &RuleId, finding: &Finding, stamp: i64) -> IncidentId {
    let base = format!("{rule}-{}-{stamp}", wording::family_id(finding.family));
    IncidentId(match &finding.entity {
        Some(entity) => format!("{base}-{}", entity.name()),
        None => base,
    })
}

/// Returns the notice that an incident began.
pub(super) fn announce(incident: &Incident, reported: &ReportedFinding, now: Moment) -> Notice {
    Notice {
        incident: incident.id.clone(),
        kind: NoticeKind::Alarm,
        severity: incident.severity,
        title: reported.finding.title.clone(),
        body: reported.notice_body.clone(),
        at: now.wall,
    }
}

/// What the notice of an incident's end says besides the incident itself.
pub(super) struct Ending {
    pub verdict: Verdict,
    pub lasted: Millis,
    /// The probes made while it was open, if known.
    pub probes: Option<ProbeCount>,
    /// How often it came back.
    pub flaps: u32,
}

/// Returns the notice that an incident is over.
pub(super) fn announce_end(incident: &Incident, ending: &Ending, now: Moment) -> Notice {
    Notice {
        incident: incident.id.clone(),
        kind: NoticeKind::Resolve,
        severity: incident.severity,
        title: wording::end_title(incident, ending.verdict),
        body: wording::end_body(incident, ending.lasted, ending.probes, ending.flaps),
        at: now.wall,
    }
}
