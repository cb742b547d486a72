//! An open incident: what, since when, who saw it, what to do.

use super::button::CommandButton;
use crate::{session::Session, view::Open};
use leptos::prelude::*;
use sentinel_model::{Command, Evidence, Incident};

/// One open incident.
#[component]
pub fn IncidentCard(session: Session, incident: Memo<Incident>) -> impl IntoView {
    let open = Memo::new(move |_| incident.with(|incident| Open::of(incident, session.now(), session.offset())));
    let acknowledged = Memo::new(move |_| open.with(|open| open.acknowledged.clone()));
    let acknowledge =
        move || Some(Command::Acknowledge { incident: incident.with_untracked(|incident| incident.id.clone()) });
    let evidence = Memo::new(move |_| incident.with(|incident| incident.evidence.clone()));
    view! {
        <article class=move || format!("card incident {}", open.with(|open| open.class))>
            <div class="incident-text">
                <h3>
                    {move || open.with(|open| open.title.clone())}
                    {move || open.with(|open| open.family).map(|family| view! { <span class="chip">{family.to_string()}</span> })}
                </h3>
                <p class="since">
                    <span class="severity">{move || open.with(|open| open.severity)}</span>
                    {move || open.with(|open| open.since.clone())}
                </p>
                <p>{move || open.with(|open| open.sentence.clone())}</p>
                <p class="advice">{move || open.with(|open| open.advice.clone())}</p>
                <Show when=move || evidence.with(|evidence| !evidence.is_empty())>
                    <details>
                        <summary>"Evidence"</summary>
                        <ul class="evidence">
                            {move || evidence.with(|all| all.iter().map(|one| piece(one, session)).collect_view())}
                        </ul>
                    </details>
                </Show>
            </div>
            <div class="incident-act">
                <Show
                    when=move || acknowledged.with(Option::is_some)
                    fallback=move || view! { <CommandButton session=session label="Acknowledge" busy="One moment" command=acknowledge /> }
                >
                    <p class="since">{acknowledged}</p>
                </Show>
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
