//! The user's nodes: their state, and pairing of new ones.

use super::pairing::{AddNode, JoinSwarm, PendingNodeCard};
use crate::{
    components::{CommandButton, Shield, keyed, text, when},
    session::Session,
    view::{VerdictShape, announced_shape, describe_last_heard, reachability_label, role_label},
};
use leptos::prelude::*;
use sentinel_model::{Command, NodeView, Reachability};

/// The page "Nodes".
#[component]
pub fn Nodes(session: Session) -> impl IntoView {
    let nodes = session.select(|snapshot| snapshot.swarm.nodes.clone());
    let pending = session.select(|snapshot| snapshot.swarm.pending.clone());
    let alone = Memo::new(move |_| nodes.with(|nodes| nodes.iter().all(|node| node.is_self)));
    let refused =
        session.select(|snapshot| (snapshot.swarm.refused_peers, snapshot.swarm.rejected_attestations));
    view! {
        {when(move || pending.with(|pending| !pending.is_empty()), move || view! {
            <section aria-labelledby="waiting">
                <h2 id="waiting" class="heading">"Waiting for your confirmation"</h2>
                <div class="stack">
                    {keyed(pending, |node| node.id.to_string(), move |node| view! { <PendingNodeCard session=session node=node /> })}
                </div>
            </section>
        })}
        <ul class="nodes card">
            {keyed(nodes, |node| node.id.to_string(), move |node| view! { <NodeRow session=session node=node /> })}
        </ul>
        <AddNode session=session />
        {when(move || alone.get(), move || view! { <JoinSwarm session=session /> })}
        <p class="calm">
            {text(move || {
                let (peers, attestations) = refused.get();
                format!("Connections refused from unknown peers: {peers}. Attestations rejected: {attestations}.")
            })}
        </p>
    }
}

#[component]
fn NodeRow(session: Session, node: Memo<NodeView>) -> impl IntoView {
    let shape = Memo::new(move |_| node.with(announced_shape));
    let confirming = RwSignal::new(false);
    let is_self = Memo::new(move |_| node.with(|node| node.is_self));
    let name = Memo::new(move |_| node.with(|node| node.name.clone()));
    let lost = move || node.with(|node| !node.is_self && node.reachability == Reachability::Lost);
    let revoke = move || Some(Command::Revoke { node: node.with_untracked(|node| node.id.clone()) });
    view! {
        <li class="node">
            <div class="node-who">
                <h3>{name}</h3>
                <p class="since">{text(move || node.with(|node| role_label(node.role)))}</p>
            </div>
            <div class="node-reach" class:lost=lost>
                <p>{text(move || node.with(reachability_label))}</p>
                <p class="since">{text(move || node.with(|node| describe_last_heard(node, session.now())))}</p>
            </div>
            <div class="node-says">
                {when(move || shape.get().is_some(), move || view! {
                    <Shield shape=Signal::derive(move || shape.get().unwrap_or(VerdictShape::Off)) />
                    <span>{text(move || shape.get().map(VerdictShape::word).unwrap_or_default())}</span>
                })}
            </div>
            <div class="node-act">
                {when(move || !is_self.get() && !confirming.get(), move || view! {
                    <button
                        type="button"
                        class="button quiet"
                        aria-label=text(move || format!("Revoke {}", name.get()))
                        on:click=move |_| confirming.set(true)
                    >
                        "Revoke"
                    </button>
                })}
                {when(move || !is_self.get() && confirming.get(), move || view! {
                    <CommandButton
                        session=session
                        label="Revoke permanently"
                        busy="Revoking"
                        class="button small danger"
                        command=revoke
                    />
                    <button type="button" class="button small" on:click=move |_| confirming.set(false)>"Cancel"</button>
                })}
            </div>
        </li>
    }
}
