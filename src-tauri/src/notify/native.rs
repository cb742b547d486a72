//! Notifications on macOS and Windows, through Tauri's plugin.
//!
//! The plugin hands them to the system and does not learn whether they were shown.

use super::notification::Notification;
use anyhow::Context;
use tauri::AppHandle;
use tauri_plugin_notification::NotificationExt;

/// Shows notifications on this desktop.
pub struct Notifier {
    app: AppHandle,
}

impl Notifier {
    /// Uses the plugin of this program.
    pub fn new(app: AppHandle) -> Self {
        Self { app }
    }

    /// Shows a notification. An error means that the desktop did not accept it.
    #[expect(clippy::unused_async, reason = "on Linux the answer of the desktop is awaited")]
    pub async fn show(&mut self, notification: &Notification) -> anyhow::Result<()> {
        let builder = self.app.notification().builder().title(&notification.title).body(&notification.body);
        builder.show().context("the desktop refused the notification")
    }
}
