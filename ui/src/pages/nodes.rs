//! The user's nodes: who they are, what they last said, and how to bring in another.

use super::pairing::{AddNode, JoinSwarm, Pending};
use crate::{
    components::{CommandButton, Shield, keyed, text, when},
    session::Session,
    view::{Face, announced_now, heard, reachability, role},
};
use leptos::prelude::*;
use sentinel_model::{Command, NodeView, Reachability};

/// All nodes and pairing.
#[component]
pub fn Nodes(session: Session) -> impl IntoView {
    let nodes = session.pick(|snapshot| snapshot.swarm.nodes.clone());
    let pending = session.pick(|snapshot| snapshot.swarm.pending.clone());
    let alone = Memo::new(move |_| nodes.with(|nodes| nodes.iter().all(|node| node.is_self)));
    let refused =
        session.pick(|snapshot| (snapshot.swarm.refused_peers, snapshot.swarm.rejected_attestations));
    view! {
        {when(move || pending.with(|pending| !pending.is_empty()), move || view! {
            <section aria-labelledby="waiting">
                <h2 id="waiting" class="heading">"Waiting for you"</h2>
                <div class="stack">
                    {keyed(pending, |node| node.id.to_string(), move |node| view! { <Pending session=session node=node /> })}
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
                format!("Connections refused from strangers: {peers}. Attestations refused: {attestations}.")
            })}
        </p>
    }
}

#[component]
fn NodeRow(session: Session, node: Memo<NodeView>) -> impl IntoView {
    let face = Memo::new(move |_| node.with(announced_now));
    let sure = RwSignal::new(false);
    let is_self = Memo::new(move |_| node.with(|node| node.is_self));
    let name = Memo::new(move |_| node.with(|node| node.name.clone()));
    let lost = move || node.with(|node| !node.is_self && node.reachability == Reachability::Lost);
    let revoke = move || Some(Command::Revoke { node: node.with_untracked(|node| node.id.clone()) });
    view! {
        <li class="node">
            <div class="node-who">
                <h3>{name}</h3>
                <p class="since">{text(move || node.with(|node| role(node.role)))}</p>
            </div>
            <div class="node-reach" class:lost=lost>
                <p>{text(move || node.with(reachability))}</p>
                <p class="since">{text(move || node.with(|node| heard(node, session.now())))}</p>
            </div>
            <div class="node-says">
                {when(move || face.get().is_some(), move || view! {
                    <Shield face=Signal::derive(move || face.get().unwrap_or(Face::Off)) />
                    <span>{text(move || face.get().map(Face::word).unwrap_or_default())}</span>
                })}
            </div>
            <div class="node-act">
                {when(move || !is_self.get() && !sure.get(), move || view! {
                    <button
                        type="button"
                        class="button quiet"
                        aria-label=text(move || format!("Revoke {}", name.get()))
                        on:click=move |_| sure.set(true)
                    >
                        "Revoke"
                    </button>
                })}
                {when(move || !is_self.get() && sure.get(), move || view! {
                    <CommandButton
                        session=session
                        label="Revoke for ever"
                        busy="Revoking"
                        class="button small danger"
                        command=revoke
                    />
                    <button type="button" class="button small" on:click=move |_| sure.set(false)>"Keep"</button>
                })}
            </div>
        </li>
    }
}
