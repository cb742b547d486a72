//! The way between the pages: a rail on the left, a bar at the bottom of small screens.

use super::{
    Shield,
    icons::Icon,
    live::{text, when},
};
use crate::{
    route::Page,
    session::Session,
    view::{Face, Standing, hero},
};
use leptos::prelude::*;

/// The rail with its items and the node's name.
#[component]
pub fn Rail(session: Session, page: ReadSignal<Page>) -> impl IntoView {
    let incidents = session.pick(|snapshot| snapshot.shown.incidents.len());
    let pending = session.pick(|snapshot| snapshot.swarm.pending.len());
    let name = session.pick(|snapshot| snapshot.name.clone());
    let standing = session.standing();
    let waiting = move |item: Page| match item {
        Page::Incidents => incidents.get(),
        Page::Nodes => pending.get(),
        _ => 0,
    };
    let link = move |item: Page| {
        view! {
            <li>
                <a href=item.href() aria-current=move || (page.get() == item).then_some("page")>
                    {Icon::Page(item)} <span class="word">{item.title()}</span>
                    {when(move || waiting(item) > 0, move || view! {
                        <span class="count" class:calm=item == Page::Nodes>
                            {text(move || waiting(item).to_string())}<span class="unseen">" waiting"</span>
                        </span>
                    })}
                </a>
            </li>
        }
    };
    view! {
        <nav class="rail" aria-label="Pages">
            <p class="brand">
                <Shield face=Signal::stored(Face::Protected) />
                <span>"VPNSentinel"</span>
            </p>
            <ul>{Page::ALL.map(link).collect_view()}</ul>
            <p class="rail-node">
                <span class="node-name">{name}</span>
                <span class="live" class:broken=move || standing.get() != Standing::Live>
                    {text(move || if standing.get() == Standing::Live { "Live" } else { "Not connected" })}
                </span>
            </p>
        </nav>
    }
}

/// A page's title with the verdict beside it, so that it is never out of sight.
#[component]
pub fn TopBar(session: Session, page: ReadSignal<Page>) -> impl IntoView {
    let verdict = session.pick(|snapshot| snapshot.shown.verdict.clone());
    let standing = session.standing();
    let face = Memo::new(move |_| {
        verdict.with(|verdict| hero(verdict, standing.get(), session.heard(), session.offset()).face)
    });
    view! {
        <header class="top">
            <h1>{text(move || page.get().title())}</h1>
            <a class="verdict-chip" href=Page::Overview.href()>
                <Shield face=face />
                <span>{text(move || face.get().word())}</span>
            </a>
        </header>
    }
}
