//! The sockets that may be outside the tunnel, from the kernel's socket table.
//!
//! One look at the table:
//!
//! 1. The kernel lists the connected sockets with a source address of another interface than the
//!    tunnel (`diag`, `filter`, `message`). Those with a public peer are tracked (`selection`).
//! 2. The program of each new one is found through `/proc` (`owners`, `users`).
//! 3. The kernel is asked by which interface it sends a packet of that socket (`route`).
//!
//! What was found is remembered by the socket's cookie (`memory`), so that another look at the same
//! sockets costs little. Where there are none, only the first step is taken. None of this needs
//! privileges, but other users' programs cannot be named without them.

mod diag;
mod filter;
mod memory;
mod message;
mod owners;
mod route;
mod selection;
mod users;

use super::{
    interfaces::{assemble_interfaces, link_name},
    kernel_socket::KernelSocket,
    netlink,
};
use crate::{
    platform::api::SocketQuery,
    reason::{self, outcome},
};
use diag::{Reading, SOCKET_FAMILIES, SocketDiag};
use memory::{Memory, TrackedSocket};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use owners::{Processes, Wanted};
use selection::SocketSelection;
use sentinel_model::{Reason, SocketTable, TransportProtocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::task::spawn_blocking;

/// The most sockets that are tracked; a program that bypasses the tunnel has a few dozen.
const MAX_TRACKED: usize = 256;

/// Lists the sockets that may be outside the tunnel, time and again.
#[derive(Default)]
pub(super) struct SocketWatcher {
    memory: Mutex<Memory>,
}

impl SocketWatcher {
    /// Looks at the socket table once.
    pub(super) async fn list(&self, query: &SocketQuery) -> Result<SocketTable, Reason> {
        let links = netlink::list_links().await?;
        let interfaces = assemble_interfaces(&links, &netlink::list_addresses().await?);
        let selection = SocketSelection::new(&interfaces, query);
        if selection.is_empty() {
            return Ok(SocketTable { sockets: Vec::new(), is_complete: true });
        }
        // A look that overlaps with another one starts without memory.
        let mut memory = std::mem::take(&mut *self.lock());
        let last = std::mem::take(&mut memory.tracked);
        let looked = spawn_blocking(move || look(&selection, &last)).await;
        let (tracked, is_complete) = looked.map_err(|error| Reason::Failed(error.to_string()))??;
        memory.tracked = tracked;
        let mut kernel = KernelSocket::open(NETLINK_ROUTE).map_err(|error| reason::of_io(&error))?;
        for socket in memory.tracked.values_mut() {
            if socket.route.as_ref().is_none_or(|(epoch, _)| *epoch != query.epoch) {
                let route = outcome(route::find_interface(&mut kernel, &links, socket));
                socket.route = Some((query.epoch, route));
            }
        }
        let end = if memory.has_progress() { netlink::list_links().await? } else { Vec::new() };
        memory.compare_with_tunnel(query, count_bytes(&links), &count_bytes(&end));
        let listed = memory.tracked.values().filter(|socket| !socket.is_vpn_client(&interfaces));
        let sockets = listed.map(TrackedSocket::to_socket).collect();
        *self.lock() = memory;
        Ok(SocketTable { sockets, is_complete })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the sockets to track by cookie, and whether these are all. Blocks.
///
/// What was learned about a socket in the last look is not asked for again.
fn look(
    selection: &SocketSelection,
    last: &BTreeMap<u64, TrackedSocket>,
) -> Result<(BTreeMap<u64, TrackedSocket>, bool), Reason> {
    let (mut tracked, is_complete) = list_sockets(selection, last)?;
    if tracked.is_empty() {
        return Ok((tracked, is_complete));
    }
    let processes = Processes::system();
    let own = processes.own_sockets();
    tracked.retain(|_, socket| !own.contains(&socket.row.inode));
    find_owners(&processes, &mut tracked);
    // The connection of the list cannot be used any more if the list was not read to its end.
    let mut diag = SocketDiag::open().map_err(|error| reason::of_io(&error))?;
    let of_tcp = tracked.values_mut().filter(|each| each.protocol == TransportProtocol::Tcp);
    for socket in of_tcp {
        socket.row.tcp = diag.read_tcp_state(&socket.row)?;
    }
    Ok((tracked, is_complete))
}

fn list_sockets(
    selection: &SocketSelection,
    last: &BTreeMap<u64, TrackedSocket>,
) -> Result<(BTreeMap<u64, TrackedSocket>, bool), Reason> {
    let mut diag = SocketDiag::open().map_err(|error| reason::of_io(&error))?;
    let mut tracked = BTreeMap::new();
    let filter = selection.kernel_filter();
    for protocol in [TransportProtocol::Tcp, TransportProtocol::Udp] {
        for family in SOCKET_FAMILIES {
            let listed = diag.list(protocol, family, &filter, |row| {
                if let Some(interface) = selection.find_interface(protocol, &row) {
                    if tracked.len() == MAX_TRACKED {
                        return Reading::Stop;
                    }
                    let known = last.get(&row.cookie);
                    tracked.insert(row.cookie, TrackedSocket::new(protocol, row, interface, known));
                }
                Reading::Continue
            });
            match (listed, protocol) {
                (Ok(()), _) => {}
                // What TCP shows counts even if the kernel cannot list the others.
                (Err(reason), TransportProtocol::Udp) => {
                    tracing::debug!(%reason, "UDP sockets could not be listed");
                    return Ok((tracked, false));
                }
                (Err(reason), TransportProtocol::Tcp) => return Err(reason),
            }
            if tracked.len() == MAX_TRACKED {
                return Ok((tracked, false));
            }
        }
    }
    Ok((tracked, true))
}

/// Finds the owners of the sockets that are new.
fn find_owners(processes: &Processes, tracked: &mut BTreeMap<u64, TrackedSocket>) {
    let is_new = |socket: &&TrackedSocket| socket.owner.is_none();
    let wanted: BTreeSet<Wanted> = tracked
        .values()
        .filter(is_new)
        .map(|new| Wanted { inode: new.row.inode, uid: new.row.uid })
        .collect();
    if wanted.is_empty() {
        return;
    }
    let known = tracked.values().filter_map(|socket| socket.owner.as_ref()?.measured());
    let likely: BTreeSet<u32> = known.map(|owner| owner.pid).collect();
    let mut owners = processes.find_owners(&wanted.into_iter().collect::<Vec<_>>(), &likely);
    for socket in tracked.values_mut().filter(|socket| socket.owner.is_none()) {
        socket.owner = owners.remove(&socket.row.inode);
    }
}

/// Returns how many bytes each interface has sent and received.
fn count_bytes(links: &[LinkMessage]) -> BTreeMap<String, u64> {
    let count = |link: &LinkMessage| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats.rx_bytes.saturating_add(stats.tx_bytes)),
            _ => None,
        })
    };
    links.iter().filter_map(|link| Some((link_name(link), count(link)?))).collect()
}

/// Decodes a datagram of the kernel.
#[cfg(fuzzing)]
pub(super) fn decode(datagram: &[u8]) {
    message::messages(datagram).for_each(drop);
}
