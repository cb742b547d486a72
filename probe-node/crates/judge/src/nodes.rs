//! The user's other nodes: who has fallen silent without saying goodbye.

use crate::part_result::{FindingDraft, JudgeContext, PartResult, Question};
use sentinel_model::{
    Entity, Evidence, FindingKind, Moment, NodeId, NodeView, Reachability, Severity, Timestamp, Verdict,
    Weight,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct NodeRecord {
    name: String,
    last_heard: Option<Timestamp>,
    /// The verdict it last announced, and when by its own clock.
    said: Option<(Verdict, Timestamp)>,
    goodbye: bool,
    /// When this node noticed that something new was heard, on its own clock.
    noticed: Option<Moment>,
    /// Whether something new was heard since this machine started or woke, so that it is known to be there.
    heard_anew: bool,
}

/// The user's other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    known: BTreeMap<NodeId, NodeRecord>,
}

impl Nodes {
    /// Takes in the list of nodes as the swarm knows them.
    pub fn hear(&mut self, views: &[NodeView]) {
        self.known.retain(|id, _| views.iter().any(|view| view.id == *id));
        for view in views.iter().filter(|view| !view.is_self) {
            let before = self.known.get(&view.id);
            let unchanged = before.filter(|known| known.last_heard == view.last_heard);
            let noticed = unchanged.and_then(|known| known.noticed);
            let left = view.announced.as_ref().is_some_and(|announced| announced.leaving);
            let known = NodeRecord {
                name: view.name.clone(),
                last_heard: view.last_heard,
                said: view.announced.as_ref().map(|announced| (announced.verdict, announced.at)),
                goodbye: left || view.reachability == Reachability::Asleep,
                noticed,
                heard_anew: before
                    .is_some_and(|known| known.heard_anew || known.last_heard != view.last_heard),
            };
            self.known.insert(view.id.clone(), known);
        }
    }

    /// Starts counting anew: while this machine slept it could not hear anybody.
    pub fn woke(&mut self) {
        for known in self.known.values_mut() {
            known.noticed = None;
            known.heard_anew = false;
        }
    }

    /// Whether the user has other nodes.
    pub fn any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Rules on each node. `connected` says whether this machine itself is known to be on the network: one that is cut
    /// off cannot tell who else is.
    pub fn evaluate(&mut self, connected: bool, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let patience = context.policy.thresholds.node_silent_after;
        let names: Vec<String> = self.known.values().map(|known| known.name.clone()).collect();
        for (id, known) in &mut self.known {
            let Some(last_heard) = known.last_heard else { continue };
            let noticed = *known.noticed.get_or_insert(context.now);
            let twin = names.iter().filter(|name| **name == known.name).count() > 1;
            let name = if twin { format!("{} ({})", known.name, short(id)) } else { known.name.clone() };
            let silent = context.age(noticed) > patience;
            if known.goodbye || (!silent && known.heard_anew) {
                let entity = Some(Entity::Node(name));
                result.determined.push(Question { kind: FindingKind::NodeSilent, family: None, entity });
            } else if silent && connected {
                let clock = last_heard.time_of_day(context.policy.offset);
                let draft = FindingDraft {
                    kind: FindingKind::NodeSilent,
                    family: None,
                    severity: Severity::Warning,
                    weight: Weight::Silence,
                    fact: format!("{name} was last heard at {clock}"),
                    details: &[],
                    advice: "It did not say it was going to sleep.",
                    evidence: vec![Evidence {
                        voice: None,
                        saw: last_word(known.said, context),
                        at: last_heard,
                    }],
                    since: noticed,
                    entity: Some(Entity::Node(name)),
                };
                let mut found = draft.finish(context);
                found.body = format!("Last heard {clock}. It did not say it was going to sleep.");
                result.findings.push(found);
            }
        }
        result
    }
}

/// What a node last said of itself.
fn last_word(said: Option<(Verdict, Timestamp)>, context: &JudgeContext<'_>) -> String {
    said.map_or_else(
        || "it had not said how it was".to_owned(),
        |(verdict, at)| {
            let clock = at.time_of_day(context.policy.offset);
            format!("it last said {verdict}, at {clock} by its own clock")
        },
    )
}

fn short(id: &NodeId) -> String {
    let tail: Vec<char> = id.0.chars().rev().take(6).collect();
    tail.into_iter().rev().collect()
}
