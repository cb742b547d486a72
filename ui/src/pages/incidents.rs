//! What is wrong now, and what the judge has noticed without raising an alarm.

use crate::{
    components::{IncidentCard, keyed, text, when},
    session::Session,
    view::since,
};
use leptos::prelude::*;
use sentinel_model::{Finding, Snapshot};

/// Open incidents and mere findings.
#[component]
pub fn Incidents(session: Session) -> impl IntoView {
    let incidents = session.pick(|snapshot| snapshot.shown.incidents.clone());
    let noticed = session.pick(noticed);
    let row = move |finding: Memo<Finding>| {
        view! {
            <article class="card incident information">
                <div class="incident-text">
                    <h3>{text(move || finding.with(|finding| finding.title.clone()))}</h3>
                    <p class="since">
                        {text(move || finding.with(|finding| since(session.now(), finding.since.wall, session.offset())))}
                    </p>
                    <p>{text(move || finding.with(|finding| finding.sentence.clone()))}</p>
                </div>
            </article>
        }
    };
    view! {
        {when(move || incidents.with(Vec::is_empty), || view! {
            <section class="card panel">
                <h2>"No open incidents"</h2>
                <p>"When protection is lost or in doubt, it is shown here and you are notified: what happened, who saw it, since when, and what to do."</p>
            </section>
        })}
        <div class="stack">
            {keyed(incidents, |incident| incident.id.to_string(), move |incident| {
                view! { <IncidentCard session=session incident=incident /> }
            })}
        </div>
        {when(
            move || noticed.with(|noticed| !noticed.is_empty()),
            || view! { <h2 class="heading">"Noticed, no alarm"</h2> },
        )}
        <div class="stack">
            {keyed(noticed, |finding| format!("{:?}", finding.key()), row)}
        </div>
    }
}

/// Findings that no open incident speaks of.
fn noticed(snapshot: &Snapshot) -> Vec<Finding> {
    let spoken =
        |finding: &Finding| snapshot.shown.incidents.iter().any(|incident| incident.key() == finding.key());
    snapshot.shown.findings.iter().filter(|finding| !spoken(finding)).cloned().collect()
}
