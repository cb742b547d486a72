//! Lists whose rows live as long as their key: a row is moved and updated in place, never made anew.

use leptos::prelude::*;
use std::hash::Hash;

/// One `row` per item, each fed by a signal of its own.
pub fn keyed<T, K, V>(
    items: Memo<Vec<T>>,
    key: impl Fn(&T) -> K + Copy + Send + Sync + 'static,
    row: impl Fn(Memo<T>) -> V + Clone + Send + 'static,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let child = move |item: T| {
        let wanted = key(&item);
        // A row that is about to leave keeps its last value.
        row(Memo::new(move |last: Option<&T>| {
            let found = items.with(|all| all.iter().find(|other| key(other) == wanted).cloned());
            found.or_else(|| last.cloned()).unwrap_or_else(|| item.clone())
        }))
    };
    view! { <For each=move || items.get() key=move |item: &T| key(item) children=child /> }
}
