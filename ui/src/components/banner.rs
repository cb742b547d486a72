//! What is said above every page, and what is only spoken.

use super::live::{text, when};
use crate::{
    session::Session,
    view::{Face, Standing, hero},
};
use leptos::prelude::*;

/// Trouble with the node or with a command. Empty while all is well.
#[component]
pub fn Banners(session: Session) -> impl IntoView {
    let standing = session.standing();
    let trouble = session.trouble();
    view! {
        <div class="banners">
            <div role="status">
                {when(
                    move || standing.get() != Standing::Live,
                    || view! { <p class="banner">"Connection to the node lost. Trying again."</p> },
                )}
            </div>
            <div role="alert">
                {when(
                    move || trouble.with(Option::is_some),
                    move || view! {
                        <p class="banner">
                            <span>{text(move || trouble.get().unwrap_or_default())}</span>
                            <button type="button" class="button small" on:click=move |_| trouble.set(None)>"Dismiss"</button>
                        </p>
                    },
                )}
            </div>
        </div>
    }
}

/// The verdict, spoken when it changes: politely, an exposure at once.
#[component]
pub fn LiveRegions(session: Session) -> impl IntoView {
    let verdict = session.pick(|snapshot| snapshot.shown.verdict.clone());
    let standing = session.standing();
    let shown = Memo::new(move |_| {
        verdict.with(|verdict| hero(verdict, standing.get(), session.heard(), session.offset()))
    });
    let face = Memo::new(move |_| shown.with(|hero| hero.face));
    // Spoken once per change of the word, not whenever a number in the sentence moves.
    let spoken = Memo::new(move |_| {
        let face = face.get();
        (face, format!("{}. {}", face.word(), shown.get_untracked().sentence))
    });
    let only = move |loud: bool| {
        spoken
            .with(|(face, text)| if (*face == Face::Exposed) == loud { text.clone() } else { String::new() })
    };
    view! {
        <div class="unseen" aria-live="polite" aria-atomic="true">{text(move || only(false))}</div>
        <div class="unseen" role="alert" aria-live="assertive" aria-atomic="true">{text(move || only(true))}</div>
    }
}
