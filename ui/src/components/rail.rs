//! The navigation: a rail on the left, or a bar at the bottom of a small screen.

use super::{
    Shield,
    icons::Icon,
    live::{text, when},
};
use crate::{
    route::Page,
    session::Session,
    view::{ConnectionState, Hero, VerdictShape},
};
use leptos::prelude::*;

/// The rail with a link per page and the name of the node.
#[component]
pub fn Rail(session: Session, page: ReadSignal<Page>) -> impl IntoView {
    let incidents = session.select(|snapshot| snapshot.shown.incidents.len());
    let pending = session.select(|snapshot| snapshot.swarm.pending.len());
    let name = session.select(|snapshot| snapshot.name.clone());
    let connection = session.connection_state();
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
                <Shield shape=Signal::stored(VerdictShape::Protected) />
                <span>"VPNSentinel"</span>
            </p>
            <ul>{Page::ALL.map(link).collect_view()}</ul>
            <p class="rail-node">
                <span class="node-name">{name}</span>
                <span class="live" class:broken=move || connection.get() != ConnectionState::Live>
                    {text(move || if connection.get() == ConnectionState::Live { "Live" } else { "Not connected" })}
                </span>
            </p>
        </nav>
    }
}

/// The title of a page, with the verdict beside it on every page.
#[component]
pub fn TopBar(session: Session, page: ReadSignal<Page>) -> impl IntoView {
    let verdict = session.select(|snapshot| snapshot.shown.verdict.clone());
    let connection = session.connection_state();
    let shape = Memo::new(move |_| {
        verdict.with(|verdict| {
            Hero::new(verdict, connection.get(), session.last_heard(), session.offset()).shape
        })
    });
    view! {
        <header class="top">
            <h1>{text(move || page.get().title())}</h1>
            <a class="verdict-chip" href=Page::Overview.href()>
                <Shield shape=shape />
                <span>{text(move || shape.get().word())}</span>
            </a>
        </header>
    }
}
