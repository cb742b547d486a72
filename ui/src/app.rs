//! The frame around the pages: rail, banners and live regions. Until the first snapshot arrives, it
//! shows that it is connecting.

use crate::{
    backend::Backend,
    components::{Banners, LiveRegions, Rail, ShapeDefinitions, TopBar, text, when},
    pages::{ExitDns, Incidents, Latency, Nodes, Overview},
    route::{self, Page},
    session::Session,
    view::ConnectionState,
};
use leptos::{ev, prelude::*, reactive::owner::Owner, task::spawn_local};
use std::time::Duration;
use wasm_bindgen::JsCast;

/// The delay before another attempt to reach a node that did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Mounts the dashboard in the page.
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
    let error = RwSignal::new(None::<String>);
    if let Some(owner) = Owner::current() {
        connect(Backend::detect(), owner, session, error);
    }
    move || match session.get() {
        Some(session) => view! { <Dashboard session=session /> }.into_any(),
        None => view! { <Waiting error=error /> }.into_any(),
    }
}

/// Requests the first snapshot until one arrives. The session's signals live as long as the app.
fn connect(
    backend: Backend,
    owner: Owner,
    session: RwSignal<Option<Session>>,
    error: RwSignal<Option<String>>,
) {
    spawn_local(async move {
        match backend.snapshot().await {
            Ok(first) => {
                let new = owner.with(|| Session::new(backend, first));
                new.start();
                session.set(Some(new));
            }
            Err(message) => {
                error.set(Some(message));
                set_timeout(move || connect(backend, owner, session, error), RETRY_AFTER);
            }
        }
    });
}

#[component]
fn Waiting(error: RwSignal<Option<String>>) -> impl IntoView {
    view! {
        <main class="boot">
            <p role="status">
                {text(move || error.get().map_or("Connecting to the node.".into(), |message| format!("{message} Trying again.")))}
            </p>
        </main>
    }
}

#[component]
fn Dashboard(session: Session) -> impl IntoView {
    let page = route::current_page();
    let connection = session.connection_state();
    Effect::new(move |_| document().set_title(&format!("{} - VPNSentinel", page.get().title())));
    view! {
        <a class="skip" href="#main" on:click=move |event| focus_main(&event)>"Skip to content"</a>
        <ShapeDefinitions />
        <LiveRegions session=session />
        <div class="shell">
            <Rail session=session page=page />
            <main id="main" tabindex="-1">
                <Banners session=session />
                <div class="page" class:stale=move || connection.get() == ConnectionState::Stale>
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

/// Moves the focus to the content; the fragment, which a link would set, selects the page.
fn focus_main(event: &ev::MouseEvent) {
    event.prevent_default();
    let main =
        document().get_element_by_id("main").and_then(|main| main.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(main) = main {
        // If it fails, the focus stays where it is.
        let _ = main.focus();
    }
}
