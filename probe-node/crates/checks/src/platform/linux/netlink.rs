//! Requests to the kernel over rtnetlink (rtnetlink(7)).

use crate::reason;
use futures::{Stream, TryStreamExt};
use netlink_packet_route::{AddressFamily, address::AddressMessage, link::LinkMessage, route::RouteMessage};
use rtnetlink::Handle;
use sentinel_model::Reason;
use std::{
    io,
    pin::pin,
    sync::{Mutex, PoisonError},
};
use tokio_util::task::AbortOnDropHandle;

/// More entries of one kind than a personal machine has; hosts of many containers come closest.
const MAX_ENTRIES: usize = 4096;

/// A netlink connection that is reopened when it fails.
pub(super) struct NetlinkClient {
    connection: Mutex<Connection>,
}

impl NetlinkClient {
    /// Opens the connection. Requires a running Tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { connection: Mutex::new(Connection::open()?) })
    }

    /// Returns the handle for requests, after reopening the connection if it has failed.
    pub(super) fn handle(&self) -> Result<Handle, Reason> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.driver.is_finished() {
            *connection = Connection::open().map_err(|error| reason::of_io(&error))?;
        }
        Ok(connection.handle.clone())
    }
}

/// A netlink socket and the task that drives it, which ends when this is dropped.
struct Connection {
    handle: Handle,
    driver: AbortOnDropHandle<()>,
}

impl Connection {
    fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (connection, handle, unsolicited) = rtnetlink::new_connection()?;
        drop(unsolicited); // this connection joins no multicast group
        Ok(Self { handle, driver: AbortOnDropHandle::new(runtime.spawn(connection)) })
    }
}

/// Lists all links.
pub(super) async fn list_links() -> Result<Vec<LinkMessage>, Reason> {
    list(|handle| handle.link().get().execute()).await
}

/// Lists the addresses of all links.
pub(super) async fn list_addresses() -> Result<Vec<AddressMessage>, Reason> {
    list(|handle| handle.address().get().execute()).await
}

/// Lists the routes of both families in all routing tables.
pub(super) async fn list_routes() -> Result<Vec<RouteMessage>, Reason> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut filter = RouteMessage::default();
        filter.header.address_family = family;
        routes.extend(list(|handle| handle.route().get(filter).execute()).await?);
    }
    Ok(routes)
}

/// Collects all entries of a list, over a connection of its own.
///
/// The kernel produces one list per socket at a time. It refuses another with `EBUSY` until the
/// first has been read to its end.
async fn list<T, S: Stream<Item = Result<T, rtnetlink::Error>>>(
    request: impl FnOnce(&Handle) -> S,
) -> Result<Vec<T>, Reason> {
    let connection = Connection::open().map_err(|error| reason::of_io(&error))?;
    let mut replies = pin!(request(&connection.handle));
    let mut entries = Vec::new();
    while let Some(entry) = replies.try_next().await.map_err(|error| describe_error(&error))? {
        if entries.len() == MAX_ENTRIES {
            return Err(Reason::Failed(format!("the kernel listed more than {MAX_ENTRIES} entries")));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Returns the first reply to a request.
pub(super) async fn first_reply<T>(
    replies: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<T, Reason> {
    let reply = pin!(replies).try_next().await.map_err(|error| describe_error(&error))?;
    reply.ok_or_else(|| Reason::Failed("the kernel did not answer".into()))
}

/// Converts an error, which for a route is the one that `connect` would return.
///
/// - `ENETUNREACH`, `EHOSTUNREACH`: no route.
/// - `EACCES`: a prohibit route.
/// - `EINVAL`: a blackhole route; it cannot mean a malformed request here.
/// - `ENETDOWN`: the interface is down.
fn describe_error(error: &rtnetlink::Error) -> Reason {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            let error = message.to_io();
            match error.kind() {
                io::ErrorKind::InvalidInput => Reason::Unreachable,
                _ => reason::of_io(&error),
            }
        }
        error => Reason::Failed(error.to_string()),
    }
}
