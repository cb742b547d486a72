//! What is missing, and how the person can provide it.

use super::{
    button::CommandButton,
    copyable_text::CopyableText,
    live::{text, when},
};
use crate::{
    route::Page,
    session::Session,
    view::{invite_command, run_command},
};
use leptos::prelude::*;
use sentinel_model::{Command, Need, Outcome, Snapshot, Verdict};

/// A panel for each thing that is missing. The home line comes first, because every verdict needs
/// it.
#[component]
pub fn Setup(session: Session) -> impl IntoView {
    let needs = session.select(|snapshot| snapshot.shown.needs.clone());
    let off = session.select(|snapshot| {
        snapshot.shown.verdict.verdict == Verdict::Off && snapshot.schedule.paused.is_none()
    });
    let has = move |need: Need| needs.with(|needs| needs.contains(&need));
    view! {
        {when(move || has(Need::Home) || off.get(), move || view! { <HomeLine session=session /> })}
        {when(move || has(Need::Witness) || has(Need::Consent), move || view! {
            <AddWitness session=session consent_missing=Signal::derive(move || has(Need::Consent)) />
        })}
    }
}

#[component]
fn HomeLine(session: Session) -> impl IntoView {
    let seen = session.select(visible_addresses);
    let tunnel = session.select(tunnel_that_is_up);
    view! {
        <section class="card setup">
            <div>
                <h2>"Your home line"</h2>
                <p>
                    {text(move || seen.with(|seen| home_line_text(seen, tunnel.get().as_deref())))}
                </p>
            </div>
            {when(move || seen.with(|seen| !seen.is_empty()), move || view! {
                <CommandButton
                    session=session
                    label="This is my home line"
                    busy="Saving"
                    command=|| Some(Command::LearnHome { confirmed: true })
                />
            })}
        </section>
    }
}

fn home_line_text(seen: &[String], tunnel: Option<&str>) -> String {
    if seen.is_empty() {
        return "Your home line is the connection that you have without the VPN. No exit has been measured yet. Choose \
                Check now first."
            .to_owned();
    }
    let warning =
        tunnel.map(|tunnel| format!("{tunnel} looks like a VPN's tunnel and is up. ")).unwrap_or_default();
    format!(
        "{warning}You are visible at {} now. Only if the VPN is off, confirm that this is your home line. From then on, \
         seeing it means that you are exposed.",
        seen.join(" and "),
    )
}

fn tunnel_that_is_up(snapshot: &Snapshot) -> Option<String> {
    snapshot.shown.tunnel.as_ref().filter(|tunnel| tunnel.up).map(|tunnel| tunnel.interface.clone())
}

fn visible_addresses(snapshot: &Snapshot) -> Vec<String> {
    let measured = |outcome: &Outcome<_>| outcome.measured().map(ToString::to_string);
    snapshot.shown.exits.iter().filter_map(|exit| measured(&exit.address)).collect()
}

#[component]
fn AddWitness(session: Session, consent_missing: Signal<bool>) -> impl IntoView {
    let name = session.select(|snapshot| snapshot.name.clone());
    view! {
        <section class="card setup witness">
            <h2>"Add a witness"</h2>
            <p>
                "A witness is a node of yours on another network, such as a small server or a computer at home. It reports at which address it sees "{name}
                ", so that you need not rely on the services of others. On that machine, run:"
            </p>
            <ol class="steps">
                <li><CopyableText text=Signal::stored(run_command().to_owned()) label="Start the node" /></li>
                <li><CopyableText text=Signal::stored(invite_command().to_owned()) label="Make an invitation" /></li>
            </ol>
            <p><a class="button primary" href=Page::Nodes.href()>"Paste the invitation"</a></p>
            {when(move || consent_missing.get(), || view! {
                <p class="note">
                    "Until then there is no witness to ask. Public services are used only with your consent. To give it, put "
                    <code>"consent = true"</code>" under "<code>"[services]"</code>
                    " in the configuration file and restart the node."
                </p>
            })}
        </section>
    }
}
