//! The tray icon, whose menu alone is enough to use the program.
//!
//! Nothing here depends on a click on the icon itself, because Linux has no such event. Texts
//! change in place; the icon changes only if the shape of the verdict or the theme of the panel
//! does.

mod content;
mod host;
mod menu;

pub use content::TrayContent;
pub use host::TrayHost;

use crate::{ids, panel_theme::PanelTheme, shapes::VerdictShape};
use anyhow::Context;
use menu::TrayMenu;
use sentinel_model::Snapshot;
use std::{fs, path::Path, sync::Arc};
use tauri::{
    AppHandle,
    tray::{TrayIcon, TrayIconBuilder},
};
use tokio::sync::watch;

/// What the tray shows, and the theme that decides the variant of the icon.
type Appearance = (TrayContent, PanelTheme);

/// The tray icon with its menu.
pub struct Tray {
    icon: TrayIcon,
    menu: TrayMenu,
    shown: Appearance,
}

impl Tray {
    /// Puts the icon into the tray.
    ///
    /// `bitmaps` is a directory for this purpose alone; the panel reads the icon from there.
    pub fn create(
        app: &AppHandle,
        content: TrayContent,
        panel_theme: PanelTheme,
        bitmaps: &Path,
    ) -> anyhow::Result<Self> {
        // A run that ended abruptly leaves its last bitmap there.
        let _ = fs::remove_dir_all(bitmaps);
        fs::create_dir_all(bitmaps)
            .with_context(|| format!("cannot create the directory {} for the icon", bitmaps.display()))?;

        let menu = TrayMenu::new(app, &content)?;
        let handler = menu.clone();
        let icon = TrayIconBuilder::with_id(ids::TRAY)
            .icon(VerdictShape::from(content.verdict).image(panel_theme))
            .tooltip(&content.verdict_line)
            .menu(menu.menu())
            .temp_dir_path(bitmaps)
            .on_menu_event(move |app, event| handler.handle_item(app, event.id().as_ref()))
            .build(app)?;
        Ok(Self { icon, menu, shown: (content, panel_theme) })
    }

    /// Updates icon and menu with each snapshot until the engine stops.
    pub async fn follow(
        mut self,
        app: AppHandle,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut panel_themes: watch::Receiver<PanelTheme>,
    ) {
        let mut theme_may_change = true;
        loop {
            let now =
                (TrayContent::from(&**snapshots.borrow_and_update()), *panel_themes.borrow_and_update());
            if now != self.shown {
                self.update(&app, now);
            }
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                changed = panel_themes.changed(), if theme_may_change => theme_may_change = changed.is_ok(),
            }
        }
    }

    fn update(&mut self, app: &AppHandle, now: Appearance) {
        let redraw = bitmap(&now) != bitmap(&self.shown);
        self.shown = now.clone();
        let (icon, menu) = (self.icon.clone(), self.menu.clone());
        // One call on the main thread, so that icon and text always agree.
        let update = move || -> tauri::Result<()> {
            if redraw {
                let (shape, panel_theme) = bitmap(&now);
                icon.set_icon(Some(shape.image(panel_theme)))?;
            }
            menu.update(&now.0)?;
            icon.set_tooltip(Some(&now.0.verdict_line))
        };
        let sent = app.run_on_main_thread(move || {
            if let Err(cause) = update() {
                tracing::error!(%cause, "Cannot update the tray");
            }
        });
        if let Err(cause) = sent {
            tracing::error!(%cause, "Cannot reach the main thread to update the tray");
        }
    }
}

/// Returns what decides the bitmap of the icon.
fn bitmap((content, panel_theme): &Appearance) -> (VerdictShape, PanelTheme) {
    (VerdictShape::from(content.verdict), *panel_theme)
}
