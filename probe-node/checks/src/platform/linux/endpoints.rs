//! The far ends of tunnels, read off the routes: a VPN client that takes over the default route leaves the far end a
//! host route of its own past the tunnel, or its own packets would be sent into it.

use super::{address, gateway};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use sentinel_model::{Interface, InterfaceKind};
use std::{collections::BTreeSet, net::IpAddr};

/// More tunnels than a machine has at once.
const MAX_ENDPOINTS: usize = 8;

/// The destinations of host routes that lead through a gateway on a physical interface, while a tunnel is up.
///
/// Routes that came from the network itself (DHCP option 121, router advertisements, redirects) do not count: whoever
/// runs the network could name any far end by them. `physical` holds the indices of physical interfaces.
pub(super) fn found(routes: &[RouteMessage], physical: &[u32], interfaces: &[Interface]) -> Vec<IpAddr> {
    let tunnel = interfaces.iter().any(|each| each.up && each.kind == InterfaceKind::Tunnel);
    if !tunnel {
        return Vec::new();
    }
    let endpoints: BTreeSet<IpAddr> = routes.iter().filter_map(|route| endpoint(route, physical)).collect();
    endpoints.into_iter().take(MAX_ENDPOINTS).collect()
}

fn endpoint(route: &RouteMessage, physical: &[u32]) -> Option<IpAddr> {
    let of_network = [RouteProtocol::Dhcp, RouteProtocol::Ra, RouteProtocol::IcmpRedirect];
    if route.header.kind != RouteType::Unicast
        || route.header.table != RouteHeader::RT_TABLE_MAIN
        || of_network.contains(&route.header.protocol)
    {
        return None;
    }
    let leaves_by_wire = route
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, RouteAttribute::Oif(index) if physical.contains(index)));
    let through_gateway = route.attributes.iter().any(|attribute| gateway(attribute).is_some());
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(destination) => address(destination),
        _ => None,
    })?;
    let host = match destination {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let is_host = route.header.destination_prefix_length == host;
    (leaves_by_wire && through_gateway && is_host).then_some(destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteAddress;

    const WIRE: u32 = 2;

    fn route(destination: &str, length: u8, index: u32, protocol: RouteProtocol) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.kind = RouteType::Unicast;
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = protocol;
        route.header.destination_prefix_length = length;
        let destination: IpAddr = destination.parse().unwrap();
        route.attributes = vec![
            RouteAttribute::Destination(destination.into()),
            RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, 1].into())),
            RouteAttribute::Oif(index),
        ];
        route
    }

    fn interface(kind: InterfaceKind) -> Interface {
        Interface { name: "x0".into(), kind, up: true, addresses: Vec::new() }
    }

    #[test]
    fn a_host_route_past_the_tunnel_names_its_far_end() {
        let routes = [
            route("203.0.113.7", 32, WIRE, RouteProtocol::Boot),
            route("2001:db8::7", 128, WIRE, RouteProtocol::Static),
            route("203.0.113.0", 24, WIRE, RouteProtocol::Boot),
            route("203.0.113.8", 32, 7, RouteProtocol::Boot),
            route("203.0.113.9", 32, WIRE, RouteProtocol::Dhcp),
        ];
        let tunnel = [interface(InterfaceKind::Physical), interface(InterfaceKind::Tunnel)];
        let far: Vec<IpAddr> = ["203.0.113.7", "2001:db8::7"].map(|far| far.parse().unwrap()).to_vec();
        assert_eq!(found(&routes, &[WIRE], &tunnel), far);
        assert!(found(&routes, &[WIRE], &tunnel[..1]).is_empty(), "without a tunnel it is any host route");
    }
}
