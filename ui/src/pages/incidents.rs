//! What is wrong now, and what the judge has noticed without raising an alarm.

use crate::{
    components::{IncidentCard, keyed},
    session::Session,
    view::{finding_title, since},
};
use leptos::prelude::*;
use sentinel_model::{Finding, Snapshot};

/// Open incidents and mere findings.
#[component]
pub fn Incidents(session: Session) -> impl IntoView {
    let incidents = session.pick(|snapshot| snapshot.incidents.clone());
    let noticed = session.pick(noticed);
    let row = move |finding: Memo<Finding>| {
        view! {
            <article class="card incident information">
                <div class="incident-text">
                    <h3>{move || finding.with(|finding| finding_title(finding.kind, &finding.subject))}</h3>
                    <p class="since">
                        {move || finding.with(|finding| since(session.now(), finding.since.wall, session.offset()))}
                    </p>
                    <p>{move || finding.with(|finding| finding.sentence.clone())}</p>
                </div>
            </article>
        }
    };
    view! {
        <Show when=move || incidents.with(Vec::is_empty)>
            <section class="card panel">
                <h2>"No open incidents"</h2>
                <p>"When protection is lost or in doubt, it is shown here and you are notified: what happened, who saw it, since when, and what to do."</p>
            </section>
        </Show>
        <div class="stack">
            {keyed(incidents, |incident| incident.id.clone(), move |incident| {
                view! { <IncidentCard session=session incident=incident /> }
            })}
        </div>
        <Show when=move || noticed.with(|noticed| !noticed.is_empty())>
            <h2 class="heading">"Noticed, no alarm"</h2>
            <div class="stack">
                {keyed(noticed, |finding| (finding.kind, finding.family, finding.subject.clone()), row)}
            </div>
        </Show>
    }
}

/// Findings that no open incident speaks of.
fn noticed(snapshot: &Snapshot) -> Vec<Finding> {
    let spoken = |finding: &Finding| {
        snapshot.incidents.iter().any(|incident| {
            incident.kind == finding.kind && incident.family == finding.family && incident.subject == finding.subject
        })
    };
    snapshot.findings.iter().filter(|finding| !spoken(finding)).cloned().collect()
}
