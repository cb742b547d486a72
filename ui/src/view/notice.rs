//! The words for findings, incidents and nodes.

use super::{
    hero::Face,
    text::{ago, since},
};
use sentinel_model::{
    Family, Incident, IncidentState, NodeRole, NodeView, Reachability, Severity, Timestamp, UtcOffset,
    humanize,
};

/// An open incident as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// A few words.
    pub title: String,
    /// The family, where one is meant.
    pub family: Option<Family>,
    /// The fact.
    pub sentence: String,
    /// What to do.
    pub advice: String,
    /// Where it stands and since when.
    pub since: String,
    /// How loud it is, as the style sheet knows it.
    pub class: &'static str,
    /// How loud it is, in a word.
    pub severity: &'static str,
    /// When the person said they know.
    pub acknowledged: Option<String>,
}

impl Open {
    /// An incident as it is shown now.
    pub fn of(incident: &Incident, now: Timestamp, offset: UtcOffset) -> Self {
        let opened = incident.opened.wall;
        let (class, severity) = match incident.severity {
            Severity::Information => ("information", "Information"),
            Severity::Warning => ("warning", "Warning"),
            Severity::Critical => ("critical", "Critical"),
        };
        let lasted = humanize(now.since(opened));
        Self {
            title: incident.title.clone(),
            family: incident.family,
            sentence: incident.sentence.clone(),
            advice: incident.advice.clone(),
            since: format!("{} {}, {lasted}", state_word(incident.state), since(now, opened, offset)),
            class,
            severity,
            acknowledged: incident
                .acknowledged
                .map(|at| format!("Acknowledged at {}", at.format_local(now, offset))),
        }
    }
}

/// Where an incident stands, in a word.
fn state_word(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Pending => "Noticed",
        IncidentState::Firing => "Open",
        IncidentState::Recovering => "Recovering, open",
        IncidentState::Resolved => "Over",
        IncidentState::Unknown => "Nobody can tell now, open",
    }
}

/// What a node is for, in words.
pub fn role(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Desktop => "Desktop",
        NodeRole::Probe => "Witness",
        NodeRole::Home => "Home line",
    }
}

/// How a node is reached, in words.
pub fn reachability(node: &NodeView) -> &'static str {
    match (node.is_self, node.reachability) {
        (true, _) => "This node",
        (false, Reachability::Direct) => "Connected",
        (false, Reachability::Relayed) => "Connected through a relay",
        (false, Reachability::Lost) => "Not connected",
        (false, Reachability::Asleep) => "Asleep",
    }
}

/// When a node was last heard; of this one there is nothing to say.
pub fn heard(node: &NodeView, now: Timestamp) -> String {
    match (node.is_self, node.last_heard) {
        (true, _) => String::new(),
        (false, Some(at)) => format!("Heard {}", ago(now, at)),
        (false, None) => "Never heard".into(),
    }
}

/// What a node last said of itself, unless it cannot be asked any more: an old word is no verdict.
pub fn announced_now(node: &NodeView) -> Option<Face> {
    let announced = node.announced.as_ref()?;
    match node.reachability {
        _ if node.is_self => Some(Face::of(announced.verdict)),
        Reachability::Direct | Reachability::Relayed => Some(Face::of(announced.verdict)),
        Reachability::Lost | Reachability::Asleep => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Announcement, FindingKind, IncidentId, Moment, Monotonic, RuleId, Verdict};

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

    #[test]
    fn an_incident_says_what_and_since_when() {
        let open = Open::of(&incident(), Timestamp(50_572_000), UtcOffset(0));
        assert_eq!(open.title, "Your real address is visible");
        assert_eq!(open.since, "Open since 14:02:11, 41 s");
        assert_eq!(open.acknowledged, None);
    }

    #[test]
    fn an_acknowledgement_has_its_date_from_a_day_on() {
        let acknowledged = Incident { acknowledged: Some(Timestamp(50_572_000)), ..incident() };
        let shown = |now| Open::of(&acknowledged, Timestamp(now), UtcOffset(0)).acknowledged;
        assert_eq!(shown(50_600_000).as_deref(), Some("Acknowledged at 14:02:52"));
        assert_eq!(shown(136_972_000).as_deref(), Some("Acknowledged at 1970-01-01 14:02:52"));
    }

    #[test]
    fn what_nobody_can_tell_is_not_called_over() {
        let unknown = Incident { state: IncidentState::Unknown, ..incident() };
        let open = Open::of(&unknown, Timestamp(50_572_000), UtcOffset(0));
        assert!(open.since.starts_with("Nobody can tell now, open since"), "{}", open.since);
    }

    #[test]
    fn a_node_that_is_gone_vouches_for_nothing() {
        let said = Announcement {
            verdict: Verdict::Protected,
            since: Timestamp(0),
            open_incidents: 0,
            leaving: false,
            home_exit: Vec::new(),
            at: Timestamp(0),
        };
        let node = |reachability| NodeView {
            id: "n".into(),
            name: "home-server".into(),
            role: NodeRole::Home,
            is_self: false,
            reachability,
            announced: Some(said.clone()),
            last_heard: Some(Timestamp(1_000)),
        };
        assert_eq!(announced_now(&node(Reachability::Direct)), Some(Face::Protected));
        assert_eq!(announced_now(&node(Reachability::Lost)), None);
        assert_eq!(heard(&node(Reachability::Lost), Timestamp(91_000)), "Heard 1 min 30 s ago");
    }
}
