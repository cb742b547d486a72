//! Which of the icon variants suits the panel the tray icon sits on.
//!
//! No desktop tells the colour of its panel. What it tells is whether applications should be light or dark, and some are
//! known to have a dark panel always; for the rest there are icons that can be read on both.

use tokio::sync::watch;

/// The panel the tray icon sits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Panel {
    /// A light one.
    Light,
    /// A dark one.
    Dark,
    /// Nobody knows.
    Unknown,
}

/// What the person prefers applications to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum Preference {
    None,
    Dark,
    Light,
}

/// The panel, by the desktop's name (`XDG_CURRENT_DESKTOP`, several separated by colons) and the preference.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn panel(desktop: &str, preference: Preference) -> Panel {
    // The top bar of GNOME is black in its light theme too; a dark preference darkens the panel everywhere. Only
    // Plasma's panel is known to be light otherwise.
    let is = |name: &str| desktop.split(':').any(|part| part.eq_ignore_ascii_case(name));
    match preference {
        _ if is("GNOME") => Panel::Dark,
        Preference::Dark => Panel::Dark,
        Preference::Light | Preference::None if is("KDE") => Panel::Light,
        Preference::Light | Preference::None => Panel::Unknown,
    }
}

/// The panel now, and whenever it changes.
#[cfg(target_os = "linux")]
pub async fn follow(bus: Option<zbus::Connection>) -> watch::Receiver<Panel> {
    portal::follow(bus).await
}

/// The panel, which this system does not tell.
#[cfg(not(target_os = "linux"))]
pub async fn follow() -> watch::Receiver<Panel> {
    watch::channel(Panel::Unknown).1
}

#[cfg(target_os = "linux")]
mod portal {
    //! The settings portal, where the desktop publishes the preference.

    use super::{Panel, Preference, panel, watch};
    use futures::StreamExt;
    use std::{env, time::Duration};
    use tokio::time::timeout;
    use zbus::{
        Connection,
        zvariant::{OwnedValue, Value},
    };

    /// The icon can change later, so the start does not wait for a slow portal.
    const FIRST_ANSWER: Duration = Duration::from_millis(300);
    const NAMESPACE: &str = "org.freedesktop.appearance";
    const KEY: &str = "color-scheme";

    #[zbus::proxy(
        interface = "org.freedesktop.portal.Settings",
        default_service = "org.freedesktop.portal.Desktop",
        default_path = "/org/freedesktop/portal/desktop",
        gen_blocking = false
    )]
    trait Settings {
        /// Older portals know only this one, newer ones still do. A desktop without a running portal is not made to
        /// start one for the sake of an icon.
        #[zbus(no_autostart)]
        fn read(&self, namespace: &str, key: &str) -> zbus::Result<OwnedValue>;

        #[zbus(signal)]
        fn setting_changed(&self, namespace: &str, key: &str, value: Value<'_>) -> zbus::Result<()>;
    }

    pub(super) async fn follow(bus: Option<Connection>) -> watch::Receiver<Panel> {
        let desktop = env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let (sender, receiver) = watch::channel(panel(&desktop, Preference::None));
        let Some(settings) = settings(bus).await else { return receiver };
        if let Ok(Ok(value)) = timeout(FIRST_ANSWER, settings.read(NAMESPACE, KEY)).await {
            sender.send_replace(panel(&desktop, preference(&value)));
        }
        tokio::spawn(async move {
            let Ok(mut changes) = settings.receive_setting_changed().await else { return };
            while let Some(change) = changes.next().await {
                let Ok(change) = change.args() else { continue };
                if change.namespace == NAMESPACE && change.key == KEY {
                    sender.send_replace(panel(&desktop, preference(&change.value)));
                }
            }
        });
        receiver
    }

    async fn settings(bus: Option<Connection>) -> Option<SettingsProxy<'static>> {
        SettingsProxy::new(&bus?)
            .await
            .inspect_err(|cause| tracing::debug!(%cause, "no settings portal"))
            .ok()
    }

    /// 1 is dark, 2 is light; `Read` wraps the number twice.
    fn preference(value: &Value<'_>) -> Preference {
        match value {
            Value::Value(inner) => preference(inner),
            Value::U32(1) => Preference::Dark,
            Value::U32(2) => Preference::Light,
            _ => Preference::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_is_only_guessed_where_the_desktop_gives_it_away() {
        assert_eq!(panel("ubuntu:GNOME", Preference::Light), Panel::Dark);
        assert_eq!(panel("KDE", Preference::None), Panel::Light);
        assert_eq!(panel("KDE", Preference::Dark), Panel::Dark);
        assert_eq!(panel("XFCE", Preference::Dark), Panel::Dark);
        assert_eq!(panel("XFCE", Preference::Light), Panel::Unknown);
        assert_eq!(panel("", Preference::None), Panel::Unknown);
    }
}
