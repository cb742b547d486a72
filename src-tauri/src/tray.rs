//! The tray icon and its menu, which alone is enough to use the program.
//!
//! Nothing here depends on a click on the icon itself, for on Linux there is no such event. Texts change in place while the
//! menu may be open; the icon changes only when the verdict or the panel does.

use crate::{
    icons::Shape,
    lifecycle,
    theme::Panel,
    window,
    wording::{Words, label},
};
use anyhow::Context;
use sentinel_engine::Engine;
use sentinel_model::{Command, Millis, Snapshot, Timestamp};
use std::{fs, path::Path, sync::Arc};
use tauri::{
    AppHandle, Manager, Wry,
    menu::{CheckMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
    tray::{TrayIcon, TrayIconBuilder},
};
use tauri_plugin_autostart::ManagerExt;
use tokio::sync::watch;

/// The tray icon's name.
pub const ID: &str = "verdict";

/// What an item of the menu does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    CheckNow,
    Pause(Option<Millis>),
    Resume,
    Open,
    StartAtLogin,
    Quit,
}

impl Action {
    /// Every action with the id and the text of its item.
    const ALL: [(Self, &str, &str); 8] = [
        (Self::CheckNow, "check-now", "Check now"),
        (Self::Pause(Some(Millis::secs(15 * 60))), "pause-15-min", "15 minutes"),
        (Self::Pause(Some(Millis::secs(60 * 60))), "pause-1-h", "1 hour"),
        (Self::Pause(None), "pause", "Until resumed"),
        (Self::Resume, "resume", "Resume"),
        (Self::Open, "open", "Open VPNSentinel"),
        (Self::StartAtLogin, "start-at-login", "Start at login"),
        (Self::Quit, "quit", "Quit"),
    ];

    fn of(id: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == id).map(|(action, ..)| *action)
    }

    fn item(self, app: &AppHandle) -> tauri::Result<MenuItem<Wry>> {
        let (id, text) = self.names();
        MenuItem::with_id(app, id, text, true, None::<&str>)
    }

    fn names(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(action, ..)| *action == self).map_or(("", ""), |(_, id, text)| (id, text))
    }
}

/// The icon and those items of its menu that change.
#[derive(Clone)]
pub struct Tray {
    icon: TrayIcon,
    verdict: MenuItem<Wry>,
    exit: MenuItem<Wry>,
    witnesses: MenuItem<Wry>,
    pause: Submenu<Wry>,
    resume: MenuItem<Wry>,
}

impl Tray {
    /// Puts the icon into the tray. `bitmaps` is a directory of our own; the panel reads the icon from there.
    pub fn create(app: &AppHandle, words: &Words, panel: Panel, bitmaps: &Path) -> anyhow::Result<Self> {
        // A run that ended abruptly leaves its last bitmap behind.
        let _ = fs::remove_dir_all(bitmaps);
        fs::create_dir_all(bitmaps)
            .with_context(|| format!("cannot make the directory {} for the icon", bitmaps.display()))?;

        let fact = |text: &str| MenuItem::new(app, label(text), false, None::<&str>);
        let (verdict, exit, witnesses) =
            (fact(&words.verdict_line)?, fact(&words.exit_line)?, fact(&words.witness_line)?);
        let pauses =
            [Some(Millis::secs(15 * 60)), Some(Millis::secs(60 * 60)), None].map(|span| Action::Pause(span).item(app));
        let [quarter, hour, open_ended] = pauses;
        let pause =
            Submenu::with_items(app, "Pause", !words.paused, &[&quarter?, &hour?, &open_ended?])?;
        let resume = Action::Resume.item(app)?;
        resume.set_enabled(words.paused)?;
        let (id, text) = Action::StartAtLogin.names();
        let at_login = app.autolaunch().is_enabled().unwrap_or_else(|cause| {
            tracing::warn!(%cause, "cannot tell whether the program starts at login");
            false
        });
        let start_at_login = CheckMenuItem::with_id(app, id, text, true, at_login, None::<&str>)?;
        let separator = || PredefinedMenuItem::separator(app);
        let menu = Menu::with_items(
            app,
            &[
                &verdict,
                &exit,
                &witnesses,
                &separator()?,
                &Action::CheckNow.item(app)?,
                &pause,
                &resume,
                &separator()?,
                &Action::Open.item(app)?,
                &start_at_login,
                &separator()?,
                &Action::Quit.item(app)?,
            ],
        )?;

        let icon = TrayIconBuilder::with_id(ID)
            .icon(Shape::from(words.verdict).image(panel))
            .tooltip(&words.verdict_line)
            .menu(&menu)
            .temp_dir_path(bitmaps)
            .on_menu_event(move |app, event| match Action::of(event.id().as_ref()) {
                Some(Action::StartAtLogin) => toggle_start_at_login(app, &start_at_login),
                Some(action) => act(app, action),
                None => {}
            })
            .build(app)?;
        Ok(Self { icon, verdict, exit, witnesses, pause, resume })
    }

    fn show(&self, words: &Words) -> tauri::Result<()> {
        self.verdict.set_text(label(&words.verdict_line))?;
        self.exit.set_text(label(&words.exit_line))?;
        self.witnesses.set_text(label(&words.witness_line))?;
        self.pause.set_enabled(!words.paused)?;
        self.resume.set_enabled(words.paused)?;
        self.icon.set_tooltip(Some(&words.verdict_line))
    }

    /// Keeps icon and menu in step with the engine until it stops.
    pub async fn follow(
        self,
        app: AppHandle,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut panels: watch::Receiver<Panel>,
    ) {
        let mut shown: Option<(Words, Panel)> = None;
        let mut panels_end = false;
        loop {
            let words = Words::from(&**snapshots.borrow_and_update());
            let panel = *panels.borrow_and_update();
            let before = shown.replace((words.clone(), panel));
            self.update(&app, before, words, panel);
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                changed = panels.changed(), if !panels_end => panels_end = changed.is_err(),
            }
        }
    }

    fn update(&self, app: &AppHandle, before: Option<(Words, Panel)>, words: Words, panel: Panel) {
        let before = before.as_ref();
        if before.is_some_and(|(shown, on)| *shown == words && *on == panel) {
            return;
        }
        let shape = Shape::from(words.verdict);
        let redraw = before.is_none_or(|(shown, on)| Shape::from(shown.verdict) != shape || *on != panel);
        let tray = self.clone();
        // All of it in one turn of the main loop, so that icon and words never disagree.
        let done = app.run_on_main_thread(move || {
            let drawn = if redraw { tray.icon.set_icon(Some(shape.image(panel))) } else { Ok(()) };
            if let Err(cause) = drawn.and_then(|()| tray.show(&words)) {
                tracing::error!(%cause, "cannot update the tray");
            }
        });
        if let Err(cause) = done {
            tracing::error!(%cause, "cannot reach the tray");
        }
    }
}

fn act(app: &AppHandle, action: Action) {
    match action {
        Action::CheckNow => command(app, Command::CheckNow),
        Action::Pause(span) => {
            let until = span.map(|span| later(app.state::<Engine>().snapshot().borrow().at, span));
            command(app, Command::Pause { until });
        }
        Action::Resume => command(app, Command::Resume),
        Action::Open => window::show(app),
        Action::Quit => lifecycle::quit(app),
        Action::StartAtLogin => {}
    }
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

/// The desktop has already turned the tick when this is called; it must tell the truth afterwards.
fn toggle_start_at_login(app: &AppHandle, item: &CheckMenuItem<Wry>) {
    let launcher = app.autolaunch();
    let toggled = launcher.is_enabled().and_then(|on| if on { launcher.disable() } else { launcher.enable() });
    if let Err(cause) = toggled {
        tracing::error!(%cause, "cannot change whether the program starts at login");
    }
    let told = launcher.is_enabled().unwrap_or(false);
    if let Err(cause) = item.set_checked(told) {
        tracing::error!(%cause, "cannot show whether the program starts at login");
    }
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
