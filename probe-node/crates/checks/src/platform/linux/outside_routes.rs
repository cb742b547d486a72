//! Routes that lead outside a tunnel while it is up.
//!
//! These are the routes to the tunnels' own far ends, which are necessary, and routes to single
//! networks.

use super::routes;
use crate::platform::prefix::{is_host_prefix, sample_address};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use sentinel_model::{Interface, InterfaceKind};
use std::{collections::BTreeSet, net::IpAddr};

/// More tunnels than a machine has at once.
const MAX_FAR_ENDS: usize = 8;
/// More networks than are routed by hand or by DHCP; a router with a full table is not a subject.
const MAX_NETWORKS: usize = 64;

/// The origins of routes that came from the network itself.
const FROM_NETWORK: [RouteProtocol; 3] =
    [RouteProtocol::Dhcp, RouteProtocol::Ra, RouteProtocol::IcmpRedirect];

/// A route in the main table to a gateway on a physical interface.
struct OutsideRoute {
    destination: IpAddr,
    prefix_len: u8,
    protocol: RouteProtocol,
}

/// Returns the far ends of tunnels: the destinations of host routes outside them.
///
/// A VPN client that takes over the default route adds a host route for the far end. Otherwise the
/// tunnel's own packets would be sent into the tunnel.
///
/// Routes that came from the network itself (DHCP option 121, router advertisements, redirects) are
/// not counted, because whoever runs the network could forge a far end with them. `physical` holds
/// the indices of physical interfaces.
pub(super) fn find_far_ends(
    routes: &[RouteMessage],
    physical: &[u32],
    interfaces: &[Interface],
) -> Vec<IpAddr> {
    let routes = outside_routes(routes, physical, interfaces).filter(OutsideRoute::is_to_far_end);
    let far_ends: BTreeSet<IpAddr> = routes.map(|route| route.destination).collect();
    far_ends.into_iter().take(MAX_FAR_ENDS).collect()
}

/// Returns one destination inside every other network that is routed outside the tunnel.
///
/// The default route is not included.
pub(super) fn find_destinations(
    routes: &[RouteMessage],
    physical: &[u32],
    interfaces: &[Interface],
) -> Vec<IpAddr> {
    let networks = outside_routes(routes, physical, interfaces)
        .filter(|route| route.prefix_len > 0 && !route.is_to_far_end());
    let destinations: BTreeSet<IpAddr> = networks.map(|route| route.sample_destination()).collect();
    destinations.into_iter().take(MAX_NETWORKS).collect()
}

/// Returns the routes outside the tunnel; none while no tunnel is up.
fn outside_routes<'a>(
    routes: &'a [RouteMessage],
    physical: &'a [u32],
    interfaces: &[Interface],
) -> impl Iterator<Item = OutsideRoute> {
    let has_tunnel = interfaces.iter().any(|each| each.up && each.kind == InterfaceKind::Tunnel);
    routes.iter().filter(move |_| has_tunnel).filter_map(|route| OutsideRoute::from_message(route, physical))
}

impl OutsideRoute {
    fn from_message(route: &RouteMessage, physical: &[u32]) -> Option<Self> {
        if route.header.kind != RouteType::Unicast || route.header.table != RouteHeader::RT_TABLE_MAIN {
            return None;
        }
        let is_physical =
            |it: &RouteAttribute| matches!(it, RouteAttribute::Oif(index) if physical.contains(index));
        let has_gateway = route.attributes.iter().any(|attribute| routes::gateway(attribute).is_some());
        if !has_gateway || !route.attributes.iter().any(is_physical) {
            return None;
        }
        Some(Self {
            destination: route.attributes.iter().find_map(routes::destination)?,
            prefix_len: route.header.destination_prefix_length,
            protocol: route.header.protocol,
        })
    }

    fn is_host_route(&self) -> bool {
        is_host_prefix(self.destination, self.prefix_len)
    }

    fn is_to_far_end(&self) -> bool {
        self.is_host_route() && !FROM_NETWORK.contains(&self.protocol)
    }

    /// Returns an address the route applies to: the first host of its network.
    fn sample_destination(&self) -> IpAddr {
        sample_address(self.destination, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteAddress;

    const PHYSICAL: u32 = 2;

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

    fn table() -> [RouteMessage; 7] {
        let mut on_link = route("192.0.2.0", 24, PHYSICAL, RouteProtocol::Kernel);
        on_link.attributes.remove(1);
        [
            route("203.0.113.7", 32, PHYSICAL, RouteProtocol::Boot),
            route("2001:db8::7", 128, PHYSICAL, RouteProtocol::Static),
            route("203.0.113.0", 24, PHYSICAL, RouteProtocol::Boot),
            route("203.0.113.8", 32, 7, RouteProtocol::Boot),
            route("203.0.113.9", 32, PHYSICAL, RouteProtocol::Dhcp),
            route("0.0.0.0", 0, PHYSICAL, RouteProtocol::Dhcp),
            on_link,
        ]
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> Vec<IpAddr> {
        texts.map(|text| text.parse().unwrap()).to_vec()
    }

    #[test]
    fn a_host_route_outside_the_tunnel_is_to_its_far_end() {
        let tunnel = [interface(InterfaceKind::Physical), interface(InterfaceKind::Tunnel)];
        assert_eq!(find_far_ends(&table(), &[PHYSICAL], &tunnel), addresses(["203.0.113.7", "2001:db8::7"]));
        assert!(
            find_far_ends(&table(), &[PHYSICAL], &tunnel[..1]).is_empty(),
            "without a tunnel, a host route is not to a far end"
        );
    }

    #[test]
    fn networks_routed_outside_the_tunnel_are_sampled_and_far_ends_are_not() {
        let tunnel = [interface(InterfaceKind::Physical), interface(InterfaceKind::Tunnel)];
        assert_eq!(
            find_destinations(&table(), &[PHYSICAL], &tunnel),
            addresses(["203.0.113.1", "203.0.113.9"])
        );
        assert!(find_destinations(&table(), &[PHYSICAL], &tunnel[..1]).is_empty());
    }
}
