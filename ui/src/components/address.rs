//! An address that can be broken over lines between its parts.

use leptos::prelude::*;

/// An address that may break after a colon or a dot, and is copied unchanged.
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
