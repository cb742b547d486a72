//! The user's nodes, as `nodes` prints them.

use super::needs;
use sentinel_model::{Need, NodeView, Reachability, Snapshot, humanize};
use std::fmt::Write as _;

/// Returns the list of nodes with the verdict and connection of each, and the nodes that ask to
/// join.
pub(crate) fn nodes(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for node in &snapshot.swarm.nodes {
        let verdict = if node.is_self {
            Some(snapshot.shown.verdict.verdict)
        } else {
            node.announced.as_ref().map(|announcement| announcement.verdict)
        };
        let verdict = verdict.map_or("-".to_owned(), |verdict| verdict.to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<20} {:<8} {verdict:<11} {}",
            node.name,
            node.role.to_string(),
            connection(node, snapshot)
        );
    }
    if snapshot.swarm.nodes.iter().all(|node| node.is_self) {
        let _ = write!(text, "\n{}\n{}\n", needs::HEADING, needs::need(Need::Witness));
    }
    for node in &snapshot.swarm.pending {
        let _ = write!(
            text,
            "\n{} asks to join with the fingerprint {}. If that node shows the same fingerprint, run:\n  \
             vpnsentinel-node pair confirm {}\n",
            node.name, node.fingerprint, node.fingerprint
        );
    }
    text
}

fn connection(node: &NodeView, snapshot: &Snapshot) -> String {
    let reached = match node.reachability {
        _ if node.is_self => "this node".to_owned(),
        Reachability::Direct => "connected".to_owned(),
        Reachability::Relayed => "connected through a relay".to_owned(),
        Reachability::Asleep => "asleep".to_owned(),
        Reachability::Lost => node.last_heard.map_or("not heard yet".to_owned(), |at| {
            format!("silent, last heard {} ago", humanize(snapshot.at.since(at)))
        }),
    };
    match &node.name_error {
        Some(cause) => format!("{reached}; {cause}"),
        None => reached,
    }
}
