//! A button that carries out a command and says so while it does.

use super::live::text;
use crate::session::Session;
use leptos::prelude::*;
use sentinel_model::{Command, Reply};

/// Two labels share one place, so that the button keeps its width.
#[component]
pub fn CommandButton(
    session: Session,
    /// What it does.
    label: &'static str,
    /// What it is doing.
    busy: &'static str,
    /// How it looks.
    #[prop(default = "button")]
    class: &'static str,
    /// The command to send; nothing if there is nothing to do.
    #[prop(into)]
    command: Signal<Option<Command>>,
    /// What to do with the reply.
    #[prop(optional, into)]
    done: Option<Callback<Reply>>,
) -> AnyView {
    let working = RwSignal::new(false);
    let press = move |_| {
        if working.get_untracked() {
            return;
        }
        if let Some(command) = command.get_untracked() {
            working.set(true);
            session.command(command, move |reply| {
                // The page may have been left meanwhile.
                let _ = working.try_set(false);
                if let (Some(done), Some(reply)) = (done, reply) {
                    done.try_run(reply);
                }
            });
        }
    };
    view! {
        <button type="button" class=class aria-busy=text(move || working.get().to_string()) on:click=press>
            <span class="swap">
                <span class:hidden=working>{label}</span>
                <span class:hidden=move || !working.get()>{busy}</span>
            </span>
        </button>
    }
    .into_any()
}
