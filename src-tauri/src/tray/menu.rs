//! The menu of the tray icon: its items, and what each does.

use super::content::{TrayContent, menu_label};
use crate::{lifecycle, window};
use sentinel_engine::Engine;
use sentinel_model::{Command, Millis, Timestamp};
use tauri::{
    AppHandle, Manager, Wry,
    menu::{CheckMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
};
use tauri_plugin_autostart::ManagerExt;

/// What a menu item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    CheckNow,
    Pause(Option<Millis>),
    Resume,
    Open,
    StartAtLogin,
    Quit,
}

const PAUSE_15_MIN: Action = Action::Pause(Some(Millis::secs(15 * 60)));
const PAUSE_1_H: Action = Action::Pause(Some(Millis::secs(60 * 60)));
const PAUSE_OPEN_ENDED: Action = Action::Pause(None);

impl Action {
    /// Every action with the id and the label of its item.
    const ALL: [(Self, &str, &str); 8] = [
        (Self::CheckNow, "check-now", "Check now"),
        (PAUSE_15_MIN, "pause-15-min", "15 minutes"),
        (PAUSE_1_H, "pause-1-h", "1 hour"),
        (PAUSE_OPEN_ENDED, "pause", "Until resumed"),
        (Self::Resume, "resume", "Resume"),
        (Self::Open, "open", "Open VPNSentinel"),
        (Self::StartAtLogin, "start-at-login", "Start at login"),
        (Self::Quit, "quit", "Quit"),
    ];

    fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == id).map(|(action, ..)| *action)
    }

    fn id_and_label(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(action, ..)| *action == self).map_or(("", ""), |(_, id, label)| (id, label))
    }

    fn create_item(self, app: &AppHandle, enabled: bool) -> tauri::Result<MenuItem<Wry>> {
        let (id, label) = self.id_and_label();
        MenuItem::with_id(app, id, label, enabled, None::<&str>)
    }
}

/// The menu, with handles to the items that change.
#[derive(Clone)]
pub struct TrayMenu {
    menu: Menu<Wry>,
    verdict: MenuItem<Wry>,
    exit: MenuItem<Wry>,
    witnesses: MenuItem<Wry>,
    pause: Submenu<Wry>,
    resume: MenuItem<Wry>,
    start_at_login: CheckMenuItem<Wry>,
}

impl TrayMenu {
    /// Creates the menu.
    pub fn new(app: &AppHandle, content: &TrayContent) -> tauri::Result<Self> {
        let fact = |text: &str| MenuItem::new(app, menu_label(text), false, None::<&str>);
        let separator = || PredefinedMenuItem::separator(app);
        let verdict = fact(&content.verdict_line)?;
        let exit = fact(&content.exit_line)?;
        let witnesses = fact(&content.witness_line)?;
        let pauses = [
            PAUSE_15_MIN.create_item(app, true)?,
            PAUSE_1_H.create_item(app, true)?,
            PAUSE_OPEN_ENDED.create_item(app, true)?,
        ];
        let pause =
            Submenu::with_items(app, "Pause", !content.paused, &[&pauses[0], &pauses[1], &pauses[2]])?;
        let resume = Action::Resume.create_item(app, content.paused)?;
        let (id, label) = Action::StartAtLogin.id_and_label();
        let start_at_login =
            CheckMenuItem::with_id(app, id, label, true, starts_at_login(app), None::<&str>)?;
        let menu = Menu::with_items(
            app,
            &[
                &verdict,
                &exit,
                &witnesses,
                &separator()?,
                &Action::CheckNow.create_item(app, true)?,
                &pause,
                &resume,
                &separator()?,
                &Action::Open.create_item(app, true)?,
                &start_at_login,
                &separator()?,
                &Action::Quit.create_item(app, true)?,
            ],
        )?;
        Ok(Self { menu, verdict, exit, witnesses, pause, resume, start_at_login })
    }

    /// Returns the menu for the tray icon.
    pub fn menu(&self) -> &Menu<Wry> {
        &self.menu
    }

    /// Updates the items in place, because the menu may be open.
    pub fn update(&self, content: &TrayContent) -> tauri::Result<()> {
        self.verdict.set_text(menu_label(&content.verdict_line))?;
        self.exit.set_text(menu_label(&content.exit_line))?;
        self.witnesses.set_text(menu_label(&content.witness_line))?;
        self.pause.set_enabled(!content.paused)?;
        self.resume.set_enabled(content.paused)
    }

    /// Carries out the action of the item with this id.
    pub fn handle_item(&self, app: &AppHandle, id: &str) {
        match Action::from_id(id) {
            Some(Action::CheckNow) => send_command(app, Command::CheckNow),
            Some(Action::Pause(duration)) => {
                let until = duration
                    .map(|duration| add_duration(app.state::<Engine>().snapshot().borrow().at, duration));
                send_command(app, Command::Pause { until });
            }
            Some(Action::Resume) => send_command(app, Command::Resume),
            Some(Action::Open) => window::show(app),
            Some(Action::StartAtLogin) => self.toggle_start_at_login(app),
            Some(Action::Quit) => lifecycle::quit(app),
            None => {}
        }
    }

    /// Changes whether the program starts at login.
    ///
    /// The desktop has already toggled the check mark, so the mark is set to the actual state
    /// afterwards.
    fn toggle_start_at_login(&self, app: &AppHandle) {
        let launcher = app.autolaunch();
        let toggled =
            launcher.is_enabled().and_then(|on| if on { launcher.disable() } else { launcher.enable() });
        if let Err(cause) = toggled {
            tracing::error!(%cause, "Cannot change whether the program starts at login");
        }
        if let Err(cause) = self.start_at_login.set_checked(starts_at_login(app)) {
            tracing::error!(%cause, "Cannot show whether the program starts at login");
        }
    }
}

fn starts_at_login(app: &AppHandle) -> bool {
    app.autolaunch().is_enabled().unwrap_or_else(|cause| {
        tracing::warn!(%cause, "Cannot determine whether the program starts at login");
        false
    })
}

/// Adds a duration to the time of the last snapshot, which is at most about a second old.
fn add_duration(at: Timestamp, duration: Millis) -> Timestamp {
    Timestamp(at.0.saturating_add_unsigned(duration.0))
}

fn send_command(app: &AppHandle, command: Command) {
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
    fn the_id_of_every_item_identifies_its_action() {
        for (action, id, label) in Action::ALL {
            assert_eq!(Action::from_id(id), Some(action));
            assert_eq!(action.id_and_label(), (id, label));
        }
        assert_eq!(Action::from_id("something else"), None);
    }

    #[test]
    fn a_pause_ends_its_duration_after_the_last_snapshot() {
        assert_eq!(add_duration(Timestamp(1_000), Millis::secs(15 * 60)), Timestamp(901_000));
    }
}
