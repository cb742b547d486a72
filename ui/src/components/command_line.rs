//! Text to take elsewhere, with a button that copies it; and addresses that may be broken between their parts.

use leptos::{prelude::*, task::spawn_local};
use std::time::Duration;
use wasm_bindgen_futures::JsFuture;

/// How long the button says that it copied.
const SAID_FOR: Duration = Duration::from_secs(2);

/// A command or an invitation to copy.
#[component]
pub fn CommandLine(
    /// What to copy.
    #[prop(into)]
    text: Signal<String>,
    /// What it is, for those who do not see it.
    label: &'static str,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let copy = move |_| {
        spawn_local(async move {
            let promise = window().navigator().clipboard().write_text(&text.get_untracked());
            if JsFuture::from(promise).await.is_ok() {
                let _ = copied.try_set(true);
                set_timeout(move || _ = copied.try_set(false), SAID_FOR);
            }
        });
    };
    view! {
        <div class="command">
            <code tabindex="0" aria-label=label>{text}</code>
            <button type="button" class="button small" aria-label=format!("Copy: {label}") on:click=copy>
                <span class="swap" aria-live="polite">
                    <span class:hidden=copied>"Copy"</span>
                    <span class:hidden=move || !copied.get()>"Copied"</span>
                </span>
            </button>
        </div>
    }
}

/// An address that may break after a colon or a dot, and still copies as itself.
#[component]
pub fn Address(
    /// The address.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    move || {
        text.get().split_inclusive([':', '.']).map(|part| view! { {part.to_owned()}<wbr /> }).collect_view()
    }
}
