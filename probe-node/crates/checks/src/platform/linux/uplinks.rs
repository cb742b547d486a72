//! The interfaces by which the machine can reach the internet, whether or not packets take them.

use super::{interfaces::link_name, netlink, routes};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use sentinel_model::{Reason, is_link_local};
use std::{collections::BTreeSet, net::IpAddr};

/// Returns the names of the interfaces that a default route, or a route to a public network through
/// a gateway, leads out by, in any routing table.
pub(super) async fn list() -> Result<Vec<String>, Reason> {
    let indices: BTreeSet<u32> = netlink::list_routes()
        .await?
        .iter()
        .filter(|route| leads_out(route))
        .flat_map(interfaces_of)
        .collect();
    let links = netlink::list_links().await?;
    let uplinks = links.iter().filter(|link| indices.contains(&link.header.index));
    Ok(uplinks.map(link_name).collect())
}

fn leads_out(route: &RouteMessage) -> bool {
    if route.header.kind != RouteType::Unicast {
        return false;
    }
    let destination = route.attributes.iter().find_map(routes::destination);
    let has_gateway = || {
        let mut attributes = route.attributes.iter();
        attributes.any(|it| routes::gateway(it).is_some() || matches!(it, RouteAttribute::MultiPath(_)))
    };
    match destination {
        None => true,
        Some(_) if route.header.destination_prefix_length <= 1 => true,
        Some(destination) => is_public(destination) && has_gateway(),
    }
}

/// Returns the indices of the interfaces a route leads out by, of which one with several next hops
/// has several.
fn interfaces_of(route: &RouteMessage) -> impl Iterator<Item = u32> {
    route.attributes.iter().flat_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => vec![*index],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    })
}

/// Returns false for addresses that are never reached through the internet.
fn is_public(address: IpAddr) -> bool {
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    !is_private && !is_link_local(address) && !address.is_multicast() && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::{RouteAddress, RouteHeader, RouteNextHop};

    fn route(network: Option<(&str, u8)>, hop: Option<[u8; 4]>, index: u32) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.kind = RouteType::Unicast;
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        if let Some((destination, length)) = network {
            route.header.destination_prefix_length = length;
            let destination: IpAddr = destination.parse().unwrap();
            route.attributes.push(RouteAttribute::Destination(destination.into()));
        }
        route.attributes.extend(hop.map(|hop| RouteAttribute::Gateway(RouteAddress::Inet(hop.into()))));
        route.attributes.push(RouteAttribute::Oif(index));
        route
    }

    #[test]
    fn a_default_route_or_a_gateway_to_a_public_network_leads_out() {
        const ROUTER: Option<[u8; 4]> = Some([192, 0, 2, 1]);
        for leading in [
            route(None, ROUTER, 2),
            route(None, None, 2),
            route(Some(("128.0.0.0", 1)), None, 2),
            route(Some(("203.0.113.7", 32)), ROUTER, 2),
        ] {
            assert!(leads_out(&leading), "{leading:?}");
        }
        for other in [
            route(Some(("203.0.113.0", 24)), None, 2),
            route(Some(("192.168.5.0", 24)), ROUTER, 2),
            route(Some(("fe80::", 64)), None, 2),
        ] {
            assert!(!leads_out(&other), "{other:?}");
        }
        let mut dead = route(None, None, 2);
        dead.header.kind = RouteType::BlackHole;
        assert!(!leads_out(&dead));
    }

    #[test]
    fn every_next_hop_of_a_multipath_route_is_an_uplink() {
        let mut route = route(None, None, 2);
        let hop = |index| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop
        };
        route.attributes = vec![RouteAttribute::MultiPath(vec![hop(3), hop(4)])];
        assert_eq!(interfaces_of(&route).collect::<Vec<_>>(), [3, 4]);
    }
}
