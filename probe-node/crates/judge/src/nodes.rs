//! The user's other nodes: which have fallen silent without saying goodbye.

use crate::{
    context::JudgeContext,
    part_result::{FindingDraft, PartResult, ReportedFinding},
};
use sentinel_model::{
    Entity, Evidence, FindingKind, Moment, NodeId, NodeView, Reachability, Severity, Timestamp, Verdict,
    Weight,
};
use std::collections::BTreeMap;

/// One of the user's other nodes.
#[derive(Clone, Debug)]
struct NodeRecord {
    name: String,
    /// When the node last announced itself, as the swarm recorded it.
    last_heard: Option<Timestamp>,
    /// The verdict it last announced, and when by its own clock.
    announced: Option<(Verdict, Timestamp)>,
    has_said_goodbye: bool,
    /// When this node noticed the last announcement, on its own clock.
    noticed: Option<Moment>,
    /// Whether the node announced itself since this machine started or woke.
    is_confirmed: bool,
}

/// The user's other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    known: BTreeMap<NodeId, NodeRecord>,
}

impl Nodes {
    /// Takes over the list of nodes from the swarm.
    pub fn update(&mut self, views: &[NodeView]) {
        self.known.retain(|id, _| views.iter().any(|view| view.id == *id));
        for view in views.iter().filter(|view| !view.is_self) {
            let before = self.known.get(&view.id);
            let unchanged = before.filter(|known| known.last_heard == view.last_heard);
            let is_leaving = view.announced.as_ref().is_some_and(|announced| announced.leaving);
            let record = NodeRecord {
                name: view.name.clone(),
                last_heard: view.last_heard,
                announced: view.announced.as_ref().map(|announced| (announced.verdict, announced.at)),
                has_said_goodbye: is_leaving || view.reachability == Reachability::Asleep,
                noticed: unchanged.and_then(|known| known.noticed),
                is_confirmed: before
                    .is_some_and(|known| known.is_confirmed || known.last_heard != view.last_heard),
            };
            self.known.insert(view.id.clone(), record);
        }
    }

    /// Starts to count silence anew: while this machine slept it could not hear any node.
    pub fn restart_silence(&mut self) {
        for record in self.known.values_mut() {
            record.noticed = None;
            record.is_confirmed = false;
        }
    }

    /// Returns true if the user has no other nodes.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Evaluates each node.
    ///
    /// Without `is_connected`, this machine itself may be cut off: it finds no node silent.
    pub fn evaluate(&mut self, is_connected: bool, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let patience = context.policy.thresholds.node_silent_after;
        let names: Vec<String> = self.known.values().map(|record| record.name.clone()).collect();
        for (id, record) in &mut self.known {
            let Some(last_heard) = record.last_heard else { continue };
            let noticed = *record.noticed.get_or_insert(context.now);
            let is_ambiguous = names.iter().filter(|name| **name == record.name).count() > 1;
            let name =
                if is_ambiguous { format!("{} ({})", record.name, shorten(id)) } else { record.name.clone() };
            let is_silent = context.age(noticed) > patience;
            if record.has_said_goodbye || (!is_silent && record.is_confirmed) {
                result.determine_entity(FindingKind::NodeSilent, None, Entity::Node(name));
            } else if is_silent && is_connected {
                let announced = describe_announcement(record.announced, context);
                let evidence = Evidence { voice: None, saw: announced, at: last_heard };
                result.findings.push(report_silence(name, evidence, noticed, context));
            }
        }
        result
    }
}

/// Returns the finding that a node has been silent; `noticed` is when its last announcement
/// arrived.
fn report_silence(
    name: String,
    evidence: Evidence,
    noticed: Moment,
    context: &JudgeContext<'_>,
) -> ReportedFinding {
    let time = evidence.at.time_of_day(context.policy.offset);
    let draft = FindingDraft {
        kind: FindingKind::NodeSilent,
        family: None,
        severity: Severity::Warning,
        weight: Weight::Silence,
        fact: format!("{name} was last heard at {time}"),
        details: &[],
        advice: "It did not say it was going to sleep.",
        evidence: vec![evidence],
        since: noticed,
        entity: Some(Entity::Node(name)),
    };
    let notice_body = format!("Last heard {time}. It did not say it was going to sleep.");
    ReportedFinding { notice_body, ..draft.finish(context) }
}

/// Returns what a node last announced, as evidence names it.
fn describe_announcement(announced: Option<(Verdict, Timestamp)>, context: &JudgeContext<'_>) -> String {
    match announced {
        None => "it had not said how it was".to_owned(),
        Some((verdict, at)) => {
            let time = at.time_of_day(context.policy.offset);
            format!("it last said {verdict}, at {time} by its own clock")
        }
    }
}

/// Returns the last six characters of an id, which distinguish nodes of one name.
fn shorten(id: &NodeId) -> String {
    let tail: Vec<char> = id.0.chars().rev().take(6).collect();
    tail.into_iter().rev().collect()
}
