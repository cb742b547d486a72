//! Lists whose rows are identified by a key, so that a row is moved and updated instead of
//! recreated.

use leptos::prelude::*;
use std::sync::Arc;

/// Renders one `row` per item; each row receives its item as a signal.
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
        // A row that is about to be removed keeps its last value.
        let item = Memo::new(move |last: Option<&T>| {
            find(&wanted).or_else(|| last.cloned()).unwrap_or_else(|| first.clone())
        });
        row(item).into_any()
    };
    render_rows(keys, Arc::new(child))
}

/// Renders the rows. It is independent of the type of item, so that its code exists once.
fn render_rows(keys: Memo<Vec<String>>, child: Arc<dyn Fn(String) -> AnyView + Send + Sync>) -> AnyView {
    view! { <For each=move || keys.get() key=String::clone children=move |key| child(key) /> }.into_any()
}
