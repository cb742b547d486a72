//! Text and parts of a page that follow the state.
//!
//! Each closure in a view is a type of its own, with a copy of the code around it. Here they are
//! converted to one type, which keeps the program small.

use leptos::{children::ViewFn, prelude::*};

/// Returns text that follows the state.
pub fn text<S: Into<String>>(content: impl Fn() -> S + Send + Sync + 'static) -> Signal<String> {
    Signal::derive(move || content().into())
}

/// Renders a part while a condition holds. The part is recreated only if the condition changes.
pub fn when<V>(
    condition: impl Fn() -> bool + Send + Sync + 'static,
    part: impl Fn() -> V + Send + Sync + 'static,
) -> AnyView
where
    V: IntoView + 'static,
{
    render_when(Signal::derive(condition), ViewFn::from(part))
}

fn render_when(condition: Signal<bool>, part: ViewFn) -> AnyView {
    let condition = Memo::new(move |_| condition.get());
    (move || condition.get().then(|| part.run())).into_any()
}
