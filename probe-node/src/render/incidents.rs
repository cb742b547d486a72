//! Incidents, open and past.

use sentinel_model::{Incident, IncidentState, Severity, Timestamp, UtcOffset, humanize};
use std::fmt::Write as _;

/// Returns the incidents of the last days, or a sentence if there were none.
pub(crate) fn incidents(incidents: &[Incident], days: u16, now: Timestamp, offset: UtcOffset) -> String {
    if incidents.is_empty() {
        let span = if days == 1 { "day".to_owned() } else { format!("{days} days") };
        return format!("No incidents in the last {span}.");
    }
    incidents.iter().map(|each| incident(each, now, offset)).collect::<Vec<_>>().join("\n")
}

/// Returns the lines of one incident: severity, title, time, facts and advice.
pub(super) fn incident(incident: &Incident, now: Timestamp, offset: UtcOffset) -> String {
    let state = match incident.state {
        IncidentState::Firing | IncidentState::Pending => "",
        IncidentState::Recovering => " (recovering)",
        IncidentState::Unknown => " (undetermined now)",
        IncidentState::Resolved => " (ended)",
    };
    let opened = incident.opened.wall;
    let time = if incident.state == IncidentState::Resolved {
        format!(
            "began {} ago, lasted {}",
            humanize(now.since(opened)),
            humanize(incident.changed.wall.since(opened))
        )
    } else {
        opened.format_since(now, offset)
    };
    let acknowledged = if incident.acknowledged.is_some() { ", acknowledged" } else { "" };
    let mut text = format!(
        "  {}: {}, {time}{state}{acknowledged}\n    {}\n",
        severity_label(incident.severity),
        incident.title,
        incident.sentence
    );
    if incident.state != IncidentState::Resolved && !incident.advice.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {}", incident.advice);
    }
    text
}

fn severity_label(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::Warning => "Warning",
        Severity::Information => "Information",
    }
}
