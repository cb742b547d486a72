//! Properties of a network address and its prefix length.

use std::net::IpAddr;

/// Returns true if the prefix covers this one address only.
pub(super) fn is_host_prefix(address: IpAddr, prefix_len: u8) -> bool {
    prefix_len == if address.is_ipv4() { 32 } else { 128 }
}

/// Returns the first host address of a network, given its network address.
fn first_host(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(network) => IpAddr::V4((network.to_bits() | 1).into()),
        IpAddr::V6(network) => IpAddr::V6((network.to_bits() | 1).into()),
    }
}

/// Returns an address of a network: its only one, or its first host.
pub(super) fn sample_address(network: IpAddr, prefix_len: u8) -> IpAddr {
    if is_host_prefix(network, prefix_len) { network } else { first_host(network) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_prefix_has_all_bits_of_its_family() {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.0".parse().unwrap(), "2001:db8::".parse().unwrap());
        assert!(is_host_prefix(v4, 32) && is_host_prefix(v6, 128));
        assert!(!is_host_prefix(v4, 31) && !is_host_prefix(v6, 32));
    }

    #[test]
    fn the_first_host_follows_the_network_address() {
        assert_eq!(first_host("192.0.2.0".parse().unwrap()).to_string(), "192.0.2.1");
        assert_eq!(first_host("2001:db8::".parse().unwrap()).to_string(), "2001:db8::1");
    }
}
