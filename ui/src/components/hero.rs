//! The verdict: its shape, word and sentence, with the buttons to check and to pause.

use super::{
    Shield,
    button::CommandButton,
    icons::Icon,
    live::{text, when},
};
use crate::{
    session::Session,
    view::{ConnectionState, Hero, describe_schedule},
};
use leptos::{ev, html::Details, prelude::*};
use sentinel_model::{Assurance, Command, Timestamp};

/// The top of the overview.
#[component]
pub fn HeroPanel(session: Session) -> impl IntoView {
    let verdict = session.select(|snapshot| snapshot.shown.verdict.clone());
    let schedule = session.select(|snapshot| snapshot.schedule.clone());
    let connection = session.connection_state();
    let shown = Memo::new(move |_| {
        verdict.with(|verdict| Hero::new(verdict, connection.get(), session.last_heard(), session.offset()))
    });
    let shape = Memo::new(move |_| shown.with(|hero| hero.shape));
    let line = move || {
        if connection.get() == ConnectionState::Stale {
            return "Reconnecting to the node.".to_owned();
        }
        schedule.with(|schedule| {
            verdict.with(|verdict| describe_schedule(verdict, schedule, session.now(), session.offset()))
        })
    };
    let lasting = move || verdict.with(|verdict| verdict.since.format_since(session.now(), session.offset()));
    let public_only = move || {
        connection.get() != ConnectionState::Stale
            && verdict.with(|verdict| verdict.assurance == Some(Assurance::PublicOnly))
    };
    view! {
        <section class=text(move || format!("hero {}", shape.get().class())) aria-labelledby="verdict">
            <Shield shape=shape />
            <div class="hero-text">
                <div class="word">
                    <h1 id="verdict">{text(move || shape.get().word())}</h1>
                    {when(
                        move || connection.get() != ConnectionState::Stale,
                        move || view! { <span class="lasting">{text(lasting)}</span> },
                    )}
                </div>
                <p class="sentence">{text(move || shown.with(|hero| hero.sentence.clone()))}</p>
                <p class="fine">
                    <span>{text(line)}</span>
                    {when(public_only, || view! { <span class="chip">"Public services only"</span> })}
                </p>
            </div>
            <HeroActions session=session />
        </section>
    }
}

#[component]
fn HeroActions(session: Session) -> impl IntoView {
    let paused = session.select(|snapshot| snapshot.schedule.paused.is_some());
    view! {
        <div class="hero-actions">
            <CommandButton
                session=session
                label="Check now"
                busy="Checking"
                class="button primary"
                command=|| Some(Command::CheckNow)
            />
            {when(move || !paused.get(), move || view! { <PauseMenu session=session /> })}
            {when(move || paused.get(), move || view! {
                <CommandButton session=session label="Resume" busy="Resuming" command=|| Some(Command::Resume) />
            })}
        </div>
    }
}

/// The choices of the pause menu: minutes (`None`: open-ended) and label.
const PAUSES: [(Option<i64>, &str); 3] =
    [(Some(15), "For 15 minutes"), (Some(60), "For 1 hour"), (None, "Until I resume")];

#[component]
fn PauseMenu(session: Session) -> impl IntoView {
    let menu = NodeRef::<Details>::new();
    let close = move || {
        if let Some(menu) = menu.get_untracked() {
            menu.set_open(false);
        }
    };
    let on_key = move |event: ev::KeyboardEvent| {
        if event.key() == "Escape" {
            close();
        }
    };
    // The menu closes when the focus leaves it, but not when it moves within it.
    let on_leave = move |event: ev::FocusEvent| {
        use wasm_bindgen::JsCast;
        let target = event.related_target().and_then(|element| element.dyn_into::<web_sys::Node>().ok());
        let stays =
            menu.get_untracked().is_some_and(|menu| menu.contains(target.as_ref()) && target.is_some());
        if !stays {
            close();
        }
    };
    let item = move |(minutes, label): (Option<i64>, &'static str)| {
        let press = move |_| {
            let until = minutes.map(|minutes| Timestamp(session.now().0 + minutes * 60_000));
            session.command(Command::Pause { until }, |_| ());
            close();
        };
        view! {
            <li>
                <button type="button" on:click=press>{label}</button>
            </li>
        }
    };
    view! {
        <details class="menu" node_ref=menu on:keydown=on_key on:focusout=on_leave>
            <summary class="button">"Pause" {Icon::More}</summary>
            <ul>{PAUSES.map(item).collect_view()}</ul>
        </details>
    }
}
