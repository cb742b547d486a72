//! Addresses and their owners.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// An IP version. The two are always judged separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in the order they are shown.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Returns the family of an address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Family {
    /// Returns the name used in configuration, the API and the database: `v4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
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

/// The operator of an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The origin AS, if known.
    pub asn: Option<Asn>,
    /// The operator's common name: `Mullvad`.
    pub name: String,
    /// The country's common name, if known: `Sweden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Owner {
    /// Returns true if both are the same operator: by AS if both have one, otherwise by name.
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

/// An address with its operator, if that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributed {
    /// The address, never IPv4-mapped.
    pub address: IpAddr,
    /// Its operator, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Attributed {
    /// Creates an address whose operator is not known.
    pub fn bare(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), owner: None }
    }

    /// Returns the network that a voice with this address counts for.
    pub fn network(&self) -> NetworkKey {
        match self.owner.as_ref().and_then(|owner| owner.asn) {
            Some(asn) => NetworkKey::Asn(asn),
            None => NetworkKey::of_prefix(self.address),
        }
    }

    /// Returns true if both addresses have the same operator.
    ///
    /// If the owner of either is unknown, addresses in the same /24 or /48 count as the same
    /// operator and all others as different.
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

/// The network of a voice. Two voices are independent if their networks differ.
///
/// It is the AS if known, otherwise a prefix (/16 or /32) so wide that two networks within it
/// likely have the same operator. An address outside the public internet that stands in for a
/// service says nothing about the service's network; its name is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKey {
    /// By autonomous system.
    Asn(Asn),
    /// By prefix, while the AS is unknown.
    Prefix(IpNet),
    /// By the name of the service, because a proxy on this machine hides its address.
    ///
    /// Such a proxy answers each name with a reserved address of its own ("fake IP") and maps the
    /// packets to it back.
    Named(NetworkName),
}

impl NetworkKey {
    /// Returns the key of an address whose AS is not known.
    pub fn of_prefix(address: IpAddr) -> Self {
        Self::Prefix(truncate(address, 16, 32))
    }
}

/// A name that stands for a network: at most the first 32 bytes of the service's name.
///
/// Two services whose names begin alike beyond that count as one, which is the cautious side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct NetworkName([u8; 32]);

impl From<&str> for NetworkName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; 32];
        let name = &name[..name.floor_char_boundary(bytes.len())];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

impl From<String> for NetworkName {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(bytes))
    }
}

impl fmt::Debug for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
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

/// Returns the /24 or /48 of an address.
fn neighbourhood(address: IpAddr) -> IpNet {
    truncate(address, 24, 48)
}

/// Returns the network of an address with the prefix length for its family.
///
/// The lengths have to be valid for their family.
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
    fn a_family_has_one_name_in_text_and_json() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).unwrap(), family.name());
        }
        assert_eq!(Family::ALL.map(Family::name), ["v4", "v6"]);
    }

    #[test]
    fn a_mapped_address_counts_as_ipv4() {
        assert_eq!(Family::of("::ffff:192.0.2.1".parse().unwrap()), Family::V4);
        assert_eq!(Family::of("2001:db8::1".parse().unwrap()), Family::V6);
    }

    #[test]
    fn owners_without_an_as_are_compared_by_name() {
        let owner = |asn, name: &str| Owner { asn, name: name.to_owned(), country: None };
        assert!(owner(None, "Example").same_operator(&owner(Some(Asn(1)), "Example")));
        assert!(!owner(None, "Example").same_operator(&owner(None, "Other")));
        assert!(!owner(Some(Asn(1)), "Example").same_operator(&owner(Some(Asn(2)), "Example")));
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
    fn a_long_name_of_a_network_is_cut_between_characters() {
        let long = format!("{}é-and-more", "x".repeat(31));
        assert_eq!(NetworkName::from(long.as_str()).to_string(), "x".repeat(31));
        assert_eq!(NetworkName::from("stun.example").to_string(), "stun.example");
        assert_eq!(NetworkName::from("").to_string(), "");
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
