//! The verdict: one shape, one word, one sentence, and what can be done about it.

use super::{
    Shield,
    button::CommandButton,
    icons::Icon,
    live::{text, when},
};
use crate::{
    session::Session,
    view::{Standing, hero, schedule_line, since},
};
use leptos::{ev, html::Details, prelude::*};
use sentinel_model::{Assurance, Command, Timestamp};

/// The top of the overview.
#[component]
pub fn HeroPanel(session: Session) -> impl IntoView {
    let verdict = session.pick(|snapshot| snapshot.shown.verdict.clone());
    let schedule = session.pick(|snapshot| snapshot.schedule.clone());
    let standing = session.standing();
    let shown = Memo::new(move |_| {
        verdict.with(|verdict| hero(verdict, standing.get(), session.heard(), session.offset()))
    });
    let face = Memo::new(move |_| shown.with(|hero| hero.face));
    let paused = Memo::new(move |_| schedule.with(|schedule| schedule.paused.is_some()));
    let line = move || {
        if standing.get() == Standing::Stale {
            return "Trying to reach the node again.".to_owned();
        }
        schedule.with(|schedule| {
            verdict.with(|verdict| schedule_line(verdict, schedule, session.now(), session.offset()))
        })
    };
    let lasting = move || verdict.with(|verdict| since(session.now(), verdict.since, session.offset()));
    let public_only = move || {
        standing.get() != Standing::Stale
            && verdict.with(|verdict| verdict.assurance == Some(Assurance::PublicOnly))
    };
    view! {
        <section class=text(move || format!("hero {}", face.get().class())) aria-labelledby="verdict">
            <Shield face=face />
            <div class="hero-text">
                <div class="word">
                    <h1 id="verdict">{text(move || face.get().word())}</h1>
                    {when(
                        move || standing.get() != Standing::Stale,
                        move || view! { <span class="lasting">{text(lasting)}</span> },
                    )}
                </div>
                <p class="sentence">{text(move || shown.with(|hero| hero.sentence.clone()))}</p>
                <p class="fine">
                    <span>{text(line)}</span>
                    {when(public_only, || view! { <span class="chip">"Public services only"</span> })}
                </p>
            </div>
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
        </section>
    }
}

/// How long to pause: minutes and the words for it.
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
    // Leaving the menu by keyboard or pointer closes it; moving within it does not.
    let on_leave = move |event: ev::FocusEvent| {
        use wasm_bindgen::JsCast;
        let goes_to = event.related_target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
        let stays =
            menu.get_untracked().is_some_and(|menu| menu.contains(goes_to.as_ref()) && goes_to.is_some());
        if !stays {
            close();
        }
    };
    let item = move |(minutes, words): (Option<i64>, &'static str)| {
        let press = move |_| {
            let until = minutes.map(|minutes| Timestamp(session.now().0 + minutes * 60_000));
            session.command(Command::Pause { until }, |_| ());
            close();
        };
        view! {
            <li>
                <button type="button" on:click=press>{words}</button>
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
