//! Networks that are claimed to be on-link: reached without a router.
//!
//! Whoever runs a network decides by DHCP or router advertisements which addresses are on-link, and
//! packets to them leave outside a tunnel that only has the default route (TunnelCrack, LocalNet).

use ipnet::IpNet;
use sentinel_model::is_link_local;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The shortest prefix of a public line's own network that counts as usual, in bits.
///
/// Providers assign /24 or less per line segment, and one /64. A wider one is rare and could hold
/// sites that the user visits, so it is looked into.
const USUAL_V4: u8 = 24;
const USUAL_V6: u8 = 64;

/// Networks of which no public destination is part, besides those the standard library knows.
const SHARED: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(100, 64, 0, 0), Ipv4Addr::new(255, 192, 0, 0));
const UNIQUE_LOCAL: (Ipv6Addr, Ipv6Addr) =
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), Ipv6Addr::new(0xfe00, 0, 0, 0, 0, 0, 0, 0));

/// Returns true if a network that is on-link is one that a local network has no reason to claim.
///
/// `own` are the addresses of the interface. Expected are private networks, the peers of
/// point-to-point links, and the network of an own public address, unless it is unusually wide.
pub(super) fn is_unexpected(network: IpNet, own: &[IpNet]) -> bool {
    if is_private_network(network) {
        return false;
    }
    let is_usual = network.prefix_len() >= if network.addr().is_ipv4() { USUAL_V4 } else { USUAL_V6 };
    let is_of_own_address = own.iter().any(|address| network.contains(&address.addr()));
    !(is_usual && is_of_own_address)
}

/// Returns true if no address of a network is a public unicast one.
///
/// A network that contains both, such as the default route's, is not private.
pub(super) fn is_private_network(network: IpNet) -> bool {
    // No private range is wider; a wider network may begin and end in two of them.
    let is_narrow = network.prefix_len() >= if network.addr().is_ipv4() { 8 } else { 7 };
    is_narrow && is_private(network.network()) && is_private(network.broadcast())
}

/// Returns true unless an address is a public unicast one.
pub(super) fn is_private(address: IpAddr) -> bool {
    if is_link_local(address) || address.is_loopback() || address.is_multicast() {
        return true;
    }
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            v4.is_private() || v4 & SHARED.1 == SHARED.0 || first == 0 || first >= 240
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6 & UNIQUE_LOCAL.1 == UNIQUE_LOCAL.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn unexpected(network: &str, own: &[&str]) -> bool {
        is_unexpected(network.parse().unwrap(), &networks(own))
    }

    #[test]
    fn the_network_of_an_own_public_address_is_expected_unless_it_is_wide() {
        assert!(!unexpected("203.0.113.0/24", &["203.0.113.7/24"]));
        assert!(!unexpected("203.0.113.0/28", &["203.0.113.7/28"]));
        assert!(!unexpected("2001:db8:1::/64", &["fe80::1/64", "2001:db8:1::7/128"]));
        assert!(unexpected("203.0.112.0/23", &["203.0.113.7/23"]));
        assert!(unexpected("8.0.0.0/8", &["8.8.8.77/8"]));
        assert!(unexpected("2001:db8::/32", &["2001:db8:1::7/32"]));
    }

    #[test]
    fn a_public_network_without_an_own_address_is_unexpected_and_a_private_one_is_not() {
        assert!(unexpected("203.0.113.0/24", &["192.168.1.7/24"]));
        assert!(unexpected("203.0.113.9/32", &["192.168.1.7/24"]));
        assert!(unexpected("2001:db8:2::/64", &["2001:db8:1::7/64"]));
        for private in ["192.168.0.0/16", "10.0.0.0/8", "100.64.0.0/10", "fd00::/8", "fe80::/64", "ff00::/8"]
        {
            assert!(!unexpected(private, &[]), "{private}");
        }
    }

    #[test]
    fn a_network_that_only_begins_in_a_private_range_is_not_private() {
        for wide in ["0.0.0.0/1", "0.0.0.0/0", "::/0", "10.0.0.0/7", "8000::/1"] {
            assert!(!is_private_network(wide.parse().unwrap()), "{wide}");
        }
    }
}
