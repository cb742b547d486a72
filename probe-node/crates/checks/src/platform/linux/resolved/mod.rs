//! A client for systemd-resolved over D-Bus (org.freedesktop.resolve1(5)).
//!
//! systemd-resolved knows the servers of each link, and which of them it asks for ordinary names.
//! It binds a query for a link's server to that link, regardless of the routing table. So where
//! programs ask it, by its listener or by its socket, this state decides whether queries leave
//! outside a tunnel.

mod presence;
mod state;
#[cfg(test)]
mod tests;

pub(super) use presence::Presence;
pub(super) use state::ResolvedState;

use super::bus::{self, Bus, Properties};
use crate::platform::name_service::{NameService, NameServiceError};
use async_trait::async_trait;
use futures::future::{join, join_all};
use presence::Socket;
use sentinel_model::Reason;
use state::{Delegate, ResolvedLink};
#[cfg(test)]
use std::path::PathBuf;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use zbus::{
    Connection,
    proxy::{MethodFlags, Proxy},
    zvariant::OwnedObjectPath,
};

/// The longest wait for a reply, which normally takes a few milliseconds.
///
/// A bus that does not reply is treated as absent and must not delay a check.
const BUDGET: Duration = Duration::from_millis(300);
/// More delegates than any real configuration has.
const MAX_DELEGATES: usize = 32;
/// The most records taken from one answer.
const MAX_RECORDS: usize = 64;

const SERVICE: &str = "org.freedesktop.resolve1";
const MANAGER_PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const LINK: &str = "org.freedesktop.resolve1.Link";
const DELEGATE: &str = "org.freedesktop.resolve1.DnsDelegate";
/// The class of internet names (RFC 1035).
const CLASS_IN: u16 = 1;

/// A record as systemd-resolved returns it: the link it came by, class, type, and the wire format.
type RawRecord = (i32, u16, u16, Vec<u8>);

/// A client.
#[derive(Debug)]
pub(super) struct ResolvedClient {
    bus: Arc<Bus>,
    socket: Socket,
}

impl ResolvedClient {
    /// Uses this bus and the system's socket.
    pub(super) fn on(bus: Arc<Bus>) -> Self {
        Self { bus, socket: Socket::system() }
    }

    /// Uses the bus at this address, and the socket in this folder.
    #[cfg(test)]
    pub(super) fn at(bus: String, folder: PathBuf) -> Self {
        Self { bus: Arc::new(Bus::at(bus)), socket: Socket::in_folder(folder) }
    }

    /// Finds out whether programs reach it by its socket.
    pub(super) async fn find_presence(&self) -> Presence {
        match self.socket.find_presence(BUDGET).await {
            // Before version 247, programs ask it over D-Bus, and it has no such socket.
            Presence::Absent if self.socket.may_be_older() => match self.read_state().await {
                Some(_) => Presence::Reachable,
                None => Presence::Absent,
            },
            presence => presence,
        }
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
        self.bus.close();
        None
    }

    async fn query_state(&self) -> zbus::Result<ResolvedState> {
        let bus = &self.bus.connect().await?;
        let mut state =
            ResolvedState::from_manager(&bus::get_properties(bus, SERVICE, MANAGER_PATH, MANAGER).await?);
        let links = join_all(state.links_with_servers().into_iter().map(|index| async move {
            // The link may have been removed in the meantime.
            let properties = get_link_properties(bus, index).await;
            let properties =
                properties.inspect_err(|error| tracing::debug!(index, %error, "could not read a link"));
            Some((index, ResolvedLink::from_properties(&properties.ok()?)))
        }));
        let (links, delegates) = join(links, list_delegates(bus)).await;
        state.links = links.into_iter().flatten().collect();
        state.add_delegates(delegates?);
        state.is_elsewhere = self.socket.is_elsewhere(BUDGET, state.has_listener).await;
        Ok(state)
    }

    async fn resolve_record(&self, name: &str, kind: u16) -> zbus::Result<Vec<RawRecord>> {
        let bus = self.bus.connect().await?;
        let manager = create_manager(&bus).await?;
        let question = (0_i32, name, CLASS_IN, kind, 0_u64);
        let answer: Option<(Vec<RawRecord>, u64)> =
            manager.call_with_flags("ResolveRecord", MethodFlags::NoAutoStart.into(), &question).await?;
        Ok(answer.map(|(records, _)| records).unwrap_or_default())
    }
}

#[async_trait]
impl NameService for ResolvedClient {
    async fn look_up(
        &self,
        name: &str,
        record_type: u16,
        budget: Duration,
    ) -> Result<Vec<Vec<u8>>, NameServiceError> {
        match timeout(budget, self.resolve_record(name, record_type)).await {
            Ok(Ok(records)) => {
                let of_kind = records.into_iter().filter(|(_, _, kind, _)| *kind == record_type);
                Ok(of_kind.map(|(_, _, _, record)| record).take(MAX_RECORDS).collect())
            }
            Ok(Err(zbus::Error::MethodError(error, text, _))) => {
                Err(describe(error.as_str(), text.as_deref().unwrap_or_default()))
            }
            Ok(Err(error)) => {
                self.bus.close();
                let reason = format!("systemd-resolved cannot be asked over D-Bus: {error}");
                Err(NameServiceError::Undetermined(Reason::Failed(reason)))
            }
            Err(_) => Err(NameServiceError::Undetermined(Reason::TimedOut)),
        }
    }
}

/// Returns what an error of systemd-resolved says about the name.
fn describe(error: &str, text: &str) -> NameServiceError {
    let kind = error.rsplit('.').next().unwrap_or_default();
    NameServiceError::Undetermined(match kind {
        "NXDOMAIN" | "NoSuchRR" => return NameServiceError::Nonexistent,
        "QueryTimedOut" | "MaxAttemptsReached" => Reason::TimedOut,
        "NetworkDown" | "NoNameServers" => Reason::Unreachable,
        _ => Reason::Refused(format!("systemd-resolved answered {kind}: {text}")),
    })
}

async fn get_link_properties(bus: &Connection, index: i32) -> zbus::Result<Properties> {
    let manager = create_manager(bus).await?;
    let path: Option<OwnedObjectPath> =
        manager.call_with_flags("GetLink", MethodFlags::NoAutoStart.into(), &index).await?;
    match path {
        Some(path) => bus::get_properties(bus, SERVICE, path.as_str(), LINK).await,
        None => Ok(Properties::new()),
    }
}

/// Reads the delegates; `None` before version 258, which introduced them.
async fn list_delegates(bus: &Connection) -> zbus::Result<Option<Vec<Delegate>>> {
    let manager = create_manager(bus).await?;
    let listed: zbus::Result<Option<Vec<(String, OwnedObjectPath)>>> =
        manager.call_with_flags("ListDelegates", MethodFlags::NoAutoStart.into(), &()).await;
    let listed = match listed {
        Ok(listed) => listed.unwrap_or_default(),
        Err(zbus::Error::MethodError(..)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let delegates = join_all(listed.into_iter().take(MAX_DELEGATES).map(|(id, path)| async move {
        let properties = bus::get_properties(bus, SERVICE, path.as_str(), DELEGATE).await;
        let properties =
            properties.inspect_err(|error| tracing::debug!(id, %error, "could not read a delegate"));
        Some(Delegate::from_properties(id, &properties.ok()?))
    }));
    Ok(Some(delegates.await.into_iter().flatten().collect()))
}

async fn create_manager(bus: &Connection) -> zbus::Result<Proxy<'static>> {
    bus::create_proxy(bus, SERVICE, MANAGER_PATH, MANAGER).await
}
