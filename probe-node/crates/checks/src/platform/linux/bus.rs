//! The system's D-Bus, over one connection that is reopened after it fails.
//!
//! Services are never started by a question.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use zbus::{
    Connection, connection,
    names::InterfaceName,
    proxy::{self, CacheProperties, MethodFlags, Proxy},
    zvariant::OwnedValue,
};

/// The properties of a D-Bus object by name.
pub(super) type Properties = HashMap<String, OwnedValue>;

/// A bus.
#[derive(Debug)]
pub(super) struct Bus {
    /// The address; the system bus if absent.
    address: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl Bus {
    /// Returns the system bus.
    pub(super) fn system() -> Self {
        Self { address: None, connection: Mutex::new(None) }
    }

    /// Returns the bus at this address.
    #[cfg(test)]
    pub(super) fn at(address: String) -> Self {
        Self { address: Some(address), connection: Mutex::new(None) }
    }

    /// Returns the connection, which is opened if need be.
    pub(super) async fn connect(&self) -> zbus::Result<Connection> {
        if let Some(connection) = self.lock().clone() {
            return Ok(connection);
        }
        let builder = match &self.address {
            Some(address) => connection::Builder::address(address.as_str())?,
            None => connection::Builder::system()?,
        };
        let connection = builder.build().await?;
        *self.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// Closes the connection after a failure; the next question opens another.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Returns true while a connection is open.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads all properties of an object.
pub(super) async fn get_properties(
    bus: &Connection,
    service: &str,
    path: &str,
    interface: &str,
) -> zbus::Result<Properties> {
    let proxy = create_proxy(bus, service, path, "org.freedesktop.DBus.Properties").await?;
    let interface = InterfaceName::try_from(interface)?;
    let properties = proxy.call_with_flags("GetAll", MethodFlags::NoAutoStart.into(), &interface).await?;
    Ok(properties.unwrap_or_default())
}

/// Creates a proxy of an object that keeps nothing in memory.
pub(super) async fn create_proxy<'a>(
    bus: &Connection,
    service: &'a str,
    path: &'a str,
    interface: &'a str,
) -> zbus::Result<Proxy<'a>> {
    proxy::Builder::new(bus)
        .destination(service)?
        .path(path)?
        .interface(interface)?
        .cache_properties(CacheProperties::No)
        .build()
        .await
}
