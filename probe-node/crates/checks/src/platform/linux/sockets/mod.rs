//! The sockets that may be outside the tunnel, from the kernel's socket table.
//!
//! One look at the table:
//!
//! 1. The kernel lists the connected sockets with a source address of another interface than the
//!    tunnel (`diag`, `filter`, `message`). Those with a public peer are candidates (`candidates`).
//! 2. The program of each new candidate is found through `/proc` (`owners`, `users`).
//! 3. The kernel is asked by which interface it sends a packet of that socket (`route`).
//!
//! What was found is remembered by the socket's cookie (`memory`), so that a look with the same
//! candidates as before costs little. Without candidates, only the first step is taken. None of
//! this needs privileges, but other users' programs cannot be named without them.

mod candidates;
mod diag;
mod filter;
mod memory;
mod message;
mod owners;
mod route;
mod users;

use super::{
    interfaces::{assemble_interfaces, link_name},
    netlink::{self, NetlinkClient},
};
use crate::{
    platform::api::SocketQuery,
    reason::{self, outcome},
};
use candidates::CandidateFilter;
use diag::{Reading, SOCKET_FAMILIES, SocketDiag};
use memory::{Candidate, Memory};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use owners::{Processes, Wanted};
use sentinel_model::{Reason, SocketTable, TransportProtocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::task::spawn_blocking;

/// The most candidates of one look; a program that bypasses the tunnel has a few dozen.
const MAX_CANDIDATES: usize = 256;

/// Lists the sockets that may be outside the tunnel, time and again.
#[derive(Default)]
pub(super) struct SocketWatcher {
    memory: Mutex<Memory>,
}

impl SocketWatcher {
    /// Looks at the socket table once.
    pub(super) async fn list(
        &self,
        netlink: &NetlinkClient,
        query: &SocketQuery,
    ) -> Result<SocketTable, Reason> {
        let links = netlink::list_links().await?;
        let interfaces = assemble_interfaces(&links, &netlink::list_addresses().await?);
        let filter = CandidateFilter::new(&interfaces, query);
        if filter.sources().is_empty() {
            return Ok(SocketTable { sockets: Vec::new(), is_complete: true });
        }
        // A look that overlaps with another one starts without memory.
        let mut memory = std::mem::take(&mut *self.lock());
        let last = std::mem::take(&mut memory.candidates);
        let looked = spawn_blocking(move || look(&filter, &last)).await;
        let (candidates, is_complete) = looked.map_err(|error| Reason::Failed(error.to_string()))??;
        memory.candidates = candidates;
        for candidate in memory.candidates.values_mut() {
            if candidate.route.as_ref().is_none_or(|(epoch, _)| *epoch != query.epoch) {
                let route = outcome(route::find_interface(netlink, &links, candidate).await);
                candidate.route = Some((query.epoch, route));
            }
        }
        let end = if memory.has_progress() { netlink::list_links().await? } else { Vec::new() };
        memory.compare_with_tunnel(query, count_bytes(&links), &count_bytes(&end));
        let listed = memory.candidates.values().filter(|candidate| !candidate.is_vpn_client(&interfaces));
        let sockets = listed.map(Candidate::to_socket).collect();
        *self.lock() = memory;
        Ok(SocketTable { sockets, is_complete })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the candidates by cookie, and whether these are all. Blocks.
///
/// What was learned about a socket in the last look is not asked for again.
fn look(
    filter: &CandidateFilter,
    last: &BTreeMap<u64, Candidate>,
) -> Result<(BTreeMap<u64, Candidate>, bool), Reason> {
    let (mut candidates, is_complete) = list_candidates(filter, last)?;
    if candidates.is_empty() {
        return Ok((candidates, is_complete));
    }
    let processes = Processes::system();
    let own = processes.own_sockets();
    candidates.retain(|_, candidate| !own.contains(&candidate.row.inode));
    find_owners(&processes, &mut candidates);
    // The connection of the list cannot be used any more if the list was not read to its end.
    let mut diag = SocketDiag::open().map_err(|error| reason::of_io(&error))?;
    let of_tcp = candidates.values_mut().filter(|each| each.protocol == TransportProtocol::Tcp);
    for candidate in of_tcp {
        candidate.row.tcp = diag.read_tcp_state(&candidate.row)?;
    }
    Ok((candidates, is_complete))
}

fn list_candidates(
    filter: &CandidateFilter,
    last: &BTreeMap<u64, Candidate>,
) -> Result<(BTreeMap<u64, Candidate>, bool), Reason> {
    let mut diag = SocketDiag::open().map_err(|error| reason::of_io(&error))?;
    let mut candidates = BTreeMap::new();
    let sources = filter.sources();
    for protocol in [TransportProtocol::Tcp, TransportProtocol::Udp] {
        for family in SOCKET_FAMILIES {
            let listed = diag.list(protocol, family, &sources, |row| {
                if let Some(interface) = filter.find_interface(protocol, &row) {
                    if candidates.len() == MAX_CANDIDATES {
                        return Reading::Stop;
                    }
                    let known = last.get(&row.cookie);
                    candidates.insert(row.cookie, Candidate::new(protocol, row, interface, known));
                }
                Reading::Continue
            });
            match (listed, protocol) {
                (Ok(()), _) => {}
                // What TCP shows counts even if the kernel cannot list the others.
                (Err(reason), TransportProtocol::Udp) => {
                    tracing::debug!(%reason, "UDP sockets could not be listed");
                    return Ok((candidates, false));
                }
                (Err(reason), TransportProtocol::Tcp) => return Err(reason),
            }
            if candidates.len() == MAX_CANDIDATES {
                return Ok((candidates, false));
            }
        }
    }
    Ok((candidates, true))
}

/// Finds the owners of the sockets that are new.
fn find_owners(processes: &Processes, candidates: &mut BTreeMap<u64, Candidate>) {
    let is_new = |candidate: &&Candidate| candidate.owner.is_none();
    let wanted: BTreeSet<Wanted> = candidates
        .values()
        .filter(is_new)
        .map(|new| Wanted { inode: new.row.inode, uid: new.row.uid })
        .collect();
    if wanted.is_empty() {
        return;
    }
    let known = candidates.values().filter_map(|candidate| candidate.owner.as_ref()?.measured());
    let likely: BTreeSet<u32> = known.map(|owner| owner.pid).collect();
    let mut owners = processes.find_owners(&wanted.into_iter().collect::<Vec<_>>(), &likely);
    for candidate in candidates.values_mut().filter(|candidate| candidate.owner.is_none()) {
        candidate.owner = owners.remove(&candidate.row.inode);
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
