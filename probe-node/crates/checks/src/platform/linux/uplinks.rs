//! The interfaces by which the machine can reach the internet, whether or not packets take them.

use super::{
    interfaces::link_name,
    kernel_socket::KernelSocket,
    netlink,
    route_entry::RouteEntry,
    routes::{ROUTE_HEADER, RTN_UNICAST},
};
use crate::{platform::on_link, reason};
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{Reason, is_link_local};
use std::{collections::BTreeSet, ops::ControlFlow};

const RTM_GETROUTE: u16 = 26;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// How many routes are read; a router with a full table is not a subject.
const MAX_ROUTES: usize = 131_072;

/// Returns the names of the interfaces that a default route, or a route to a public network through
/// a gateway, leads out by, in any routing table.
pub(super) async fn list() -> Result<Vec<String>, Reason> {
    let mut indices = BTreeSet::new();
    for family in [AF_INET, AF_INET6] {
        collect(family, &mut indices).await?;
    }
    let links = netlink::list_links().await?;
    let uplinks = links.iter().filter(|link| indices.contains(&link.header.index));
    Ok(uplinks.map(link_name).collect())
}

async fn collect(family: u8, indices: &mut BTreeSet<u32>) -> Result<(), Reason> {
    let mut socket = KernelSocket::open(NETLINK_ROUTE).map_err(|error| reason::of_io(&error))?;
    let mut header = [0; ROUTE_HEADER];
    header[0] = family;
    let mut left = MAX_ROUTES;
    let visit = |message: &[u8]| {
        if let Some(entry) = RouteEntry::parse(message) {
            indices.extend(interfaces_leading_out(&entry));
        }
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    socket.list(RTM_GETROUTE, &header, visit).await.map_err(|error| reason::of_io(&error))
}

/// Returns the indices of the interfaces by which a route leads to the internet, of which one with
/// several next hops has several.
fn interfaces_leading_out(entry: &RouteEntry) -> impl Iterator<Item = u32> {
    let network = entry.destination;
    let is_default = network.prefix_len() <= 1;
    let is_public = !on_link::is_private_network(network)
        && !is_link_local(network.addr())
        && !network.addr().is_multicast();
    let leads_out = move |has_gateway| is_default || (is_public && has_gateway);
    let hops = entry.hops.iter().filter(|_| entry.kind == RTN_UNICAST);
    hops.filter(move |hop| leads_out(hop.has_gateway)).filter_map(|hop| hop.interface)
}

#[cfg(test)]
mod tests {
    use super::{super::route_entry::Hop, *};
    use sentinel_model::RouteOrigin;

    fn route(network: &str, hops: &[(u32, bool)]) -> RouteEntry {
        let hop =
            |(index, has_gateway): &(u32, bool)| Hop { interface: Some(*index), has_gateway: *has_gateway };
        RouteEntry {
            destination: network.parse().unwrap(),
            table: 254,
            kind: RTN_UNICAST,
            origin: RouteOrigin::Program,
            metric: 0,
            hops: hops.iter().map(hop).collect(),
            is_by_object: false,
        }
    }

    fn uplinks(entry: &RouteEntry) -> Vec<u32> {
        interfaces_leading_out(entry).collect()
    }

    #[test]
    fn a_default_route_or_a_gateway_to_a_public_network_leads_out() {
        for leading in [
            route("0.0.0.0/0", &[(2, true)]),
            route("::/0", &[(2, false)]),
            route("128.0.0.0/1", &[(2, false)]),
            route("9.9.9.9/32", &[(2, true)]),
        ] {
            assert_eq!(uplinks(&leading), [2], "{leading:?}");
        }
        for other in [
            route("9.9.9.0/24", &[(2, false)]),
            route("192.168.5.0/24", &[(2, true)]),
            route("fe80::/64", &[(2, false)]),
            RouteEntry { kind: 6, ..route("0.0.0.0/0", &[(2, true)]) },
        ] {
            assert!(uplinks(&other).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn every_next_hop_of_a_multipath_route_is_an_uplink() {
        assert_eq!(uplinks(&route("0.0.0.0/0", &[(3, true), (4, true)])), [3, 4]);
    }
}
