//! Notifications over D-Bus (Desktop Notifications Specification 1.2).
//!
//! Tauri's plugin is not used here: it hides whether the desktop accepted a notification, which the
//! outbox must know, and it closes its connection, upon which some desktops withdraw the
//! notification.

use super::notification::Notification;
use crate::panel_theme::PanelTheme;
use anyhow::Context;
use sentinel_model::Severity;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::timeout;
use zbus::{Connection, zvariant::Value};

/// The time limit for the daemon's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many notifications are remembered for replacement; a screen never shows more at once.
const MAX_REMEMBERED: usize = 32;

/// The expiry that leaves the duration to the desktop.
const DEFAULT_EXPIRY: i32 = -1;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[allow(clippy::too_many_arguments, reason = "the specification defines them")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
}

/// Shows notifications on this desktop.
pub struct Notifier {
    bus: Option<Connection>,
    /// The ids of recent notifications by topic, oldest first.
    shown: VecDeque<(String, u32)>,
}

impl Notifier {
    /// Uses this session bus, or connects to one when the first notification is shown.
    pub fn new(bus: Option<Connection>) -> Self {
        Self { bus, shown: VecDeque::new() }
    }

    /// Shows a notification. An error means that the desktop did not accept it.
    pub async fn show(&mut self, notification: &Notification) -> anyhow::Result<()> {
        let shown = timeout(ANSWER_TIMEOUT, self.send(notification))
            .await
            .context("the notification daemon does not answer");
        match shown.and_then(|sent| sent) {
            Ok(id) => {
                self.remember(notification, id);
                Ok(())
            }
            Err(cause) => {
                // The session bus itself may be gone, so the next attempt connects anew.
                self.bus = None;
                Err(cause)
            }
        }
    }

    async fn send(&mut self, notification: &Notification) -> anyhow::Result<u32> {
        let bus = match &self.bus {
            Some(bus) => bus,
            None => self.bus.insert(Connection::session().await.context("there is no session bus")?),
        };
        let daemon = NotificationsProxy::new(bus).await?;
        let supports_markup = daemon
            .get_capabilities()
            .await
            .context("no notification daemon is running")?
            .iter()
            .any(|capability| capability == "body-markup");
        let body =
            if supports_markup { escape_markup(&notification.body) } else { notification.body.clone() };
        let replaces = self.replaced_id(notification).unwrap_or(0);
        let hints = hints(notification)?;
        let id = daemon
            .notify("VPNSentinel", replaces, "", &notification.title, &body, &[], hints, DEFAULT_EXPIRY)
            .await
            .context("the notification daemon refused")?;
        Ok(id)
    }

    fn replaced_id(&self, notification: &Notification) -> Option<u32> {
        let topic = notification.topic.as_ref()?;
        self.shown.iter().find(|(shown, _)| shown == topic).map(|(_, id)| *id)
    }

    fn remember(&mut self, notification: &Notification, id: u32) {
        let Some(topic) = &notification.topic else { return };
        self.shown.retain(|(shown, _)| shown != topic);
        self.shown.push_back((topic.clone(), id));
        if self.shown.len() > MAX_REMEMBERED {
            self.shown.pop_front();
        }
    }
}

fn hints(notification: &Notification) -> anyhow::Result<HashMap<&'static str, Value<'static>>> {
    let urgency: u8 = match notification.severity {
        Severity::Information => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    };
    let image = notification.shape.image(PanelTheme::Unknown);
    let (width, height) = (i32::try_from(image.width())?, i32::try_from(image.height())?);
    // Width, height, bytes per row, has alpha, bits per sample, samples per pixel, RGBA data.
    let picture = (width, height, width * 4, true, 8_i32, 4_i32, image.rgba().to_vec());
    Ok(HashMap::from([
        ("urgency", Value::from(urgency)),
        ("desktop-entry", Value::from("VPNSentinel")),
        ("image-data", Value::from(picture)),
    ]))
}

/// Escapes markup, because other people choose the names of nodes and networks.
fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_node_cannot_become_a_link() {
        assert_eq!(escape_markup("<a href='x'>R&D</a>"), "&lt;a href='x'&gt;R&amp;D&lt;/a&gt;");
    }

    #[test]
    fn only_the_latest_notification_on_a_topic_is_replaced_and_few_are_remembered() {
        let mut notifier = Notifier::new(None);
        let about = |thing: &str| Notification {
            topic: Some(thing.to_owned()),
            ..Notification::about_program("title", "body")
        };
        notifier.remember(&about("first"), 1);
        notifier.remember(&about("first"), 2);
        assert_eq!(notifier.replaced_id(&about("first")), Some(2));
        assert_eq!(notifier.replaced_id(&Notification::about_program("title", "body")), None);
        for id in 0..u32::try_from(MAX_REMEMBERED).unwrap() {
            notifier.remember(&about(&format!("thing {id}")), id);
        }
        assert_eq!(notifier.replaced_id(&about("first")), None);
        assert_eq!(notifier.shown.len(), MAX_REMEMBERED);
    }
}
