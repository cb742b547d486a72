//! A D-Bus client for systemd-resolved (org.freedesktop.resolve1(5)).
//!
//! systemd-resolved knows the servers of each link, and which of them it asks for ordinary names.
//! It binds a query for a link's server to that link, regardless of the routing table. So on a
//! desktop whose `resolv.conf` names only a listener on this machine, this state decides whether
//! queries leave outside a tunnel.

mod state;
#[cfg(test)]
mod tests;

pub(super) use state::ResolvedState;

use futures::future::join_all;
use state::{Properties, ResolvedLink};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use zbus::{
    Connection, connection,
    names::InterfaceName,
    proxy::{self, CacheProperties, MethodFlags, Proxy},
    zvariant::OwnedObjectPath,
};

/// The longest wait for a reply, which normally takes a few milliseconds.
///
/// A bus that does not reply is treated as absent and must not delay a check.
const BUDGET: Duration = Duration::from_millis(300);

const SERVICE: &str = "org.freedesktop.resolve1";
const MANAGER_PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const LINK: &str = "org.freedesktop.resolve1.Link";

/// A client with one connection to the bus, which is reopened after it fails.
#[derive(Debug)]
pub(super) struct ResolvedClient {
    /// The address of the bus; the system bus if absent.
    bus: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl ResolvedClient {
    /// Uses the system bus.
    pub(super) fn system() -> Self {
        Self { bus: None, connection: Mutex::new(None) }
    }

    /// Uses the bus at this address.
    #[cfg(test)]
    fn at(bus: String) -> Self {
        Self { bus: Some(bus), connection: Mutex::new(None) }
    }

    /// Reads the current state.
    ///
    /// `None` if there is no bus, no such service on it, or no reply in time. The service is never
    /// started for this.
    pub(super) async fn read_state(&self) -> Option<ResolvedState> {
        match timeout(BUDGET, self.query_state()).await {
            Ok(Ok(state)) => return Some(state),
            // The bus replied, so the connection is kept.
            Ok(Err(error @ zbus::Error::MethodError(..))) => {
                tracing::debug!(%error, "systemd-resolved did not report its state");
                return None;
            }
            Ok(Err(error)) => tracing::debug!(%error, "could not reach systemd-resolved over D-Bus"),
            Err(_) => tracing::debug!("systemd-resolved did not reply in time"),
        }
        *self.lock_connection() = None;
        None
    }

    async fn query_state(&self) -> zbus::Result<ResolvedState> {
        let bus = &self.connect().await?;
        let mut state = ResolvedState::from_manager(&get_properties(bus, MANAGER_PATH, MANAGER).await?);
        let links = join_all(state.links_with_servers().into_iter().map(|index| async move {
            // The link may have been removed in the meantime.
            let properties = get_link_properties(bus, index).await;
            let properties =
                properties.inspect_err(|error| tracing::debug!(index, %error, "could not read a link"));
            Some((index, ResolvedLink::from_properties(&properties.ok()?)))
        }));
        state.links = links.await.into_iter().flatten().collect();
        Ok(state)
    }

    async fn connect(&self) -> zbus::Result<Connection> {
        if let Some(connection) = self.lock_connection().clone() {
            return Ok(connection);
        }
        let builder = match &self.bus {
            Some(address) => connection::Builder::address(address.as_str())?,
            None => connection::Builder::system()?,
        };
        let connection = builder.build().await?;
        *self.lock_connection() = Some(connection.clone());
        Ok(connection)
    }

    fn lock_connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn get_link_properties(bus: &Connection, index: i32) -> zbus::Result<Properties> {
    let manager = create_proxy(bus, MANAGER_PATH, MANAGER).await?;
    let path: Option<OwnedObjectPath> =
        manager.call_with_flags("GetLink", MethodFlags::NoAutoStart.into(), &index).await?;
    match path {
        Some(path) => get_properties(bus, path.as_str(), LINK).await,
        None => Ok(Properties::new()),
    }
}

async fn get_properties(bus: &Connection, path: &str, interface: &str) -> zbus::Result<Properties> {
    let proxy = create_proxy(bus, path, "org.freedesktop.DBus.Properties").await?;
    let interface = InterfaceName::try_from(interface)?;
    let properties = proxy.call_with_flags("GetAll", MethodFlags::NoAutoStart.into(), &interface).await?;
    Ok(properties.unwrap_or_default())
}

async fn create_proxy<'a>(bus: &Connection, path: &'a str, interface: &'a str) -> zbus::Result<Proxy<'a>> {
    proxy::Builder::new(bus)
        .destination(SERVICE)?
        .path(path)?
        .interface(interface)?
        .cache_properties(CacheProperties::No)
        .build()
        .await
}
