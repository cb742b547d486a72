//! Whether the panel with the tray icon is light or dark, which decides the variant of the icon.
//!
//! No desktop publishes the colour of its panel. It publishes whether applications should be light
//! or dark, and some desktops always have a dark panel. For the rest there are icons that are
//! readable on both.

use tokio::sync::watch;

/// The brightness of the panel with the tray icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PanelTheme {
    /// The panel is light.
    Light,
    /// The panel is dark.
    Dark,
    /// The desktop does not reveal it.
    Unknown,
}

/// The colour scheme that the user prefers for applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum ColorScheme {
    NoPreference,
    Dark,
    Light,
}

/// Guesses the theme from `XDG_CURRENT_DESKTOP` (names separated by colons) and the colour scheme.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn guess_theme(desktop: &str, scheme: ColorScheme) -> PanelTheme {
    // The top bar of GNOME is black even with a light scheme, and a dark scheme darkens the panel
    // of every desktop. With another scheme, only the panel of Plasma is known to be light.
    let is = |name: &str| desktop.split(':').any(|part| part.eq_ignore_ascii_case(name));
    match scheme {
        _ if is("GNOME") => PanelTheme::Dark,
        ColorScheme::Dark => PanelTheme::Dark,
        ColorScheme::Light | ColorScheme::NoPreference if is("KDE") => PanelTheme::Light,
        ColorScheme::Light | ColorScheme::NoPreference => PanelTheme::Unknown,
    }
}

/// Watches the theme of the panel.
#[cfg(target_os = "linux")]
pub async fn follow(bus: Option<zbus::Connection>) -> watch::Receiver<PanelTheme> {
    portal::follow(bus).await
}

/// Returns the theme of the panel, which this system does not reveal.
#[cfg(not(target_os = "linux"))]
pub async fn follow() -> watch::Receiver<PanelTheme> {
    watch::channel(PanelTheme::Unknown).1
}

#[cfg(target_os = "linux")]
mod portal {
    //! The settings portal, where the desktop publishes the colour scheme.

    use super::{ColorScheme, PanelTheme, guess_theme, watch};
    use futures::StreamExt;
    use std::{env, time::Duration};
    use tokio::time::timeout;
    use zbus::{
        Connection,
        zvariant::{OwnedValue, Value},
    };

    /// The time limit for the first value; the icon can change later, so the start does not wait
    /// longer.
    const FIRST_VALUE: Duration = Duration::from_millis(300);
    const NAMESPACE: &str = "org.freedesktop.appearance";
    const KEY: &str = "color-scheme";

    #[zbus::proxy(
        interface = "org.freedesktop.portal.Settings",
        default_service = "org.freedesktop.portal.Desktop",
        default_path = "/org/freedesktop/portal/desktop",
        gen_blocking = false
    )]
    trait Settings {
        /// Returns a setting, with a method that old and new portals support.
        ///
        /// A portal that is not running is not started for the sake of an icon.
        #[zbus(no_autostart)]
        fn read(&self, namespace: &str, key: &str) -> zbus::Result<OwnedValue>;

        #[zbus(signal)]
        fn setting_changed(&self, namespace: &str, key: &str, value: Value<'_>) -> zbus::Result<()>;
    }

    pub(super) async fn follow(bus: Option<Connection>) -> watch::Receiver<PanelTheme> {
        let desktop = env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let (sender, receiver) = watch::channel(guess_theme(&desktop, ColorScheme::NoPreference));
        let Some(settings) = connect(bus).await else { return receiver };
        if let Ok(Ok(value)) = timeout(FIRST_VALUE, settings.read(NAMESPACE, KEY)).await {
            sender.send_replace(guess_theme(&desktop, parse_scheme(&value)));
        }
        tokio::spawn(async move {
            let Ok(mut changes) = settings.receive_setting_changed().await else { return };
            while let Some(change) = changes.next().await {
                let Ok(change) = change.args() else { continue };
                if change.namespace == NAMESPACE && change.key == KEY {
                    sender.send_replace(guess_theme(&desktop, parse_scheme(&change.value)));
                }
            }
        });
        receiver
    }

    async fn connect(bus: Option<Connection>) -> Option<SettingsProxy<'static>> {
        SettingsProxy::new(&bus?)
            .await
            .inspect_err(|cause| tracing::debug!(%cause, "There is no settings portal"))
            .ok()
    }

    /// Parses the setting: 1 is dark, 2 is light. `Read` wraps the number twice.
    fn parse_scheme(value: &Value<'_>) -> ColorScheme {
        match value {
            Value::Value(inner) => parse_scheme(inner),
            Value::U32(1) => ColorScheme::Dark,
            Value::U32(2) => ColorScheme::Light,
            _ => ColorScheme::NoPreference,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_theme_is_guessed_only_if_the_desktop_determines_it() {
        assert_eq!(guess_theme("ubuntu:GNOME", ColorScheme::Light), PanelTheme::Dark);
        assert_eq!(guess_theme("KDE", ColorScheme::NoPreference), PanelTheme::Light);
        assert_eq!(guess_theme("KDE", ColorScheme::Dark), PanelTheme::Dark);
        assert_eq!(guess_theme("XFCE", ColorScheme::Dark), PanelTheme::Dark);
        assert_eq!(guess_theme("XFCE", ColorScheme::Light), PanelTheme::Unknown);
        assert_eq!(guess_theme("", ColorScheme::NoPreference), PanelTheme::Unknown);
    }
}
