//! The overview: am I protected, who says so, since when, and what happened.

use crate::{
    components::{FactCard, HeroPanel, Icon, IncidentCard, Matrix, Setup, Sparkline, keyed, when},
    session::Session,
    view::{dns_fact, exit_fact, latency_fact},
};
use leptos::prelude::*;
use sentinel_model::{ExitView, Family, Snapshot, Verdict};

/// The page "Overview".
#[component]
pub fn Overview(session: Session) -> impl IntoView {
    let incidents = session.select(|snapshot| snapshot.shown.incidents.clone());
    let has_incidents = Memo::new(move |_| incidents.with(|incidents| !incidents.is_empty()));
    let has_voices =
        session.select(|snapshot| snapshot.shown.exits.iter().any(|exit| !exit.voices.is_empty()));
    let unverified = session
        .select(|snapshot| matches!(snapshot.shown.verdict.verdict, Verdict::Off | Verdict::Unverified));
    view! {
        <HeroPanel session=session />
        {when(move || has_incidents.get(), move || view! {
            <section aria-labelledby="open-incidents">
                <h2 id="open-incidents" class="heading">"Open incidents"</h2>
                <div class="stack">
                    {keyed(incidents, |incident| incident.id.to_string(), move |incident| {
                        view! { <IncidentCard session=session incident=incident /> }
                    })}
                </div>
            </section>
        })}
        // Without a verdict, what to do about it comes before the facts.
        {when(move || unverified.get(), move || view! { <Setup session=session /> })}
        <Facts session=session />
        {when(move || !unverified.get(), move || view! { <Setup session=session /> })}
        {when(move || has_voices.get(), move || view! {
            <section class="card panel" aria-labelledby="who-saw-what">
                <h2 id="who-saw-what">"Who saw what"</h2>
                <Matrix session=session />
            </section>
        })}
        {when(move || !has_incidents.get(), || view! { <p class="calm">"No open incidents."</p> })}
    }
}

#[component]
fn Facts(session: Session) -> impl IntoView {
    let exit = move |family: Family| {
        let view = session.select(move |snapshot| find_exit(snapshot, family));
        Memo::new(move |_| view.with(|view| exit_fact(view.as_ref(), session.now(), session.offset())))
    };
    let dns = session.select(|snapshot| snapshot.shown.dns.clone());
    let resolver = Memo::new(move |_| dns.with(|dns| dns_fact(dns, session.now(), session.offset())));
    let latency = session.select(|snapshot| latency_fact(&snapshot.shown.latency).0);
    let series = session.select(|snapshot| latency_fact(&snapshot.shown.latency).1.cloned());
    view! {
        <section class="facts" aria-label="Facts">
            <FactCard label="Exit IPv4" icon=Icon::Exit(Family::V4) fact=exit(Family::V4) />
            <FactCard label="Exit IPv6" icon=Icon::Exit(Family::V6) fact=exit(Family::V6) />
            <FactCard label="DNS resolver" icon=Icon::Resolver fact=resolver />
            <FactCard label="Latency" icon=Icon::RoundTrip fact=latency>
                <Sparkline session=session view=series />
            </FactCard>
        </section>
    }
}

fn find_exit(snapshot: &Snapshot, family: Family) -> Option<ExitView> {
    snapshot.shown.exits.iter().find(|exit| exit.family == family).cloned()
}
