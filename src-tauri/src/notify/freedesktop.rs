//! Notifications over D-Bus (Desktop Notifications Specification 1.2).
//!
//! Spoken to directly, because the outbox has to know whether the desktop took a notification, which the plugin for this
//! hides, and because some desktops take a notification back when the connection that sent it closes.

use super::Message;
use crate::theme::Panel;
use anyhow::Context;
use sentinel_model::Severity;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::timeout;
use zbus::{Connection, zvariant::Value};

/// A daemon that takes longer than this to say yes is not going to.
const ANSWER: Duration = Duration::from_secs(5);

/// How many earlier notifications can still be replaced; more are never on a screen at once.
const REPLACEABLE: usize = 32;

/// Let the desktop decide how long to show it.
const DESKTOP_DECIDES: i32 = -1;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[allow(clippy::too_many_arguments)] // the specification's
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
    shown: VecDeque<(String, u32)>,
}

impl Notifier {
    /// On the session bus, which is looked for again if it is not there.
    pub fn new(bus: Option<Connection>) -> Self {
        Self { bus, shown: VecDeque::new() }
    }

    /// Shows a message. An error means that the desktop did not take it.
    pub async fn show(&mut self, message: &Message) -> anyhow::Result<()> {
        let shown =
            timeout(ANSWER, self.send(message)).await.context("the notification daemon does not answer");
        match shown.and_then(|sent| sent) {
            Ok(id) => {
                self.remember(message, id);
                Ok(())
            }
            Err(cause) => {
                // The session bus itself may have gone; the next attempt finds out.
                self.bus = None;
                Err(cause)
            }
        }
    }

    async fn send(&mut self, message: &Message) -> anyhow::Result<u32> {
        let bus = match &self.bus {
            Some(bus) => bus,
            None => self.bus.insert(Connection::session().await.context("there is no session bus")?),
        };
        let daemon = NotificationsProxy::new(bus).await?;
        let understands_markup = daemon
            .get_capabilities()
            .await
            .context("no notification daemon is running")?
            .iter()
            .any(|capability| capability == "body-markup");
        let body = if understands_markup { without_markup(&message.body) } else { message.body.clone() };
        let replaces = self.earlier(message).unwrap_or(0);
        let hints = hints(message)?;
        let id = daemon
            .notify("VPNSentinel", replaces, "", &message.title, &body, &[], hints, DESKTOP_DECIDES)
            .await
            .context("the notification daemon refused")?;
        Ok(id)
    }

    fn earlier(&self, message: &Message) -> Option<u32> {
        let about = message.about.as_ref()?;
        self.shown.iter().find(|(shown, _)| shown == about).map(|(_, id)| *id)
    }

    fn remember(&mut self, message: &Message, id: u32) {
        let Some(about) = &message.about else { return };
        self.shown.retain(|(shown, _)| shown != about);
        self.shown.push_back((about.clone(), id));
        if self.shown.len() > REPLACEABLE {
            self.shown.pop_front();
        }
    }
}

fn hints(message: &Message) -> anyhow::Result<HashMap<&'static str, Value<'static>>> {
    let urgency: u8 = match message.severity {
        Severity::Information => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    };
    let image = message.shape.image(Panel::Unknown);
    let (width, height) = (i32::try_from(image.width())?, i32::try_from(image.height())?);
    // Rows of red, green, blue, alpha: width, height, bytes per row, has alpha, bits per sample, samples, data.
    let picture = (width, height, width * 4, true, 8_i32, 4_i32, image.rgba().to_vec());
    Ok(HashMap::from([
        ("urgency", Value::from(urgency)),
        ("desktop-entry", Value::from("VPNSentinel")),
        ("image-data", Value::from(picture)),
    ]))
}

/// The names in a message are other people's choice; none may turn into markup.
fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_name_cannot_become_a_link() {
        assert_eq!(without_markup("<a href='x'>R&D</a>"), "&lt;a href='x'&gt;R&amp;D&lt;/a&gt;");
    }

    #[test]
    fn only_the_latest_notification_about_a_thing_is_replaced_and_few_are_remembered() {
        let mut notifier = Notifier::new(None);
        let about = |thing: &str| Message { about: Some(thing.to_owned()), ..Message::own("title", "body") };
        notifier.remember(&about("first"), 1);
        notifier.remember(&about("first"), 2);
        assert_eq!(notifier.earlier(&about("first")), Some(2));
        assert_eq!(notifier.earlier(&Message::own("title", "body")), None);
        for id in 0..u32::try_from(REPLACEABLE).unwrap() {
            notifier.remember(&about(&format!("thing {id}")), id);
        }
        assert_eq!(notifier.earlier(&about("first")), None);
        assert_eq!(notifier.shown.len(), REPLACEABLE);
    }
}
