//! The card of an open incident: what happened, since when, who saw it, and what to do.

use super::{
    button::CommandButton,
    live::{text, when},
};
use crate::{session::Session, view::IncidentSummary};
use leptos::prelude::*;
use sentinel_model::{Command, Evidence, Incident};

/// The card of one open incident.
#[component]
pub fn IncidentCard(session: Session, incident: Memo<Incident>) -> impl IntoView {
    let summary = Memo::new(move |_| {
        incident.with(|incident| IncidentSummary::new(incident, session.now(), session.offset()))
    });
    let acknowledged = Memo::new(move |_| summary.with(|summary| summary.acknowledged.clone()));
    let acknowledge = move || {
        Some(Command::Acknowledge { incident: incident.with_untracked(|incident| incident.id.clone()) })
    };
    let family = Memo::new(move |_| summary.with(|summary| summary.family));
    view! {
        <article class=text(move || format!("card incident {}", summary.with(|summary| summary.class)))>
            <div class="incident-text">
                <h3>
                    {text(move || summary.with(|summary| summary.title.clone()))}
                    {when(move || family.get().is_some(), move || view! {
                        <span class="chip">{text(move || family.get().map(|family| family.to_string()).unwrap_or_default())}</span>
                    })}
                </h3>
                <p class="since">
                    <span class="severity">{text(move || summary.with(|summary| summary.severity))}</span>
                    {text(move || summary.with(|summary| summary.since.clone()))}
                </p>
                <p>
                    {text(move || summary.with(|summary| summary.sentence.clone()))}" "
                    <strong>{text(move || summary.with(|summary| summary.advice.clone()))}</strong>
                </p>
                <EvidenceList session=session incident=incident />
            </div>
            <div class="incident-act">
                {when(move || acknowledged.with(Option::is_none), move || view! {
                    <CommandButton
                        session=session
                        label="Acknowledge"
                        busy="Saving"
                        class="button small"
                        command=acknowledge
                    />
                })}
                <p class="since">{text(move || acknowledged.get().unwrap_or_default())}</p>
            </div>
        </article>
    }
}

/// What the incident rests on; hidden if that is not known.
#[component]
fn EvidenceList(session: Session, incident: Memo<Incident>) -> impl IntoView {
    let evidence = Memo::new(move |_| incident.with(|incident| incident.evidence.clone()));
    when(
        move || evidence.with(|evidence| !evidence.is_empty()),
        move || {
            view! {
                <details>
                    <summary>"Evidence"</summary>
                    <ul class="evidence">
                        {move || evidence.with(|all| all.iter().map(|each| evidence_item(each, session)).collect_view())}
                    </ul>
                </details>
            }
        },
    )
}

fn evidence_item(evidence: &Evidence, session: Session) -> impl IntoView + use<> {
    let voice = evidence.voice.as_ref().map_or("This machine", |voice| voice.name.as_str()).to_owned();
    view! {
        <li>
            <span class="voice">{voice}</span>
            <span>{evidence.saw.clone()}</span>
            <time>{evidence.at.time_of_day(session.offset())}</time>
        </li>
    }
}
