//! An open incident, as its card shows it.

use sentinel_model::{Family, Incident, IncidentState, Severity, Timestamp, UtcOffset, humanize};

/// The texts of an incident's card.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentSummary {
    /// The incident's title.
    pub title: String,
    /// The family it concerns, if it concerns one.
    pub family: Option<Family>,
    /// The fact.
    pub sentence: String,
    /// What to do.
    pub advice: String,
    /// Its state, since when, and how long that is.
    pub since: String,
    /// The name of the severity in the style sheet.
    pub class: &'static str,
    /// The severity in a word.
    pub severity: &'static str,
    /// When the person acknowledged it.
    pub acknowledged: Option<String>,
}

impl IncidentSummary {
    /// Describes an incident at a time.
    pub fn new(incident: &Incident, now: Timestamp, offset: UtcOffset) -> Self {
        let opened = incident.opened.wall;
        let (class, severity) = match incident.severity {
            Severity::Information => ("information", "Information"),
            Severity::Warning => ("warning", "Warning"),
            Severity::Critical => ("critical", "Critical"),
        };
        let lasted = humanize(now.since(opened));
        let since = opened.format_since(now, offset);
        Self {
            title: incident.title.clone(),
            family: incident.family,
            sentence: incident.sentence.clone(),
            advice: incident.advice.clone(),
            since: format!("{} {since}, {lasted}", state_label(incident.state)),
            class,
            severity,
            acknowledged: incident
                .acknowledged
                .map(|at| format!("Acknowledged at {}", at.format_local(now, offset))),
        }
    }
}

fn state_label(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Pending => "Pending",
        IncidentState::Firing => "Open",
        IncidentState::Recovering => "Recovering, open",
        IncidentState::Resolved => "Ended, was open",
        IncidentState::Unknown => "Undetermined now, open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Entity, FindingKind, IncidentId, Moment, Monotonic, RuleId};

    fn incident() -> Incident {
        let opened = Moment { boot: Monotonic(0), wall: Timestamp(50_531_000) };
        Incident {
            id: IncidentId::from("i1"),
            rule: RuleId::from("exit-exposed"),
            kind: FindingKind::ExitExposed,
            family: Some(Family::V4),
            entity: None,
            title: FindingKind::ExitExposed.title(None),
            severity: Severity::Critical,
            state: IncidentState::Firing,
            sentence: "198.51.100.142 (home line) seen over IPv4 by vps-fra.".into(),
            advice: "Reconnect the VPN or go offline.".into(),
            evidence: Vec::new(),
            opened,
            changed: opened,
            acknowledged: None,
        }
    }

    fn summarize(incident: &Incident) -> IncidentSummary {
        IncidentSummary::new(incident, Timestamp(50_572_000), UtcOffset(0))
    }

    #[test]
    fn a_summary_says_what_happened_and_since_when() {
        let summary = summarize(&incident());
        assert_eq!(summary.title, "Your real address is visible");
        assert_eq!(summary.since, "Open since 14:02:11, 41 s");
        assert_eq!(summary.acknowledged, None);
    }

    #[test]
    fn the_title_is_that_of_the_incident_for_every_kind() {
        for (kind, entity) in [
            (FindingKind::DnsLeak, None),
            (FindingKind::TunnelDown, None),
            (FindingKind::WitnessesSilent, None),
            (FindingKind::NodeSilent, Some(Entity::Node("home-server".into()))),
        ] {
            let title = kind.title(entity.as_ref());
            let incident = Incident { kind, entity, title: title.clone(), ..incident() };
            assert_eq!(summarize(&incident).title, title);
        }
        let renamed = Incident { title: "A title from a newer node".into(), ..incident() };
        assert_eq!(summarize(&renamed).title, "A title from a newer node");
    }

    #[test]
    fn an_undetermined_incident_is_still_shown_as_open() {
        let summary = summarize(&Incident { state: IncidentState::Unknown, ..incident() });
        assert!(summary.since.starts_with("Undetermined now, open since"), "{}", summary.since);
    }

    #[test]
    fn an_acknowledgement_has_its_date_from_a_day_on() {
        let acknowledged = Incident { acknowledged: Some(Timestamp(50_572_000)), ..incident() };
        let shown = |now| IncidentSummary::new(&acknowledged, Timestamp(now), UtcOffset(0)).acknowledged;
        assert_eq!(shown(50_600_000).as_deref(), Some("Acknowledged at 14:02:52"));
        assert_eq!(shown(136_972_000).as_deref(), Some("Acknowledged at 1970-01-01 14:02:52"));
    }
}
