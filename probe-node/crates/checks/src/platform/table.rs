//! The routing table as macOS and Windows list it, and what can be read off it: the routes past the tunnel by which a
//! VPN client reaches its own server, and those that draw networks out of it.

use sentinel_model::{Interface, InterfaceKind};
use std::{collections::BTreeSet, net::IpAddr};

/// More routes than any machine of a person has; what lies beyond is not compared.
#[cfg(any(target_os = "macos", target_os = "windows"))]
pub(super) const MAX_ROUTES: usize = 4096;

/// One route. Two are the same if nothing about them differs that could send a packet elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The destinations' prefix.
    pub destination: IpAddr,
    /// Its length in bits.
    pub prefix: u8,
    /// The next hop; none, or an unspecified address, for what is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The name of the interface, as in [`Interface::name`].
    pub interface: Option<String>,
    /// The cost by which routes with the same prefix are ordered, where the system has such a thing.
    pub metric: Option<u32>,
}

/// More networks than anybody has routes for by hand or by DHCP.
const MAX_NETWORKS: usize = 64;

/// The destinations that have a route of their own to a gateway on the wire, while a tunnel is up. These are the
/// tunnels' far ends, or else addresses somebody excluded from the tunnel by hand.
pub(super) fn endpoints(routes: &[Entry], interfaces: &[Interface]) -> Vec<IpAddr> {
    let hosts = past_the_tunnel(routes, interfaces).filter(|route| route.is_host());
    sorted(hosts.map(|route| route.destination))
}

/// One destination inside every wider network with such a route, the default route aside.
pub(super) fn destinations(routes: &[Entry], interfaces: &[Interface]) -> Vec<IpAddr> {
    let wider = past_the_tunnel(routes, interfaces).filter(|route| route.prefix > 0 && !route.is_host());
    let mut inside = sorted(wider.map(|route| match route.destination {
        IpAddr::V4(network) => IpAddr::V4((network.to_bits() | 1).into()),
        IpAddr::V6(network) => IpAddr::V6((network.to_bits() | 1).into()),
    }));
    inside.truncate(MAX_NETWORKS);
    inside
}

fn past_the_tunnel<'a>(routes: &'a [Entry], interfaces: &'a [Interface]) -> impl Iterator<Item = &'a Entry> {
    let is = |name: &str, kind| {
        interfaces.iter().any(|interface| interface.name == name && interface.kind == kind && interface.up)
    };
    let tunnel = interfaces.iter().any(|interface| is(&interface.name, InterfaceKind::Tunnel));
    routes.iter().filter(move |route| {
        let elsewhere = route.gateway.is_some_and(|hop| !hop.is_unspecified() && hop != route.destination);
        let wire = route.interface.as_ref().is_some_and(|name| is(name, InterfaceKind::Physical));
        tunnel && elsewhere && wire && is_unicast(route.destination)
    })
}

fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    addresses.into_iter().collect()
}

impl Entry {
    fn is_host(&self) -> bool {
        self.prefix == if self.destination.is_ipv4() { 32 } else { 128 }
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let local = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !special && !local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, kind: InterfaceKind, up: bool) -> Interface {
        Interface { name: name.into(), kind, up, addresses: Vec::new() }
    }

    fn route(destination: &str, prefix: u8, gateway: Option<&str>, interface: &str) -> Entry {
        Entry {
            destination: destination.parse().unwrap(),
            prefix,
            gateway: gateway.map(|hop| hop.parse().unwrap()),
            interface: Some(interface.into()),
            metric: None,
        }
    }

    fn table() -> Vec<Entry> {
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
    fn a_tunnels_far_end_is_the_host_route_past_it() {
        let up = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, true),
        ];
        let expected: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(endpoints(&table(), &up), expected);
        assert_eq!(destinations(&table(), &up), ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn without_a_tunnel_a_host_route_leads_to_no_endpoint() {
        let down = [
            interface("en0", InterfaceKind::Physical, true),
            interface("utun4", InterfaceKind::Tunnel, false),
        ];
        assert!(endpoints(&table(), &down).is_empty() && destinations(&table(), &down).is_empty());
    }
}
