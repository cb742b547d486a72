//! What one lease says, and whether it describes the network that an interface is in now.

use sentinel_model::{ConfiguredResolver, Interface, IpNet, ResolverRole, is_link_local};
use std::net::IpAddr;

/// More servers than real leases offer.
pub(super) const MAX_SERVERS: usize = 16;

/// The resolvers that a network offered on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The interface, where the client recorded it.
    pub interface: Option<String>,
    /// The resolvers, in the network's order.
    pub servers: Vec<IpAddr>,
    /// The leased addresses, each with the network it is in, as far as the client recorded it.
    ///
    /// Empty if none was leased along with the resolvers, as in stateless DHCPv6.
    pub networks: Vec<IpNet>,
    /// When it ends, in seconds since 1970; absent if never, or if the client keeps track of it.
    pub expires: Option<i64>,
}

impl Lease {
    /// Adds a server, unless there are enough already.
    pub(super) fn add_server(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        let is_usable = !address.is_unspecified() && !address.is_multicast();
        if is_usable && self.servers.len() < MAX_SERVERS && !self.servers.contains(&address) {
            self.servers.push(address);
        }
    }

    /// Returns true if the lease is of the network that one of these interfaces is in now.
    ///
    /// Old leases of other networks stay on disk. A lease counts only if
    /// - it has not expired,
    /// - its interface is up,
    /// - and that interface has an address in the leased network.
    pub(super) fn is_current(&self, interfaces: &[Interface], now: i64) -> bool {
        let is_expired = self.expires.is_some_and(|expires| expires <= now);
        let interface = self.interface.as_deref();
        let interface = interfaces.iter().find(|known| known.up && Some(known.name.as_str()) == interface);
        let is_in = |network: &IpNet| {
            let of_interface = interface.into_iter().flat_map(|interface| &interface.addresses);
            of_interface.map(IpNet::addr).any(|address| !is_link_local(address) && network.contains(&address))
        };
        !is_expired && interface.is_some() && (self.networks.is_empty() || self.networks.iter().any(is_in))
    }

    /// Returns the servers as resolvers on the lease's interface.
    pub(super) fn resolvers(&self) -> impl Iterator<Item = ConfiguredResolver> {
        self.servers.iter().map(|address| ConfiguredResolver {
            address: *address,
            interface: self.interface.clone(),
            role: ResolverRole::Unspecified,
        })
    }
}

/// Returns the network of an address and a netmask; that of the address alone without a valid mask.
pub(super) fn network_of(address: IpAddr, mask: Option<IpAddr>) -> IpNet {
    let prefix_len = match mask {
        Some(IpAddr::V4(mask)) => {
            let (ones, zeros) = (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros());
            (ones > 0 && ones + zeros == 32).then_some(ones)
        }
        Some(IpAddr::V6(_)) | None => None,
    };
    let prefix_len = prefix_len.and_then(|length| u8::try_from(length).ok());
    let network = prefix_len.and_then(|length| IpNet::new(address, length).ok());
    network.unwrap_or_else(|| IpNet::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::InterfaceKind;

    fn interface(name: &str, up: bool, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface { name: name.to_owned(), kind: InterfaceKind::Physical, up, addresses }
    }

    fn lease(networks: &[&str], expires: Option<i64>) -> Lease {
        Lease {
            interface: Some("eth0".into()),
            servers: vec!["192.0.2.1".parse().unwrap()],
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            expires,
        }
    }

    #[test]
    fn a_lease_counts_while_its_interface_is_in_its_network() {
        let at = |addresses: &[&str]| [interface("eth0", true, addresses)];
        let here = at(&["192.0.2.7/24", "fe80::1/64"]);
        assert!(lease(&["192.0.2.9/24"], None).is_current(&here, 100));
        assert!(lease(&["192.0.2.9/24"], Some(101)).is_current(&here, 100));
        assert!(!lease(&["192.0.2.9/24"], Some(100)).is_current(&here, 100), "expired");
        assert!(!lease(&["198.51.100.9/24"], None).is_current(&here, 100), "another network");
        assert!(!lease(&["192.0.2.9/32"], None).is_current(&here, 100), "another address, mask unknown");
        assert!(lease(&[], None).is_current(&here, 100), "stateless");
        assert!(!lease(&["192.0.2.9/24"], None).is_current(&at(&[]), 100), "no address");
        assert!(!lease(&["fe80::2/64"], None).is_current(&here, 100), "link-local addresses are everywhere");
    }

    #[test]
    fn a_lease_of_an_interface_that_is_down_or_gone_does_not_count() {
        let down = [interface("eth0", false, &["192.0.2.7/24"]), interface("eth1", true, &["192.0.2.7/24"])];
        assert!(!lease(&["192.0.2.9/24"], None).is_current(&down, 100));
        assert!(!Lease { interface: None, ..lease(&[], None) }.is_current(&down, 100));
    }

    #[test]
    fn servers_are_usable_addresses_each_once() {
        let mut lease = Lease::default();
        for server in ["192.0.2.1", "::ffff:192.0.2.1", "0.0.0.0", "::", "224.0.0.1", "2001:db8::53"] {
            lease.add_server(server.parse().unwrap());
        }
        assert_eq!(lease.servers.len(), 2);
    }

    #[test]
    fn an_invalid_mask_leaves_the_address_alone() {
        let network = |mask: Option<&str>| {
            network_of("192.0.2.7".parse().unwrap(), mask.map(|mask| mask.parse().unwrap())).to_string()
        };
        assert_eq!(network(Some("255.255.255.0")), "192.0.2.7/24");
        assert_eq!(network(Some("255.0.255.0")), "192.0.2.7/32");
        assert_eq!(network(Some("0.0.0.0")), "192.0.2.7/32");
        assert_eq!(network(Some("255.255.255.255")), "192.0.2.7/32");
        assert_eq!(network(Some("ffff::")), "192.0.2.7/32");
        assert_eq!(network(None), "192.0.2.7/32");
    }
}
