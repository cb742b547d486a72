//! A button that carries out a command, and shows that it is busy meanwhile.

use super::live::text;
use crate::session::Session;
use leptos::prelude::*;
use sentinel_model::{Command, Reply};

/// A button for a command. Both labels take the same space, so that its width does not change.
#[component]
pub fn CommandButton(
    session: Session,
    /// The label.
    label: &'static str,
    /// The label while the command runs.
    busy: &'static str,
    /// The classes of the style sheet.
    #[prop(default = "button")]
    class: &'static str,
    /// The command to send; `None` if there is nothing to send.
    #[prop(into)]
    command: Signal<Option<Command>>,
    /// Called with the reply.
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
                // The page with the button may be closed by now.
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
