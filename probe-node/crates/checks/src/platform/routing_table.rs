//! The routing table as macOS and Windows list it, and the routes in it that avoid a tunnel.

use super::prefix::{first_host, is_host_prefix};
use sentinel_model::{Interface, InterfaceKind, is_link_local};
use std::{collections::BTreeSet, net::IpAddr};

/// More routes than a personal machine has; those beyond it are ignored.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(super) const MAX_ROUTES: usize = 4096;

/// More networks than are routed by hand or by DHCP.
const MAX_NETWORKS: usize = 64;

/// One route.
///
/// Holds whatever decides where a packet is sent, so that routes of equal value are the same route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteEntry {
    /// The network address of the destination.
    pub destination: IpAddr,
    /// The length of the destination's prefix, in bits.
    pub prefix_len: u8,
    /// The next hop; none, or an unspecified address, if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The name of the interface, as in [`Interface::name`].
    pub interface: Option<String>,
    /// The cost that orders routes with the same prefix, where the system has one.
    pub metric: Option<u32>,
}

impl RouteEntry {
    fn is_host_route(&self) -> bool {
        is_host_prefix(self.destination, self.prefix_len)
    }

    fn is_default_route(&self) -> bool {
        self.prefix_len == 0
    }

    /// Returns true if the next hop is a router rather than the destination itself.
    fn has_gateway(&self) -> bool {
        self.gateway.is_some_and(|hop| !hop.is_unspecified() && hop != self.destination)
    }
}

/// Returns the destinations of host routes outside the tunnel, while a tunnel is up.
///
/// A VPN client adds such a route for the tunnel's far end. An address the user excluded from the
/// tunnel looks the same.
pub(super) fn find_far_ends(routes: &[RouteEntry], interfaces: &[Interface]) -> Vec<IpAddr> {
    let host_routes = outside_routes(routes, interfaces).filter(|route| route.is_host_route());
    sort_addresses(host_routes.map(|route| route.destination))
}

/// Returns one destination inside every network that is routed outside the tunnel.
///
/// Host routes and the default route are not included.
pub(super) fn find_outside_destinations(routes: &[RouteEntry], interfaces: &[Interface]) -> Vec<IpAddr> {
    let networks = outside_routes(routes, interfaces)
        .filter(|route| !route.is_default_route() && !route.is_host_route());
    let mut destinations = sort_addresses(networks.map(|route| first_host(route.destination)));
    destinations.truncate(MAX_NETWORKS);
    destinations
}

/// Returns the unicast routes to a gateway on a physical interface; none while no tunnel is up.
fn outside_routes<'a>(
    routes: &'a [RouteEntry],
    interfaces: &'a [Interface],
) -> impl Iterator<Item = &'a RouteEntry> {
    let is_up = |interface: &Interface, kind| interface.up && interface.kind == kind;
    let has_tunnel = interfaces.iter().any(|interface| is_up(interface, InterfaceKind::Tunnel));
    let is_physical = move |name: &str| {
        interfaces.iter().any(|each| each.name == name && is_up(each, InterfaceKind::Physical))
    };
    routes.iter().filter(move |route| {
        has_tunnel
            && route.has_gateway()
            && route.interface.as_deref().is_some_and(is_physical)
            && is_routable_unicast(route.destination)
    })
}

fn sort_addresses(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    addresses.into_iter().collect()
}

fn is_routable_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !is_broadcast && !is_special && !is_link_local(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, kind: InterfaceKind, up: bool) -> Interface {
        Interface { name: name.into(), kind, up, addresses: Vec::new() }
    }

    fn route(destination: &str, prefix_len: u8, gateway: Option<&str>, interface: &str) -> RouteEntry {
        RouteEntry {
            destination: destination.parse().unwrap(),
            prefix_len,
            gateway: gateway.map(|hop| hop.parse().unwrap()),
            interface: Some(interface.into()),
            metric: None,
        }
    }

    fn table() -> Vec<RouteEntry> {
        vec![
            route("0.0.0.0", 0, Some("192.168.1.1"), "en0"),
            route("198.51.100.7", 32, Some("192.168.1.1"), "en0"),
            route("2001:db8::7", 128, Some("fe80::1"), "en0"),
            route("192.168.1.1", 32, None, "en0"),
            route("192.168.1.20", 32, Some("0.0.0.0"), "en0"),
            route("255.255.255.255", 32, Some("192.168.1.1"), "en0"),
            route("203.0.113.9", 32, Some("10.8.0.1"), "utun4"),
            route("203.0.113.0", 24, Some("192.168.1.1"), "en0"),
        ]
    }

    #[test]
    fn the_far_end_is_the_host_route_outside_the_tunnel() {
        let up = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, true),
        ];
        let expected: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(find_far_ends(&table(), &up), expected);
        assert_eq!(find_outside_destinations(&table(), &up), ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn without_a_tunnel_a_host_route_is_not_to_a_far_end() {
        let down = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, false),
        ];
        assert!(find_far_ends(&table(), &down).is_empty());
        assert!(find_outside_destinations(&table(), &down).is_empty());
    }
}
