//! What the routing table sends past a tunnel that is up: to the tunnels' own far ends, as it must, and to networks that
//! somebody gave a route of their own.

use super::{address, gateway};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use sentinel_model::{Interface, InterfaceKind};
use std::{collections::BTreeSet, net::IpAddr};

/// More tunnels than a machine has at once.
const MAX_ENDPOINTS: usize = 8;
/// More networks than anybody has routes for by hand or by DHCP; a router with a full table is no subject.
const MAX_NETWORKS: usize = 64;

/// A route through a gateway on a physical interface.
struct Bypass {
    destination: IpAddr,
    prefix: u8,
    protocol: RouteProtocol,
}

/// The far ends of tunnels: the destinations of host routes past them. A VPN client that takes over the default route
/// leaves the far end a host route of its own, or its own packets would be sent into the tunnel.
///
/// Routes that came from the network itself (DHCP option 121, router advertisements, redirects) do not count: whoever
/// runs the network could name any far end by them. `physical` holds the indices of physical interfaces.
pub(super) fn endpoints(routes: &[RouteMessage], physical: &[u32], interfaces: &[Interface]) -> Vec<IpAddr> {
    let endpoints: BTreeSet<IpAddr> =
        bypasses(routes, physical, interfaces).filter(Bypass::is_endpoint).map(|it| it.destination).collect();
    endpoints.into_iter().take(MAX_ENDPOINTS).collect()
}

/// One destination inside every other network that has such a route, the default route aside.
pub(super) fn destinations(
    routes: &[RouteMessage],
    physical: &[u32],
    interfaces: &[Interface],
) -> Vec<IpAddr> {
    let of_their_own = bypasses(routes, physical, interfaces).filter(|it| it.prefix > 0 && !it.is_endpoint());
    let inside: BTreeSet<IpAddr> = of_their_own.map(|it| it.inside()).collect();
    inside.into_iter().take(MAX_NETWORKS).collect()
}

/// All of them, while a tunnel is up: without one there is nothing to pass by.
fn bypasses<'a>(
    routes: &'a [RouteMessage],
    physical: &'a [u32],
    interfaces: &[Interface],
) -> impl Iterator<Item = Bypass> {
    let tunnel = interfaces.iter().any(|each| each.up && each.kind == InterfaceKind::Tunnel);
    routes.iter().filter(move |_| tunnel).filter_map(|route| Bypass::of(route, physical))
}

impl Bypass {
    fn of(route: &RouteMessage, physical: &[u32]) -> Option<Self> {
        if route.header.kind != RouteType::Unicast || route.header.table != RouteHeader::RT_TABLE_MAIN {
            return None;
        }
        let by_wire = |it: &RouteAttribute| matches!(it, RouteAttribute::Oif(by) if physical.contains(by));
        let through_gateway = route.attributes.iter().any(|attribute| gateway(attribute).is_some());
        if !through_gateway || !route.attributes.iter().any(by_wire) {
            return None;
        }
        let destination = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(destination) => address(destination),
            _ => None,
        })?;
        Some(Self {
            destination,
            prefix: route.header.destination_prefix_length,
            protocol: route.header.protocol,
        })
    }

    fn is_host(&self) -> bool {
        self.prefix == if self.destination.is_ipv4() { 32 } else { 128 }
    }

    fn is_endpoint(&self) -> bool {
        let of_network = [RouteProtocol::Dhcp, RouteProtocol::Ra, RouteProtocol::IcmpRedirect];
        self.is_host() && !of_network.contains(&self.protocol)
    }

    /// An address in that network: its first host.
    fn inside(&self) -> IpAddr {
        match self.destination {
            network if self.is_host() => network,
            IpAddr::V4(network) => IpAddr::V4((network.to_bits() | 1).into()),
            IpAddr::V6(network) => IpAddr::V6((network.to_bits() | 1).into()),
        }
    }
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

    fn table() -> [RouteMessage; 7] {
        let mut on_link = route("192.0.2.0", 24, WIRE, RouteProtocol::Kernel);
        on_link.attributes.remove(1);
        [
            route("203.0.113.7", 32, WIRE, RouteProtocol::Boot),
            route("2001:db8::7", 128, WIRE, RouteProtocol::Static),
            route("203.0.113.0", 24, WIRE, RouteProtocol::Boot),
            route("203.0.113.8", 32, 7, RouteProtocol::Boot),
            route("203.0.113.9", 32, WIRE, RouteProtocol::Dhcp),
            route("0.0.0.0", 0, WIRE, RouteProtocol::Dhcp),
            on_link,
        ]
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> Vec<IpAddr> {
        texts.map(|text| text.parse().unwrap()).to_vec()
    }

    #[test]
    fn a_host_route_past_the_tunnel_names_its_far_end() {
        let tunnel = [interface(InterfaceKind::Physical), interface(InterfaceKind::Tunnel)];
        assert_eq!(endpoints(&table(), &[WIRE], &tunnel), addresses(["203.0.113.7", "2001:db8::7"]));
        assert!(
            endpoints(&table(), &[WIRE], &tunnel[..1]).is_empty(),
            "without a tunnel it is any host route"
        );
    }

    #[test]
    fn networks_with_a_route_past_the_tunnel_are_looked_into_and_far_ends_are_not() {
        let tunnel = [interface(InterfaceKind::Physical), interface(InterfaceKind::Tunnel)];
        assert_eq!(destinations(&table(), &[WIRE], &tunnel), addresses(["203.0.113.1", "203.0.113.9"]));
        assert!(destinations(&table(), &[WIRE], &tunnel[..1]).is_empty());
    }
}
