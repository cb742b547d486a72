//! Pairing a new node: invite here, accept there, compare the fingerprints, confirm here.

use crate::{
    components::{CommandButton, CopyableText, text, when},
    session::Session,
    view::{accept_command, describe_expiry, run_command},
};
use leptos::prelude::*;
use sentinel_model::{Command, PendingNode, Reply, Timestamp};

/// Makes an invitation and shows what to do with it.
#[component]
pub fn AddNode(session: Session) -> impl IntoView {
    let invitation = RwSignal::new(None::<(String, Timestamp)>);
    let made = Callback::new(move |reply| {
        if let Reply::Invitation { text, expires } = reply {
            invitation.set(Some((text, expires)));
        }
    });
    let accept = text(move || accept_command(invitation.get().as_ref().map(|(text, _)| text.as_str())));
    let left = move || {
        invitation.get().map(|(_, expires)| describe_expiry(session.now(), expires)).unwrap_or_default()
    };
    view! {
        <section class="card setup witness" aria-labelledby="add-a-node">
            <div class="setup-head">
                <div>
                    <h2 id="add-a-node">"Add a node"</h2>
                    <p>"A node on another network sees you as the world does. The more networks, the more certain the verdict. The other machine must be able to reach this one; if only this one can reach the other, invite there and join here."</p>
                </div>
                <CommandButton session=session label="Invite" busy="Inviting" class="button primary" command=|| Some(Command::Invite) done=made />
            </div>
            {when(move || invitation.with(Option::is_some), move || view! {
                <ol class="steps">
                    <li>
                        <p>"Start the node on the other machine."</p>
                        <CopyableText text=Signal::stored(run_command().to_owned()) label="Start the node" />
                    </li>
                    <li>
                        <p>"On that machine, in a second terminal, accept this invitation. "{text(left)}</p>
                        <CopyableText text=accept label="Accept the invitation" />
                    </li>
                    <li>
                        <p>"It shows a fingerprint. When the same fingerprint appears on this page, confirm it."</p>
                    </li>
                </ol>
            })}
        </section>
    }
}

/// Accepts an invitation that was made on another node.
#[component]
pub fn JoinSwarm(session: Session) -> impl IntoView {
    let pasted = RwSignal::new(String::new());
    let fingerprint = RwSignal::new(None::<String>);
    let accepted = Callback::new(move |reply| {
        if let Reply::Waiting { fingerprint: received } = reply {
            fingerprint.set(Some(received));
            pasted.set(String::new());
        }
    });
    let command = move || {
        let invitation = pasted.get_untracked().trim().to_owned();
        (!invitation.is_empty()).then_some(Command::AcceptInvitation { invitation })
    };
    view! {
        <section class="card setup witness" aria-labelledby="join">
            <h2 id="join">"Join your other nodes"</h2>
            <label for="invitation">"Paste an invitation made on another node of yours."</label>
            <div class="command">
                <input
                    id="invitation"
                    type="text"
                    autocomplete="off"
                    spellcheck="false"
                    prop:value=pasted
                    on:input=move |event| pasted.set(event_target_value(&event))
                />
                <CommandButton session=session label="Join" busy="Joining" command=command done=accepted />
            </div>
            <div role="status">
                {when(move || fingerprint.with(Option::is_some), move || view! {
                    <p>
                        "Now confirm this fingerprint on the node that invited you: "
                        <strong class="fingerprint">{text(move || fingerprint.get().unwrap_or_default())}</strong>
                    </p>
                })}
            </div>
        </section>
    }
}

/// The card of a node that has accepted an invitation and waits for its fingerprint to be compared.
#[component]
pub fn PendingNodeCard(session: Session, node: Memo<PendingNode>) -> impl IntoView {
    let command =
        move || Some(Command::Confirm { fingerprint: node.with_untracked(|node| node.fingerprint.clone()) });
    view! {
        <article class="card setup pending">
            <div>
                <h3>{text(move || node.with(|node| node.name.clone()))}" asks to join"</h3>
                <p>"Compare this fingerprint with the one that node shows. Confirm only if they are the same."</p>
            </div>
            <strong class="fingerprint">{text(move || node.with(|node| node.fingerprint.clone()))}</strong>
            <CommandButton session=session label="Confirm" busy="Confirming" class="button primary" command=command />
        </article>
    }
}
