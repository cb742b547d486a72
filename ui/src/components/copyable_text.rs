//! Text with a button that copies it.

use leptos::{prelude::*, task::spawn_local};
use std::time::Duration;
use wasm_bindgen_futures::JsFuture;

/// How long the button confirms that it copied.
const CONFIRMATION: Duration = Duration::from_secs(2);

/// A command or an invitation to copy.
#[component]
pub fn CopyableText(
    /// The text to copy.
    #[prop(into)]
    text: Signal<String>,
    /// The label for screen readers.
    label: &'static str,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let copy = move |_| {
        spawn_local(async move {
            let promise = window().navigator().clipboard().write_text(&text.get_untracked());
            if JsFuture::from(promise).await.is_ok() {
                let _ = copied.try_set(true);
                set_timeout(move || _ = copied.try_set(false), CONFIRMATION);
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
