//! One of the user's nodes, as the list shows it.

use super::{shape::VerdictShape, text::format_age};
use sentinel_model::{NodeRole, NodeView, Reachability, Timestamp};

/// Returns what a node is for.
pub fn role_label(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Desktop => "Desktop",
        NodeRole::Probe => "Witness",
        NodeRole::Home => "Home line",
    }
}

/// Returns how a node is reached.
pub fn reachability_label(node: &NodeView) -> &'static str {
    match (node.is_self, node.reachability) {
        (true, _) => "This node",
        (false, Reachability::Direct) => "Connected",
        (false, Reachability::Relayed) => "Connected through a relay",
        (false, Reachability::Lost) => "Not connected",
        (false, Reachability::Asleep) => "Asleep",
    }
}

/// Describes when a node was last heard, and why its name keeps it from being reached; empty for
/// this node.
pub fn describe_last_heard(node: &NodeView, now: Timestamp) -> String {
    let heard = match (node.is_self, node.last_heard) {
        (true, _) => return String::new(),
        (false, Some(at)) => format!("Last heard {}", format_age(now, at)),
        (false, None) => "Not heard yet".into(),
    };
    node.name_error.as_ref().map_or(heard.clone(), |cause| format!("{heard}; {cause}"))
}

/// Returns the shape of the verdict that a node announced.
///
/// The verdict of a node that is not connected is out of date, so it is not shown.
pub fn announced_shape(node: &NodeView) -> Option<VerdictShape> {
    let announced = node.announced.as_ref()?;
    match node.reachability {
        _ if node.is_self => Some(announced.verdict.into()),
        Reachability::Direct | Reachability::Relayed => Some(announced.verdict.into()),
        Reachability::Lost | Reachability::Asleep => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Announcement, Verdict};

    fn node(reachability: Reachability) -> NodeView {
        let announcement = Announcement {
            verdict: Verdict::Protected,
            since: Timestamp(0),
            open_incidents: 0,
            leaving: false,
            home_exit: Vec::new(),
            at: Timestamp(0),
        };
        NodeView {
            id: "n".into(),
            name: "home-server".into(),
            role: NodeRole::Home,
            is_self: false,
            reachability,
            name_error: None,
            announced: Some(announcement),
            last_heard: Some(Timestamp(1_000)),
        }
    }

    #[test]
    fn the_verdict_of_a_lost_node_is_not_shown() {
        assert_eq!(announced_shape(&node(Reachability::Direct)), Some(VerdictShape::Protected));
        assert_eq!(announced_shape(&node(Reachability::Lost)), None);
        assert_eq!(announced_shape(&node(Reachability::Asleep)), None);
    }

    #[test]
    fn the_time_of_the_last_contact_is_shown_for_other_nodes_only() {
        let lost = node(Reachability::Lost);
        assert_eq!(describe_last_heard(&lost, Timestamp(91_000)), "Last heard 1 min 30 s ago");
        let silent = NodeView { last_heard: None, ..lost.clone() };
        assert_eq!(describe_last_heard(&silent, Timestamp(91_000)), "Not heard yet");
        let unresolved =
            NodeView { name_error: Some("the name vps.example cannot be resolved".into()), ..silent.clone() };
        assert_eq!(
            describe_last_heard(&unresolved, Timestamp(61_000)),
            "Not heard yet; the name vps.example cannot be resolved"
        );
        let own = NodeView { is_self: true, ..lost };
        assert_eq!(describe_last_heard(&own, Timestamp(91_000)), "");
        assert_eq!(reachability_label(&own), "This node");
    }
}
