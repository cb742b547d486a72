//! Notifications on macOS and Windows, by Tauri's plugin. It hands them to the system and learns no more of them; on Linux
//! the daemon's own answer says whether a person was told, which is why `freedesktop` speaks to it directly.

use super::Message;
use anyhow::Context;
use tauri::AppHandle;
use tauri_plugin_notification::NotificationExt;

/// Shows notifications on this desktop.
pub struct Notifier {
    app: AppHandle,
}

impl Notifier {
    /// For this program.
    pub fn new(app: AppHandle) -> Self {
        Self { app }
    }

    /// Shows a message. An error means that the desktop did not take it.
    #[expect(clippy::unused_async, reason = "on Linux the desktop answers in its own time")]
    pub async fn show(&mut self, message: &Message) -> anyhow::Result<()> {
        let notification = self.app.notification().builder().title(&message.title).body(&message.body);
        notification.show().context("the desktop refused the notification")
    }
}
