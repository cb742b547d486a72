//! The routing table as macOS and Windows list it, and samples of the networks in it.

use super::{
    api::{FarEnd, PacketKind, RouteSample},
    on_link,
    prefix::{is_host_prefix, sample_address},
};
use ipnet::IpNet;
use sentinel_model::{FarEndEvidence, Interface, InterfaceKind, is_link_local};
use std::{collections::BTreeSet, net::IpAddr};

/// More routes than a personal machine has; those beyond it are ignored.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(super) const MAX_ROUTES: usize = 4096;

/// More networks than are routed by hand or by DHCP.
const MAX_SAMPLES: usize = 128;
/// More tunnels than a machine has at once.
const MAX_FAR_ENDS: usize = 8;

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
/// A VPN client adds such a route for the tunnel's far end. An address that the user excluded from
/// the tunnel, or that the network diverts from it, looks the same.
pub(super) fn find_far_ends(routes: &[RouteEntry], interfaces: &[Interface]) -> Vec<FarEnd> {
    let is_up = |interface: &Interface, kind| interface.up && interface.kind == kind;
    if !interfaces.iter().any(|interface| is_up(interface, InterfaceKind::Tunnel)) {
        return Vec::new();
    }
    let is_physical =
        |name: &str| interfaces.iter().any(|each| each.name == name && is_up(each, InterfaceKind::Physical));
    let far_ends: BTreeSet<IpAddr> = routes
        .iter()
        .filter(|route| route.is_host_route() && route.has_gateway())
        .filter(|route| route.interface.as_deref().is_some_and(is_physical))
        .filter(|route| is_routable_unicast(route.destination))
        .map(|route| route.destination)
        .collect();
    let host_route = |address| FarEnd { address, evidence: FarEndEvidence::HostRoute };
    far_ends.into_iter().take(MAX_FAR_ENDS).map(host_route).collect()
}

/// Returns one destination inside every network with a route of its own.
///
/// Hosts are included, and networks on-link only where they are public and not the line's own. The
/// systems do not report who wrote a route.
pub(super) fn sample_routes(routes: &[RouteEntry], interfaces: &[Interface]) -> Vec<RouteSample> {
    let samples: BTreeSet<IpAddr> = routes
        .iter()
        .filter(|route| !route.is_default_route() && is_worth_sampling(route, interfaces))
        .map(|route| sample_address(route.destination, route.prefix_len))
        .collect();
    let sample =
        |address| RouteSample { packet: PacketKind::web(address), origin: None, depends_on_traffic: false };
    samples.into_iter().take(MAX_SAMPLES).map(sample).collect()
}

fn is_worth_sampling(route: &RouteEntry, interfaces: &[Interface]) -> bool {
    let interface = interfaces.iter().find(|each| Some(&each.name) == route.interface.as_ref());
    let is_up = interface.is_some_and(|each| each.up && each.kind != InterfaceKind::Loopback);
    if !is_up || !is_routable_unicast(route.destination) {
        return false;
    }
    let own = interface.map(|each| each.addresses.as_slice()).unwrap_or_default();
    let network = IpNet::new(route.destination, route.prefix_len);
    route.has_gateway() || network.is_ok_and(|network| on_link::is_unexpected(network, own))
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
            route("192.0.2.0", 24, None, "en0"),
        ]
    }

    #[test]
    fn the_far_end_is_the_host_route_outside_the_tunnel() {
        let up = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, true),
        ];
        let far_end =
            |text: &str| FarEnd { address: text.parse().unwrap(), evidence: FarEndEvidence::HostRoute };
        assert_eq!(find_far_ends(&table(), &up), ["198.51.100.7", "2001:db8::7"].map(far_end));
    }

    #[test]
    fn every_network_is_sampled_but_private_ones_on_link() {
        let up = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, true),
        ];
        let samples = sample_routes(&table(), &up);
        let destinations: Vec<String> =
            samples.iter().map(|sample| sample.packet.destination.to_string()).collect();
        assert_eq!(destinations, ["192.0.2.1", "198.51.100.7", "203.0.113.1", "203.0.113.9", "2001:db8::7"]);
    }

    #[test]
    fn without_a_tunnel_a_host_route_is_not_to_a_far_end() {
        let down = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, false),
        ];
        assert!(find_far_ends(&table(), &down).is_empty());
    }
}
