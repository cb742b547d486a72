//! Whether anything on this desktop shows tray icons.
//!
//! On Linux, icons are shown by a StatusNotifier host, which registers with a watcher on the
//! session bus. A desktop may have none, or one that starts after this program at login, or one
//! that restarts. Other systems always have one.

use tokio::sync::watch;

/// Whether tray icons are shown; kept current.
#[derive(Clone, Debug)]
pub struct TrayHost(watch::Receiver<bool>);

impl TrayHost {
    /// Returns the host of a desktop that never shows the icon.
    pub fn absent() -> Self {
        Self(watch::channel(false).1)
    }

    /// Returns true if icons are shown now.
    pub fn is_present(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until icons are shown; forever, if they never are.
    pub async fn wait_until_present(mut self) {
        if self.0.wait_for(|present| *present).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Watches the host of this desktop.
    #[cfg(target_os = "linux")]
    pub async fn follow(bus: Option<zbus::Connection>) -> Self {
        let Some(bus) = bus else { return Self::absent() };
        match watcher::follow(bus).await {
            Ok(receiver) => Self(receiver),
            Err(cause) => {
                tracing::warn!(%cause, "Cannot determine whether this desktop shows tray icons; assuming that it does not");
                Self::absent()
            }
        }
    }

    /// Returns the host of this system, which always shows tray icons.
    #[cfg(not(target_os = "linux"))]
    pub async fn follow() -> Self {
        Self(watch::channel(true).1)
    }
}

#[cfg(target_os = "linux")]
mod watcher {
    //! The StatusNotifierWatcher on the session bus.

    use futures::StreamExt;
    use tokio::sync::watch;
    use zbus::{Connection, fdo::DBusProxy, names::BusName, proxy::CacheProperties};

    const NAME: &str = "org.kde.StatusNotifierWatcher";

    #[zbus::proxy(
        interface = "org.kde.StatusNotifierWatcher",
        default_service = "org.kde.StatusNotifierWatcher",
        default_path = "/StatusNotifierWatcher",
        gen_blocking = false
    )]
    trait StatusNotifierWatcher {
        #[zbus(property)]
        fn is_status_notifier_host_registered(&self) -> zbus::Result<bool>;

        #[zbus(signal)]
        fn status_notifier_host_registered(&self) -> zbus::Result<()>;

        #[zbus(signal)]
        fn status_notifier_host_unregistered(&self) -> zbus::Result<()>;
    }

    pub(super) async fn follow(bus: Connection) -> zbus::Result<watch::Receiver<bool>> {
        let names = DBusProxy::new(&bus).await?;
        let watcher =
            StatusNotifierWatcherProxy::builder(&bus).cache_properties(CacheProperties::No).build().await?;
        // Subscribe before reading the value, so that no change in between is missed.
        let mut owners = names.receive_name_owner_changed_with_args(&[(0, NAME)]).await?;
        let mut registered = watcher.receive_status_notifier_host_registered().await?;
        let mut unregistered = watcher.receive_status_notifier_host_unregistered().await?;
        let (sender, receiver) = watch::channel(is_present(&names, &watcher).await);
        tokio::spawn(async move {
            loop {
                let more = tokio::select! {
                    change = owners.next() => change.is_some(),
                    change = registered.next() => change.is_some(),
                    change = unregistered.next() => change.is_some(),
                };
                let present = more && is_present(&names, &watcher).await;
                let changed = sender.send_if_modified(|known| std::mem::replace(known, present) != present);
                if changed {
                    tracing::info!(present, "The tray of the desktop appeared or disappeared");
                }
                if !more {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// Returns true if a host is registered.
    ///
    /// Some watchers do not say whether they have one; such a watcher counts as having one.
    async fn is_present(names: &DBusProxy<'_>, watcher: &StatusNotifierWatcherProxy<'_>) -> bool {
        let Ok(name) = BusName::try_from(NAME) else { return false };
        if !names.name_has_owner(name).await.unwrap_or(false) {
            return false;
        }
        watcher.is_status_notifier_host_registered().await.unwrap_or(true)
    }
}
