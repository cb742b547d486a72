//! An address, of which only IPv6 may break over two lines.

use leptos::prelude::*;

/// An address that may break after a colon only, and is copied unchanged.
#[component]
pub fn Address(
    /// The address.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    move || text.get().split_inclusive(':').map(|part| view! { {part.to_owned()}<wbr /> }).collect_view()
}
