//! What may be the far ends of tunnels, and what says so.
//!
//! From the best evidence to the worst:
//!
//! 1. the peers of WireGuard interfaces, the remote addresses of the kernel's IP tunnels, and the
//!    gateways of IPsec policies and associations;
//! 2. what the processes that hold TUN devices open are connected to;
//! 3. the only host route outside the tunnels, while such a process has an unconnected UDP socket;
//! 4. any other host route that the network did not hand out.
//!
//! Without privileges only IP tunnels and host routes are readable, and the processes of the same
//! user.

mod sockets;
mod tun_owners;
mod wireguard;

#[cfg(fuzzing)]
pub(super) use {
    sockets::parse_socket,
    tun_owners::parse_device_name,
    wireguard::{parse_configuration, parse_device},
};

use super::{
    attributes::read_address,
    interfaces::{classify_link, info_kind, is_up, link_name},
    ipsec,
    kernel_socket::KernelSocket,
    netlink,
    route_entry::RouteEntry,
    routes::{ROUTE_HEADER, RTN_UNICAST},
};
use crate::{platform::api::FarEnd, reason};
use netlink_packet_route::link::{
    InfoData, InfoIpTunnel, InfoKind, InfoVti, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{Family, FarEndEvidence, InterfaceKind, Reason, RouteOrigin, is_link_local};
use sockets::OwnedSockets;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tun_owners::TunOwners;

const RTM_GETROUTE: u16 = 26;
const TABLE_LOCAL: u32 = 255;
/// How many routes are read to find the host routes.
const MAX_ROUTES: usize = 131_072;
/// More far ends than a machine has at once; a mesh has some.
const MAX_FAR_ENDS: usize = 32;
/// The most host routes considered.
const MAX_HOST_ROUTES: usize = 64;
/// A process connected to more is not a VPN client of one tunnel, but a proxy for example.
const MAX_CONNECTED: usize = 4;
/// How long processes and their sockets are searched.
const SEARCH: Duration = Duration::from_millis(50);

/// Finds far ends, and remembers which processes hold TUN devices open.
#[derive(Default)]
pub(super) struct FarEndFinder {
    owners: TunOwners,
}

impl FarEndFinder {
    /// Returns the far ends, best evidence first.
    pub async fn find(&self) -> Result<Vec<FarEnd>, Reason> {
        let links = netlink::list_links().await?;
        let own: BTreeSet<IpAddr> = own_addresses().await?;
        let mut found = BTreeMap::new();
        let mut add = |address: IpAddr, evidence| {
            let address = address.to_canonical();
            let is_remote = !address.is_loopback() && !address.is_unspecified() && !own.contains(&address);
            if is_remote && !is_link_local(address) && !address.is_multicast() {
                found.entry(address).or_insert(evidence);
            }
        };
        let up: Vec<&LinkMessage> = links.iter().filter(|link| is_up(link)).collect();
        let wireguard = wireguard::find_peers(&up).await;
        let of_tunnels = up.iter().filter_map(|link| remote_address(link));
        let of_ipsec = ipsec::list_far_ends().await.unwrap_or_default();
        for address in wireguard.endpoints.iter().copied().chain(of_tunnels).chain(of_ipsec) {
            add(address, FarEndEvidence::Peer);
        }
        let devices: BTreeSet<String> = up
            .iter()
            .filter(|link| info_kind(link) == Some(&InfoKind::Tun))
            .map(|link| link_name(link))
            .filter(|name| !wireguard.devices.contains(name))
            .collect();
        let until = Instant::now() + SEARCH;
        let sockets = match self.owners.find(&devices, until).await {
            inodes if inodes.is_empty() => OwnedSockets::default(),
            inodes => OwnedSockets::find(&inodes, until),
        };
        let host_routes = list_host_routes(&links).await?;
        let is_certain = sockets.connected.len() <= MAX_CONNECTED;
        for address in sockets.connected.iter().filter(|it| is_certain || host_routes.contains(it)) {
            add(*address, FarEndEvidence::Socket);
        }
        add_host_routes(&mut found, &host_routes, &sockets);
        let mut far_ends: Vec<FarEnd> =
            found.into_iter().map(|(address, evidence)| FarEnd { address, evidence }).collect();
        far_ends.sort_by_key(|far_end| std::cmp::Reverse(far_end.evidence));
        far_ends.truncate(MAX_FAR_ENDS);
        Ok(far_ends)
    }
}

/// Adds the host routes that nothing better speaks for.
///
/// The only one of a family belongs to a process whose socket names no peer, if there is one.
fn add_host_routes(
    found: &mut BTreeMap<IpAddr, FarEndEvidence>,
    host_routes: &BTreeSet<IpAddr>,
    sockets: &OwnedSockets,
) {
    for family in Family::ALL {
        let unclaimed: Vec<IpAddr> = host_routes
            .iter()
            .copied()
            .filter(|address| Family::of(*address) == family && !found.contains_key(address))
            .collect();
        let is_only = unclaimed.len() == 1 && sockets.has_unconnected && sockets.connected.is_empty();
        let evidence = if is_only { FarEndEvidence::UnconnectedSocket } else { FarEndEvidence::HostRoute };
        found.extend(unclaimed.into_iter().map(|address| (address, evidence)));
    }
}

async fn own_addresses() -> Result<BTreeSet<IpAddr>, Reason> {
    let addresses = netlink::list_addresses().await?;
    Ok(addresses.iter().filter_map(super::interfaces::own_network).map(|network| network.addr()).collect())
}

/// Returns the remote address of one of the kernel's own IP tunnels.
fn remote_address(link: &LinkMessage) -> Option<IpAddr> {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    })?;
    let of_tunnel = |info: &InfoIpTunnel| match info {
        InfoIpTunnel::Remote(address) => Some(*address),
        _ => None,
    };
    match data {
        InfoData::IpTunnel(infos) => infos.iter().find_map(of_tunnel),
        InfoData::Vti(infos) => infos.iter().find_map(|info| match info {
            InfoVti::Remote(address) => Some(*address),
            _ => None,
        }),
        InfoData::Other(value) => other_remote_address(info_kind(link)?, value),
        _ => None,
    }
}

/// Returns the remote address of a GRE tunnel, whose data the netlink library does not parse.
fn other_remote_address(kind: &InfoKind, data: &[u8]) -> Option<IpAddr> {
    const IFLA_GRE_REMOTE: u16 = 7;
    let is_gre = [InfoKind::GreTun, InfoKind::GreTun6, InfoKind::GreTap, InfoKind::GreTap6].contains(kind);
    let mut all = super::attributes::attributes(data).filter(|_| is_gre);
    all.find(|(kind, _)| *kind == IFLA_GRE_REMOTE).and_then(|(_, value)| read_address(value))
}

/// Lists the destinations of host routes outside the tunnels, except those the network handed out.
async fn list_host_routes(links: &[LinkMessage]) -> Result<BTreeSet<IpAddr>, Reason> {
    let outside: BTreeSet<u32> = links
        .iter()
        .filter(|link| matches!(classify_link(link, links), InterfaceKind::Physical | InterfaceKind::Virtual))
        .map(|link| link.header.index)
        .collect();
    let mut found = BTreeSet::new();
    for (family, bits) in [(2_u8, 32), (10, 128)] {
        let mut socket = KernelSocket::open(NETLINK_ROUTE).map_err(|error| reason::of_io(&error))?;
        let mut header = [0; ROUTE_HEADER];
        header[0] = family;
        let mut left = MAX_ROUTES;
        let visit = |message: &[u8]| {
            // Most routes are to networks, which need no parsing.
            let entry = (message.get(1) == Some(&bits)).then(|| RouteEntry::parse(message)).flatten();
            if let Some(entry) = entry.filter(|entry| is_host_route_outside(entry, &outside)) {
                found.insert(entry.destination.addr());
            }
            left -= 1;
            let is_full = left == 0 || found.len() >= MAX_HOST_ROUTES;
            if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        socket.list(RTM_GETROUTE, &header, visit).await.map_err(|error| reason::of_io(&error))?;
    }
    Ok(found)
}

fn is_host_route_outside(entry: &RouteEntry, outside: &BTreeSet<u32>) -> bool {
    let address = entry.destination.addr();
    entry.kind == RTN_UNICAST
        && entry.table != TABLE_LOCAL
        && entry.origin == RouteOrigin::Program
        && !is_link_local(address)
        && !address.is_multicast()
        && entry.hops.iter().any(|hop| hop.interface.is_some_and(|index| outside.contains(&index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(host_routes: &[&str], sockets: &OwnedSockets) -> Vec<FarEndEvidence> {
        let routes: BTreeSet<IpAddr> = host_routes.iter().map(|text| text.parse().unwrap()).collect();
        let mut found = BTreeMap::from([("192.0.2.9".parse().unwrap(), FarEndEvidence::Peer)]);
        add_host_routes(&mut found, &routes, sockets);
        found.remove(&"192.0.2.9".parse::<IpAddr>().unwrap());
        found.into_values().collect()
    }

    #[test]
    fn only_a_single_unclaimed_host_route_belongs_to_an_unconnected_socket() {
        use FarEndEvidence::{HostRoute, UnconnectedSocket};
        let unconnected = OwnedSockets { has_unconnected: true, ..OwnedSockets::default() };
        assert_eq!(evidence(&["203.0.113.7", "192.0.2.9"], &unconnected), [UnconnectedSocket]);
        assert_eq!(evidence(&["203.0.113.7", "203.0.113.8"], &unconnected), [HostRoute, HostRoute]);
        assert_eq!(evidence(&["203.0.113.7"], &OwnedSockets::default()), [HostRoute]);
        let connected = OwnedSockets { connected: ["192.0.2.9".parse().unwrap()].into(), ..unconnected };
        assert_eq!(evidence(&["203.0.113.7"], &connected), [HostRoute], "its far end is known");
    }
}
