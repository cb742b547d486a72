//! Addresses and who they belong to.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// An IP version. The two are never judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order they are shown.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An autonomous system number (RFC 6793).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asn(pub u32);

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

/// Who operates an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The origin AS, where known.
    pub asn: Option<Asn>,
    /// The operator as people know it: `Mullvad`.
    pub name: String,
    /// The country as people know it, where known: `Sweden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Owner {
    /// Whether both name the same operator: by AS where both have one, else by name.
    pub fn same_operator(&self, other: &Self) -> bool {
        match (self.asn, other.asn) {
            (Some(a), Some(b)) => a == b,
            _ => self.name == other.name,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.country {
            Some(country) => write!(f, "{}, {country}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// An address together with its operator, if that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributed {
    /// The address, never IPv4-mapped.
    pub address: IpAddr,
    /// Its operator, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Attributed {
    /// An address whose operator is not known.
    pub fn bare(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), owner: None }
    }

    /// The network this address speaks for.
    pub fn network(&self) -> NetworkKey {
        match self.owner.as_ref().and_then(|owner| owner.asn) {
            Some(asn) => NetworkKey::Asn(asn),
            None => NetworkKey::of_prefix(self.address),
        }
    }

    /// Whether both addresses have the same operator. Without ownership of both, neighbours (/24, /48) count as the
    /// same operator and everything else as different.
    pub fn same_operator(&self, other: &Self) -> bool {
        match (&self.owner, &other.owner) {
            (Some(a), Some(b)) => a.same_operator(b),
            _ => neighbourhood(self.address) == neighbourhood(other.address),
        }
    }
}

impl fmt::Display for Attributed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{} ({owner})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// What makes two voices independent: different networks. The AS where it is known, else a prefix wide enough that two
/// networks sharing it are likely one operator's (/16 and /32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKey {
    /// By autonomous system.
    Asn(Asn),
    /// By prefix, the AS being unknown.
    Prefix(IpNet),
}

impl NetworkKey {
    /// The key of an address whose AS is not known.
    pub fn of_prefix(address: IpAddr) -> Self {
        Self::Prefix(truncate(address, 16, 32))
    }
}

/// Returns true for an address that no router forwards (RFC 3927, RFC 4291).
pub fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Returns true if the address lies in one of these ranges.
///
/// An IPv4-mapped IPv6 address counts as the IPv4 address. Applied to the ranges that do not count
/// as public, this is the rule behind "a private address is no voice": a witness that saw such an
/// address was reached without crossing the internet.
pub fn is_within(address: IpAddr, ranges: &[IpNet]) -> bool {
    let address = address.to_canonical();
    ranges.iter().any(|range| range.contains(&address))
}

fn neighbourhood(address: IpAddr) -> IpNet {
    truncate(address, 24, 48)
}

/// The network of an address at the given length for its family. Lengths are constants within range.
fn truncate(address: IpAddr, v4_len: u8, v6_len: u8) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::new_assert(v4, v4_len).trunc()),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new_assert(v6, v6_len).trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(address: &str, asn: u32) -> Attributed {
        Attributed {
            address: address.parse().unwrap(),
            owner: Some(Owner { asn: Some(Asn(asn)), name: format!("net {asn}"), country: None }),
        }
    }

    #[test]
    fn operators_are_compared_by_as_then_by_neighbourhood() {
        assert!(owned("192.0.2.1", 1).same_operator(&owned("203.0.113.1", 1)));
        assert!(!owned("192.0.2.1", 1).same_operator(&owned("192.0.2.2", 2)));
        let bare = |text: &str| Attributed::bare(text.parse().unwrap());
        assert!(bare("192.0.2.1").same_operator(&bare("192.0.2.200")));
        assert!(!bare("192.0.2.1").same_operator(&bare("192.0.3.1")));
        assert!(bare("::ffff:192.0.2.1").same_operator(&bare("192.0.2.9")));
    }

    #[test]
    fn a_network_key_is_wide_when_the_as_is_unknown() {
        assert_eq!(
            Attributed::bare("192.0.2.1".parse().unwrap()).network(),
            Attributed::bare("192.0.99.1".parse().unwrap()).network()
        );
        assert_eq!(owned("192.0.2.1", 7).network(), NetworkKey::Asn(Asn(7)));
    }

    #[test]
    fn link_local_addresses_are_recognised_in_both_families() {
        for local in ["169.254.1.1", "fe80::1", "::ffff:169.254.1.1"] {
            assert!(is_link_local(local.parse().unwrap()), "{local}");
        }
        for routed in ["192.168.1.1", "127.0.0.1", "fec0::1", "2001:db8::1"] {
            assert!(!is_link_local(routed.parse().unwrap()), "{routed}");
        }
    }

    #[test]
    fn a_mapped_address_is_within_the_ranges_of_its_ipv4_address() {
        let ranges = ["10.0.0.0/8", "fc00::/7"].map(|range| range.parse().unwrap());
        assert!(is_within("10.1.2.3".parse().unwrap(), &ranges));
        assert!(is_within("::ffff:10.1.2.3".parse().unwrap(), &ranges));
        assert!(is_within("fd00::1".parse().unwrap(), &ranges));
        assert!(!is_within("11.1.2.3".parse().unwrap(), &ranges));
        assert!(!is_within("2001:db8::1".parse().unwrap(), &[]));
    }
}
