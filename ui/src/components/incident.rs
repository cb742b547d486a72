//! An open incident: what, since when, who saw it, what to do.

use super::{
    button::CommandButton,
    live::{text, when},
};
use crate::{session::Session, view::Open};
use leptos::prelude::*;
use sentinel_model::{Command, Evidence, Incident};

/// One open incident.
#[component]
pub fn IncidentCard(session: Session, incident: Memo<Incident>) -> impl IntoView {
    let open =
        Memo::new(move |_| incident.with(|incident| Open::of(incident, session.now(), session.offset())));
    let acknowledged = Memo::new(move |_| open.with(|open| open.acknowledged.clone()));
    let acknowledge = move || {
        Some(Command::Acknowledge { incident: incident.with_untracked(|incident| incident.id.clone()) })
    };
    let family = Memo::new(move |_| open.with(|open| open.family));
    let evidence = Memo::new(move |_| incident.with(|incident| incident.evidence.clone()));
    view! {
        <article class=text(move || format!("card incident {}", open.with(|open| open.class)))>
            <div class="incident-text">
                <h3>
                    {text(move || open.with(|open| open.title.clone()))}
                    {when(move || family.get().is_some(), move || view! {
                        <span class="chip">{text(move || family.get().map(|family| family.to_string()).unwrap_or_default())}</span>
                    })}
                </h3>
                <p class="since">
                    <span class="severity">{text(move || open.with(|open| open.severity))}</span>
                    {text(move || open.with(|open| open.since.clone()))}
                </p>
                <p>
                    {text(move || open.with(|open| open.sentence.clone()))}" "
                    <strong>{text(move || open.with(|open| open.advice.clone()))}</strong>
                </p>
                {when(move || evidence.with(|evidence| !evidence.is_empty()), move || view! {
                    <details>
                        <summary>"Evidence"</summary>
                        <ul class="evidence">
                            {move || evidence.with(|all| all.iter().map(|one| piece(one, session)).collect_view())}
                        </ul>
                    </details>
                })}
            </div>
            <div class="incident-act">
                {when(move || acknowledged.with(Option::is_none), move || view! {
                    <CommandButton
                        session=session
                        label="Acknowledge"
                        busy="One moment"
                        class="button small"
                        command=acknowledge
                    />
                })}
                <p class="since">{text(move || acknowledged.get().unwrap_or_default())}</p>
            </div>
        </article>
    }
}

fn piece(evidence: &Evidence, session: Session) -> impl IntoView + use<> {
    let who = evidence.voice.as_ref().map_or("This machine", |voice| voice.name.as_str()).to_owned();
    view! {
        <li>
            <span class="voice">{who}</span>
            <span>{evidence.saw.clone()}</span>
            <time>{evidence.at.time_of_day(session.offset())}</time>
        </li>
    }
}
