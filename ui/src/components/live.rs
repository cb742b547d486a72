//! Text and parts of a page that follow the state. Each closure in a view is a type of its own and brings its own copy of
//! the code around it; here they all become one, which keeps the program small.

use leptos::{children::ViewFn, prelude::*};

/// Text that follows the state.
pub fn text<S: Into<String>>(tell: impl Fn() -> S + Send + Sync + 'static) -> Signal<String> {
    Signal::derive(move || tell().into())
}

/// A part that is there while the condition holds. It is made anew when that changes, and only then.
pub fn when<V>(
    holds: impl Fn() -> bool + Send + Sync + 'static,
    part: impl Fn() -> V + Send + Sync + 'static,
) -> AnyView
where
    V: IntoView + 'static,
{
    shown(Signal::derive(holds), ViewFn::from(part))
}

fn shown(holds: Signal<bool>, part: ViewFn) -> AnyView {
    let holds = Memo::new(move |_| holds.get());
    (move || holds.get().then(|| part.run())).into_any()
}
