//! Lists whose rows live as long as their key: a row is moved and updated in place, never made anew.

use leptos::prelude::*;
use std::sync::Arc;

/// One `row` per item, each fed by a signal of its own.
pub fn keyed<T, V>(
    items: Memo<Vec<T>>,
    key: fn(&T) -> String,
    row: impl Fn(Memo<T>) -> V + Send + Sync + 'static,
) -> AnyView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let find = move |wanted: &str| items.with(|all| all.iter().find(|item| key(item) == wanted).cloned());
    let keys = Memo::new(move |_| items.with(|all| all.iter().map(key).collect::<Vec<String>>()));
    let child = move |wanted: String| {
        let Some(first) = untrack(|| find(&wanted)) else {
            return ().into_any();
        };
        // A row that is about to leave keeps its last value.
        let item = Memo::new(move |last: Option<&T>| {
            find(&wanted).or_else(|| last.cloned()).unwrap_or_else(|| first.clone())
        });
        row(item).into_any()
    };
    rows(keys, Arc::new(child))
}

/// The same for every kind of item, so that the program carries it once.
fn rows(keys: Memo<Vec<String>>, child: Arc<dyn Fn(String) -> AnyView + Send + Sync>) -> AnyView {
    view! { <For each=move || keys.get() key=String::clone children=move |key| child(key) /> }.into_any()
}
