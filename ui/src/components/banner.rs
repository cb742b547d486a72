//! The banners above every page, and the live regions for screen readers.

use super::live::{text, when};
use crate::{
    session::Session,
    view::{ConnectionState, Hero, VerdictShape},
};
use leptos::prelude::*;

/// Problems with the connection or with a command. Empty if there are none.
#[component]
pub fn Banners(session: Session) -> impl IntoView {
    let connection = session.connection_state();
    let error = session.error();
    view! {
        <div class="banners">
            <div role="status">
                {when(
                    move || connection.get() != ConnectionState::Live,
                    || view! { <p class="banner">"Connection to the node lost. Trying again."</p> },
                )}
            </div>
            <div role="alert">
                {when(
                    move || error.with(Option::is_some),
                    move || view! {
                        <p class="banner">
                            <span>{text(move || error.get().unwrap_or_default())}</span>
                            <button type="button" class="button small" on:click=move |_| error.set(None)>"Dismiss"</button>
                        </p>
                    },
                )}
            </div>
        </div>
    }
}

/// The verdict for screen readers, when it changes: politely, but an exposure assertively.
#[component]
pub fn LiveRegions(session: Session) -> impl IntoView {
    let verdict = session.select(|snapshot| snapshot.shown.verdict.clone());
    let connection = session.connection_state();
    let shown = Memo::new(move |_| {
        verdict.with(|verdict| Hero::new(verdict, connection.get(), session.last_heard(), session.offset()))
    });
    let shape = Memo::new(move |_| shown.with(|hero| hero.shape));
    // Announced when the word changes, not whenever a number in the sentence does.
    let announcement = Memo::new(move |_| {
        let shape = shape.get();
        (shape, format!("{}. {}", shape.word(), shown.get_untracked().sentence))
    });
    let text_if = move |assertive: bool| {
        announcement.with(|(shape, text)| {
            if (*shape == VerdictShape::Exposed) == assertive { text.clone() } else { String::new() }
        })
    };
    view! {
        <div class="unseen" aria-live="polite" aria-atomic="true">{text(move || text_if(false))}</div>
        <div class="unseen" role="alert" aria-live="assertive" aria-atomic="true">{text(move || text_if(true))}</div>
    }
}
