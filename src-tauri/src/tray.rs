//! The tray icon, whose menu alone is enough to use the program.
//!
//! Nothing here depends on a click on the icon itself, for on Linux there is no such event. Texts change in place; the
//! icon changes only when the verdict's shape or the panel does.

use crate::{icons::Shape, menu::TrayMenu, theme::Panel, wording::Words};
use anyhow::Context;
use sentinel_model::Snapshot;
use std::{fs, path::Path, sync::Arc};
use tauri::{
    AppHandle,
    tray::{TrayIcon, TrayIconBuilder},
};
use tokio::sync::watch;

/// The tray icon's name.
pub const ID: &str = "verdict";

/// What the tray shows: the words decide menu and shape, the panel the shape's variant.
type Shown = (Words, Panel);

/// The tray icon with its menu.
pub struct Tray {
    icon: TrayIcon,
    menu: TrayMenu,
    shown: Shown,
}

impl Tray {
    /// Puts the icon into the tray. `bitmaps` is a directory of our own; the panel reads the icon from there.
    pub fn create(app: &AppHandle, words: Words, panel: Panel, bitmaps: &Path) -> anyhow::Result<Self> {
        // A run that ended abruptly leaves its last bitmap behind.
        let _ = fs::remove_dir_all(bitmaps);
        fs::create_dir_all(bitmaps)
            .with_context(|| format!("cannot make the directory {} for the icon", bitmaps.display()))?;

        let menu = TrayMenu::new(app, &words)?;
        let chosen = menu.clone();
        let icon = TrayIconBuilder::with_id(ID)
            .icon(Shape::from(words.verdict).image(panel))
            .tooltip(&words.verdict_line)
            .menu(menu.whole())
            .temp_dir_path(bitmaps)
            .on_menu_event(move |app, event| chosen.chosen(app, event.id().as_ref()))
            .build(app)?;
        Ok(Self { icon, menu, shown: (words, panel) })
    }

    /// Keeps icon and menu in step with the engine until it stops.
    pub async fn follow(
        mut self,
        app: AppHandle,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut panels: watch::Receiver<Panel>,
    ) {
        let mut panel_may_change = true;
        loop {
            let now = (Words::from(&**snapshots.borrow_and_update()), *panels.borrow_and_update());
            if now != self.shown {
                self.update(&app, now);
            }
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                changed = panels.changed(), if panel_may_change => panel_may_change = changed.is_ok(),
            }
        }
    }

    fn update(&mut self, app: &AppHandle, now: Shown) {
        let redraw = bitmap(&now) != bitmap(&self.shown);
        self.shown = now.clone();
        let (icon, menu) = (self.icon.clone(), self.menu.clone());
        // All of it in one turn of the main loop, so that icon and words never disagree.
        let update = move || -> tauri::Result<()> {
            if redraw {
                let (shape, panel) = bitmap(&now);
                icon.set_icon(Some(shape.image(panel)))?;
            }
            menu.show(&now.0)?;
            icon.set_tooltip(Some(&now.0.verdict_line))
        };
        let sent = app.run_on_main_thread(move || {
            if let Err(cause) = update() {
                tracing::error!(%cause, "cannot update the tray");
            }
        });
        if let Err(cause) = sent {
            tracing::error!(%cause, "cannot reach the tray");
        }
    }
}

fn bitmap((words, panel): &Shown) -> (Shape, Panel) {
    (Shape::from(words.verdict), *panel)
}
