//! Open incidents, and the findings that are part of none.

use crate::{
    components::{IncidentCard, keyed, text, when},
    session::Session,
};
use leptos::prelude::*;
use sentinel_model::{Finding, Snapshot};

/// The page "Incidents".
#[component]
pub fn Incidents(session: Session) -> impl IntoView {
    let incidents = session.select(|snapshot| snapshot.shown.incidents.clone());
    let findings = session.select(findings_without_incident);
    let row = move |finding: Memo<Finding>| {
        view! {
            <article class="card incident information">
                <div class="incident-text">
                    <h3>{text(move || finding.with(|finding| finding.title.clone()))}</h3>
                    <p class="since">
                        {text(move || finding.with(|finding| finding.since.wall.format_since(session.now(), session.offset())))}
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
            move || findings.with(|findings| !findings.is_empty()),
            || view! { <h2 class="heading">"Findings without an incident"</h2> },
        )}
        <div class="stack">
            {keyed(findings, |finding| format!("{:?}", finding.key()), row)}
        </div>
    }
}

/// Returns the findings that are part of no open incident.
fn findings_without_incident(snapshot: &Snapshot) -> Vec<Finding> {
    let has_incident =
        |finding: &Finding| snapshot.shown.incidents.iter().any(|incident| incident.key() == finding.key());
    snapshot.shown.findings.iter().filter(|finding| !has_incident(finding)).cloned().collect()
}
