//! The network of an address, by which limits on strangers count.
//!
//! One person can have many addresses of one network, but rarely addresses of many networks.

use std::net::IpAddr;

/// Returns the network of an address: its /24 for IPv4, its /56 for IPv6.
///
/// A /56 is what providers usually assign to one line (RFC 6177).
pub(crate) fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() >> 8 << 8).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 72 << 72).into()),
    }
}

/// Returns what counts as one source: the address itself for IPv4, its /56 for IPv6.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        v6 @ IpAddr::V6(_) => subnet(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_by_their_network() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(subnet(ip("192.0.2.7")), subnet(ip("::ffff:192.0.2.200")));
        assert_ne!(subnet(ip("192.0.2.7")), subnet(ip("192.0.3.7")));
        assert_eq!(subnet(ip("2001:db8:0:1200::1")), subnet(ip("2001:db8:0:12ff::9")));
        assert_ne!(subnet(ip("2001:db8:0:1200::1")), subnet(ip("2001:db8:0:1300::1")));
        assert_ne!(source(ip("192.0.2.7")), source(ip("192.0.2.8")));
        assert_eq!(source(ip("2001:db8:0:1200::1")), source(ip("2001:db8:0:12ff::9")));
    }
}
