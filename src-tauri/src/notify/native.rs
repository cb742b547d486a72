//! Notifications on macOS and Windows.

use super::Message;
use anyhow::Context;
use notify_rust::Notification;

/// Shows notifications on this desktop.
#[derive(Debug, Default)]
pub struct Notifier;

impl Notifier {
    /// Shows a message. An error means that the desktop did not take it.
    pub async fn show(&mut self, message: &Message) -> anyhow::Result<()> {
        let mut notification = Notification::new();
        notification.appname("VPNSentinel").summary(&message.title).body(&message.body);
        // Both systems answer in their own time and block until then.
        tokio::task::spawn_blocking(move || notification.show().map(drop))
            .await
            .context("the notification was not sent")?
            .context("the desktop refused the notification")
    }
}
