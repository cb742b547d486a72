//! The user's nodes: who they are, what they last said, and how to bring in another.

use super::pairing::{AddNode, JoinSwarm, Pending};
use crate::{
    components::{CommandButton, Shield, keyed},
    session::Session,
    view::{announced_now, heard, reachability, role},
};
use leptos::prelude::*;
use sentinel_model::{Command, NodeView, Reachability};

/// All nodes and pairing.
#[component]
pub fn Nodes(session: Session) -> impl IntoView {
    let nodes = session.pick(|snapshot| snapshot.swarm.nodes.clone());
    let pending = session.pick(|snapshot| snapshot.swarm.pending.clone());
    let alone = Memo::new(move |_| nodes.with(|nodes| nodes.iter().all(|node| node.is_self)));
    let refused = session.pick(|snapshot| (snapshot.swarm.refused_peers, snapshot.swarm.rejected_attestations));
    view! {
        <Show when=move || pending.with(|pending| !pending.is_empty())>
            <h2 class="heading">"Waiting for you"</h2>
            <div class="stack">
                {keyed(pending, |node| node.id.clone(), move |node| view! { <Pending session=session node=node /> })}
            </div>
        </Show>
        <ul class="nodes card">
            {keyed(nodes, |node| node.id.clone(), move |node| view! { <NodeRow session=session node=node /> })}
        </ul>
        <AddNode session=session />
        <Show when=move || alone.get()>
            <JoinSwarm session=session />
        </Show>
        <p class="calm">
            {move || {
                let (peers, attestations) = refused.get();
                format!("Connections refused from strangers: {peers}. Attestations refused: {attestations}.")
            }}
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
                <p class="since">{move || node.with(|node| role(node.role))}</p>
            </div>
            <div class="node-reach" class:lost=lost>
                <p>{move || node.with(reachability)}</p>
                <p class="since">{move || node.with(|node| heard(node, session.now()))}</p>
            </div>
            <div class="node-says">
                {move || face.get().map(|face| view! {
                    <Shield face=Signal::stored(face) />
                    <span>{face.word()}</span>
                })}
            </div>
            <div class="node-act">
                <Show when=move || !is_self.get() && !sure.get()>
                    <button type="button" class="button quiet" aria-label=move || format!("Revoke {}", name.get()) on:click=move |_| sure.set(true)>"Revoke"</button>
                </Show>
                <Show when=move || !is_self.get() && sure.get()>
                    <span class="ask">"For ever?"</span>
                    <CommandButton session=session label="Revoke" busy="Revoking" class="button small danger" command=revoke />
                    <button type="button" class="button small" on:click=move |_| sure.set(false)>"Keep"</button>
                </Show>
            </div>
        </li>
    }
}
