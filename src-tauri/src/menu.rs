//! The tray's menu: what its items say and what they do.

use crate::{
    lifecycle, window,
    wording::{Words, label},
};
use sentinel_engine::Engine;
use sentinel_model::{Command, Millis, Timestamp};
use tauri::{
    AppHandle, Manager, Wry,
    menu::{CheckMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
};
use tauri_plugin_autostart::ManagerExt;

/// What an item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    CheckNow,
    Pause(Option<Millis>),
    Resume,
    Open,
    StartAtLogin,
    Quit,
}

const QUARTER: Action = Action::Pause(Some(Millis::secs(15 * 60)));
const HOUR: Action = Action::Pause(Some(Millis::secs(60 * 60)));
const OPEN_ENDED: Action = Action::Pause(None);

impl Action {
    /// Every action with the id and the text of its item.
    const ALL: [(Self, &str, &str); 8] = [
        (Self::CheckNow, "check-now", "Check now"),
        (QUARTER, "pause-15-min", "15 minutes"),
        (HOUR, "pause-1-h", "1 hour"),
        (OPEN_ENDED, "pause", "Until resumed"),
        (Self::Resume, "resume", "Resume"),
        (Self::Open, "open", "Open VPNSentinel"),
        (Self::StartAtLogin, "start-at-login", "Start at login"),
        (Self::Quit, "quit", "Quit"),
    ];

    fn of(id: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == id).map(|(action, ..)| *action)
    }

    fn names(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(action, ..)| *action == self).map_or(("", ""), |(_, id, text)| (id, text))
    }

    fn item(self, app: &AppHandle, enabled: bool) -> tauri::Result<MenuItem<Wry>> {
        let (id, text) = self.names();
        MenuItem::with_id(app, id, text, enabled, None::<&str>)
    }
}

/// The menu, with those of its items that change.
#[derive(Clone)]
pub struct TrayMenu {
    whole: Menu<Wry>,
    verdict: MenuItem<Wry>,
    exit: MenuItem<Wry>,
    witnesses: MenuItem<Wry>,
    pause: Submenu<Wry>,
    resume: MenuItem<Wry>,
    start_at_login: CheckMenuItem<Wry>,
}

impl TrayMenu {
    /// Makes the menu.
    pub fn new(app: &AppHandle, words: &Words) -> tauri::Result<Self> {
        let fact = |text: &str| MenuItem::new(app, label(text), false, None::<&str>);
        let separator = || PredefinedMenuItem::separator(app);
        let verdict = fact(&words.verdict_line)?;
        let exit = fact(&words.exit_line)?;
        let witnesses = fact(&words.witness_line)?;
        let spans = [QUARTER.item(app, true)?, HOUR.item(app, true)?, OPEN_ENDED.item(app, true)?];
        let pause = Submenu::with_items(app, "Pause", !words.paused, &[&spans[0], &spans[1], &spans[2]])?;
        let resume = Action::Resume.item(app, words.paused)?;
        let (id, text) = Action::StartAtLogin.names();
        let start_at_login = CheckMenuItem::with_id(app, id, text, true, starts_at_login(app), None::<&str>)?;
        let whole = Menu::with_items(
            app,
            &[
                &verdict,
                &exit,
                &witnesses,
                &separator()?,
                &Action::CheckNow.item(app, true)?,
                &pause,
                &resume,
                &separator()?,
                &Action::Open.item(app, true)?,
                &start_at_login,
                &separator()?,
                &Action::Quit.item(app, true)?,
            ],
        )?;
        Ok(Self { whole, verdict, exit, witnesses, pause, resume, start_at_login })
    }

    /// All of it, for the tray icon.
    pub fn whole(&self) -> &Menu<Wry> {
        &self.whole
    }

    /// Changes the texts in place; the menu may be open.
    pub fn show(&self, words: &Words) -> tauri::Result<()> {
        self.verdict.set_text(label(&words.verdict_line))?;
        self.exit.set_text(label(&words.exit_line))?;
        self.witnesses.set_text(label(&words.witness_line))?;
        self.pause.set_enabled(!words.paused)?;
        self.resume.set_enabled(words.paused)
    }

    /// Does what the item with this id is for.
    pub fn chosen(&self, app: &AppHandle, id: &str) {
        match Action::of(id) {
            Some(Action::CheckNow) => command(app, Command::CheckNow),
            Some(Action::Pause(span)) => {
                let until = span.map(|span| later(app.state::<Engine>().snapshot().borrow().at, span));
                command(app, Command::Pause { until });
            }
            Some(Action::Resume) => command(app, Command::Resume),
            Some(Action::Open) => window::show(app),
            Some(Action::StartAtLogin) => self.toggle_start_at_login(app),
            Some(Action::Quit) => lifecycle::quit(app),
            None => {}
        }
    }

    /// The desktop has already turned the tick when this is called; it must tell the truth afterwards.
    fn toggle_start_at_login(&self, app: &AppHandle) {
        let launcher = app.autolaunch();
        let toggled =
            launcher.is_enabled().and_then(|on| if on { launcher.disable() } else { launcher.enable() });
        if let Err(cause) = toggled {
            tracing::error!(%cause, "cannot change whether the program starts at login");
        }
        if let Err(cause) = self.start_at_login.set_checked(starts_at_login(app)) {
            tracing::error!(%cause, "cannot show whether the program starts at login");
        }
    }
}

fn starts_at_login(app: &AppHandle) -> bool {
    app.autolaunch().is_enabled().unwrap_or_else(|cause| {
        tracing::warn!(%cause, "cannot tell whether the program starts at login");
        false
    })
}

/// The engine's clock ticks at least once a second, close enough for a pause.
fn later(at: Timestamp, span: Millis) -> Timestamp {
    Timestamp(at.0.saturating_add_unsigned(span.0))
}

fn command(app: &AppHandle, command: Command) {
    let engine = app.state::<Engine>().inner().clone();
    tauri::async_runtime::spawn(async move {
        if let Err(cause) = engine.command(command.clone()).await {
            tracing::warn!(?command, "{cause}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_leads_back_to_its_action() {
        for (action, id, text) in Action::ALL {
            assert_eq!(Action::of(id), Some(action));
            assert_eq!(action.names(), (id, text));
        }
        assert_eq!(Action::of("something else"), None);
    }

    #[test]
    fn a_pause_ends_its_span_after_the_engines_now() {
        assert_eq!(later(Timestamp(1_000), Millis::secs(15 * 60)), Timestamp(901_000));
    }
}
