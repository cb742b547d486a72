//! The frame around the pages: rail, banners and live regions; before that, waiting for the node's first word.

use crate::{
    backend::Backend,
    components::{Banners, Glossary, LiveRegions, Rail, TopBar, text, when},
    pages::{ExitDns, Incidents, Latency, Nodes, Overview},
    route::{self, Page},
    session::Session,
    view::Standing,
};
use leptos::{ev, prelude::*, reactive::owner::Owner, task::spawn_local};
use std::time::Duration;
use wasm_bindgen::JsCast;

/// How long to wait before asking a node again that did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Puts the dashboard into the page.
pub fn start() {
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    mount_to_body(App);
}

/// The whole dashboard.
#[component]
pub fn App() -> impl IntoView {
    let session = RwSignal::new(None::<Session>);
    let trouble = RwSignal::new(None::<String>);
    if let Some(owner) = Owner::current() {
        connect(Backend::detect(), owner, session, trouble);
    }
    move || match session.get() {
        Some(session) => view! { <Dashboard session=session /> }.into_any(),
        None => view! { <Waiting trouble=trouble /> }.into_any(),
    }
}

/// Asks for the first state until there is one. The session's signals live as long as the app does.
fn connect(
    backend: Backend,
    owner: Owner,
    session: RwSignal<Option<Session>>,
    trouble: RwSignal<Option<String>>,
) {
    spawn_local(async move {
        match backend.snapshot().await {
            Ok(answer) => {
                let begun = owner.with(|| Session::new(backend, answer));
                begun.begin();
                session.set(Some(begun));
            }
            Err(message) => {
                trouble.set(Some(message));
                set_timeout(move || connect(backend, owner, session, trouble), RETRY_AFTER);
            }
        }
    });
}

#[component]
fn Waiting(trouble: RwSignal<Option<String>>) -> impl IntoView {
    view! {
        <main class="boot">
            <p role="status">
                {text(move || trouble.get().map_or("Asking the node.".into(), |message| format!("{message} Trying again.")))}
            </p>
        </main>
    }
}

#[component]
fn Dashboard(session: Session) -> impl IntoView {
    let page = route::current();
    let standing = session.standing();
    Effect::new(move |_| document().set_title(&format!("{} - VPNSentinel", page.get().title())));
    view! {
        <a class="skip" href="#main" on:click=move |event| focus_main(&event)>"Skip to content"</a>
        <Glossary />
        <LiveRegions session=session />
        <div class="shell">
            <Rail session=session page=page />
            <main id="main" tabindex="-1">
                <Banners session=session />
                <div class="page" class:stale=move || standing.get() == Standing::Stale>
                    {when(move || page.get() != Page::Overview, move || view! { <TopBar session=session page=page /> })}
                    {move || match page.get() {
                        Page::Overview => view! { <Overview session=session /> }.into_any(),
                        Page::ExitDns => view! { <ExitDns session=session /> }.into_any(),
                        Page::Latency => view! { <Latency session=session /> }.into_any(),
                        Page::Nodes => view! { <Nodes session=session /> }.into_any(),
                        Page::Incidents => view! { <Incidents session=session /> }.into_any(),
                    }}
                </div>
            </main>
        </div>
    }
}

/// The fragment belongs to the pages, so the skip link moves the focus itself.
fn focus_main(event: &ev::MouseEvent) {
    event.prevent_default();
    let main =
        document().get_element_by_id("main").and_then(|main| main.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(main) = main {
        // Without focus the link merely does nothing.
        let _ = main.focus();
    }
}
