//! What the program needs from the person, and how to give it.

use super::{
    button::CommandButton,
    command_line::CommandLine,
    live::{text, when},
};
use crate::{
    route::Page,
    session::Session,
    view::{invite_command, run_command},
};
use leptos::prelude::*;
use sentinel_model::{Command, Need, Outcome, Snapshot, Verdict};

/// A panel for each thing that is missing. The home line comes first: without it nothing can be told.
#[component]
pub fn Setup(session: Session) -> impl IntoView {
    let needs = session.pick(|snapshot| snapshot.shown.needs.clone());
    let off = session.pick(|snapshot| {
        snapshot.shown.verdict.verdict == Verdict::Off && snapshot.schedule.paused.is_none()
    });
    let has = move |need: Need| needs.with(|needs| needs.contains(&need));
    view! {
        {when(move || has(Need::Home) || off.get(), move || view! { <HomeLine session=session /> })}
        {when(move || has(Need::Witness) || has(Need::Consent), move || view! {
            <AddWitness session=session unasked=Signal::derive(move || has(Need::Consent)) />
        })}
    }
}

#[component]
fn HomeLine(session: Session) -> impl IntoView {
    let seen = session.pick(seen_now);
    view! {
        <section class="card setup">
            <div>
                <h2>"Your home line"</h2>
                <p>
                    {text(move || seen.with(|seen| home_words(seen)))}
                </p>
            </div>
            {when(move || seen.with(|seen| !seen.is_empty()), move || view! {
                <CommandButton
                    session=session
                    label="This is my home line"
                    busy="One moment"
                    command=|| Some(Command::LearnHome)
                />
            })}
        </section>
    }
}

fn home_words(seen: &[String]) -> String {
    if seen.is_empty() {
        return "With the VPN off, what the world sees is your home line. No exit has been measured yet: check now, \
                then come back here."
            .to_owned();
    }
    format!(
        "The world sees you at {} now. Only while the VPN is off, say that this is your home line; from then on seeing \
         it means exposed.",
        seen.join(" and "),
    )
}

fn seen_now(snapshot: &Snapshot) -> Vec<String> {
    let measured = |outcome: &Outcome<_>| outcome.measured().map(ToString::to_string);
    snapshot.shown.exits.iter().filter_map(|exit| measured(&exit.address)).collect()
}

#[component]
fn AddWitness(session: Session, unasked: Signal<bool>) -> impl IntoView {
    let name = session.pick(|snapshot| snapshot.name.clone());
    view! {
        <section class="card setup witness">
            <h2>"Add a witness"</h2>
            <p>
                "A witness is a node of yours on another network: a small server, or a machine at home. It tells "{name}
                " which address it is seen at, so that you need not trust anybody else. On that machine, type:"
            </p>
            <ol class="steps">
                <li><CommandLine text=Signal::stored(run_command().to_owned()) label="Start the node" /></li>
                <li><CommandLine text=Signal::stored(invite_command().to_owned()) label="Make an invitation" /></li>
            </ol>
            <p><a class="button primary" href=Page::Nodes.href()>"Paste the invitation"</a></p>
            {when(move || unasked.get(), || view! {
                <p class="note">
                    "Until then nobody may be asked: public services are used only with your consent. To give it, put "
                    <code>"consent = true"</code>" under "<code>"[services]"</code>
                    " in the configuration file and start the node again."
                </p>
            })}
        </section>
    }
}
