//! Requests to the kernel over rtnetlink (rtnetlink(7)).

use crate::reason;
use futures::{Stream, TryStreamExt};
use netlink_packet_route::{address::AddressMessage, link::LinkMessage};
use rtnetlink::Handle;
use sentinel_model::Reason;
use std::{io, pin::pin};
use tokio_util::task::AbortOnDropHandle;

/// More entries of one kind than a personal machine has; hosts of many containers come closest.
const MAX_ENTRIES: usize = 4096;

/// A netlink socket and the task that drives it, which ends when this is dropped.
struct Connection {
    handle: Handle,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (connection, handle, unsolicited) = rtnetlink::new_connection()?;
        drop(unsolicited); // this connection joins no multicast group
        Ok(Self { handle, _driver: AbortOnDropHandle::new(runtime.spawn(connection)) })
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

/// Converts an error of the netlink library.
fn describe_error(error: &rtnetlink::Error) -> Reason {
    match error {
        rtnetlink::Error::NetlinkError(message) => reason::of_io(&message.to_io()),
        error => Reason::Failed(error.to_string()),
    }
}
