//! What identifies the unprotected connection, and what the user says protected means.

use crate::net::{Asn, Attributed, Family};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The addresses, prefixes, operators and resolvers of the user's unprotected connection. Only ever compared locally;
/// it is never sent to anyone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Home {
    /// Exact addresses of the home line.
    pub addresses: Vec<IpAddr>,
    /// Prefixes of the home line; for IPv6 the delegated prefix, usually a /56.
    pub prefixes: Vec<IpNet>,
    /// Operators of the home line, for lines with a changing address.
    pub asns: Vec<Asn>,
    /// The home provider's resolvers, where their operator cannot be told from the address.
    pub resolvers: Vec<IpAddr>,
    /// The home provider, where the line itself is known by its address: whose resolvers answer at home.
    pub resolver_asns: Vec<Asn>,
}

impl Home {
    /// Whether anything is known about home in this family. An operator says something about both.
    pub fn known(&self, family: Family) -> bool {
        !self.asns.is_empty()
            || self.addresses.iter().any(|address| Family::of(*address) == family)
            || self.prefixes.iter().any(|prefix| Family::of(prefix.addr()) == family)
    }

    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        !Family::ALL.into_iter().any(|family| self.known(family))
    }

    /// Whether an address belongs to home: exactly, by prefix, or by operator. A lone IPv6 address stands for its /56,
    /// since a host there changes its address at will (RFC 8981).
    pub fn contains(&self, seen: &Attributed) -> bool {
        let address = seen.address.to_canonical();
        self.addresses.iter().any(|home| same_line(home.to_canonical(), address))
            || self.prefixes.iter().any(|prefix| prefix.contains(&address))
            || is_of(seen, &self.asns)
    }

    /// Whether a resolver belongs to home.
    pub fn contains_resolver(&self, seen: &Attributed) -> bool {
        self.resolvers.contains(&seen.address) || is_of(seen, &self.resolver_asns) || self.contains(seen)
    }

    /// Whether a network shares addresses with what is known of home.
    pub fn overlaps(&self, network: &IpNet) -> bool {
        let mut addresses = self.addresses.iter().chain(&self.resolvers);
        addresses.any(|address| network.contains(&address.to_canonical()))
            || self.prefixes.iter().any(|prefix| prefix.contains(network) || network.contains(prefix))
    }
}

fn is_of(seen: &Attributed, operators: &[Asn]) -> bool {
    seen.owner.as_ref().and_then(|owner| owner.asn).is_some_and(|asn| operators.contains(&asn))
}

fn same_line(home: IpAddr, seen: IpAddr) -> bool {
    match (home, seen) {
        (IpAddr::V4(home), IpAddr::V4(seen)) => home == seen,
        (IpAddr::V6(home), IpAddr::V6(seen)) => home.to_bits() >> 72 == seen.to_bits() >> 72,
        _ => false,
    }
}

/// Whether a family may be used at all while protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyPolicy {
    /// It may be absent or go through the tunnel.
    #[default]
    TunnelOrBlocked,
    /// It must not get out at all.
    Blocked,
}

/// What the user says protected means. Everything is optional; an empty expectation only asks for "not home". Of what is
/// said about the exit, every kind must be met, and any one of each kind will do: these operators *and* these countries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// The exit lies in one of these networks.
    pub exit_prefixes: Vec<IpNet>,
    /// The exit belongs to one of these operators.
    pub exit_asns: Vec<Asn>,
    /// The exit lies in one of these countries, as the ownership source spells them.
    pub exit_countries: Vec<String>,
    /// Names are resolved by one of these.
    pub resolvers: Vec<IpAddr>,
    /// The tunnel's interface: `wg0`. Without it, any interface that looks like a tunnel counts.
    pub interface: Option<String>,
    /// What IPv6 may do.
    pub ipv6: FamilyPolicy,
    /// Networks that may be reached past the tunnel: split tunnelling on purpose.
    pub excluded: Vec<IpNet>,
    /// The tunnel's far end, where it cannot be told from the routes.
    pub endpoint: Option<IpAddr>,
    /// Something besides the routes keeps traffic in the tunnel; an open kill switch is then a finding.
    pub kill_switch: bool,
}

impl Expectation {
    /// Whether the user said anything about the exit.
    pub fn names_exit(&self) -> bool {
        !(self.exit_prefixes.is_empty() && self.exit_asns.is_empty() && self.exit_countries.is_empty())
    }

    /// Whether the user said anything that an exit of this family can be held against. Operators and countries speak
    /// of both families, a prefix of its own.
    pub fn names_exit_over(&self, family: Family) -> bool {
        !(self.exit_asns.is_empty() && self.exit_countries.is_empty())
            || self.prefixes(family).next().is_some()
    }

    fn prefixes(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.exit_prefixes.iter().filter(move |prefix| Family::of(prefix.addr()) == family)
    }

    /// Whether this address may be reached past the tunnel.
    pub fn excludes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.excluded.iter().any(|network| network.contains(&address))
    }

    /// Whether an exit meets the expectation: one of the prefixes of its family, and one of the operators, and one of
    /// the countries, as far as each was stated. `None` when that cannot be told: the owner or what was asked of it is
    /// unknown, or only exits of the other family were named.
    pub fn accepts_exit(&self, exit: &Attributed) -> Option<bool> {
        if !self.names_exit() {
            return Some(true);
        }
        let address = exit.address.to_canonical();
        let family = Family::of(address);
        if !self.names_exit_over(family) {
            return None;
        }
        let owner = exit.owner.as_ref();
        let of_prefixes = self.prefixes(family).next().is_none()
            || self.prefixes(family).any(|prefix| prefix.contains(&address));
        let of_operators = met(&self.exit_asns, owner.and_then(|owner| owner.asn.as_ref()));
        let of_countries = met(&self.exit_countries, owner.and_then(|owner| owner.country.as_ref()));
        let judged = [Some(of_prefixes), of_operators, of_countries];
        if judged.contains(&Some(false)) {
            return Some(false);
        }
        judged.iter().all(Option::is_some).then_some(true)
    }
}

/// Whether what is known is among what was asked for, if anything was; `None` if it is not known.
fn met<T: PartialEq>(asked: &[T], known: Option<&T>) -> Option<bool> {
    if asked.is_empty() { Some(true) } else { known.map(|known| asked.contains(known)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Owner;

    fn bare(text: &str) -> Attributed {
        Attributed::bare(text.parse().unwrap())
    }

    #[test]
    fn ipv4_matches_exactly_and_ipv6_by_prefix() {
        let home = Home {
            addresses: vec!["198.51.100.142".parse().unwrap(), "2001:db8:51:100::7".parse().unwrap()],
            ..Home::default()
        };
        assert!(home.contains(&bare("198.51.100.142")));
        assert!(!home.contains(&bare("198.51.100.143")));
        assert!(home.contains(&bare("2001:db8:51:1ff::1")));
        assert!(!home.contains(&bare("2001:db8:51:200::1")));
    }

    #[test]
    fn an_operator_makes_a_changing_address_home() {
        let home = Home { asns: vec![Asn(64500)], ..Home::default() };
        let mut seen = bare("198.51.100.9");
        assert!(!home.contains(&seen));
        seen.owner = Some(Owner { asn: Some(Asn(64500)), name: "Example ISP".into(), country: None });
        assert!(home.contains(&seen));
    }

    #[test]
    fn an_expectation_that_needs_an_owner_cannot_tell_without_one() {
        let expectation = Expectation { exit_asns: vec![Asn(1)], ..Expectation::default() };
        assert_eq!(expectation.accepts_exit(&bare("192.0.2.1")), None);
        let by_prefix =
            Expectation { exit_prefixes: vec!["203.0.113.0/24".parse().unwrap()], ..Expectation::default() };
        assert_eq!(by_prefix.accepts_exit(&bare("203.0.113.9")), Some(true));
        assert_eq!(by_prefix.accepts_exit(&bare("192.0.2.1")), Some(false));
    }

    #[test]
    fn what_an_exit_does_not_tell_is_not_held_against_it() {
        let owned = |asn, country: Option<&str>| Attributed {
            owner: Some(Owner { asn, name: "Example VPN".into(), country: country.map(str::to_owned) }),
            ..bare("203.0.113.9")
        };
        let expectation = Expectation { exit_countries: vec!["Sweden".into()], ..Expectation::default() };
        assert_eq!(expectation.accepts_exit(&owned(Some(Asn(1)), None)), None);
        assert_eq!(expectation.accepts_exit(&owned(None, Some("Sweden"))), Some(true));
        assert_eq!(expectation.accepts_exit(&owned(None, Some("Norway"))), Some(false));
        let v4_only =
            Expectation { exit_prefixes: vec!["203.0.113.0/24".parse().unwrap()], ..Expectation::default() };
        assert_eq!(v4_only.accepts_exit(&bare("2001:db8:99::1")), None);
        assert!(v4_only.names_exit_over(Family::V4) && !v4_only.names_exit_over(Family::V6));
    }

    #[test]
    fn statements_of_different_kinds_must_all_be_met_and_one_of_a_kind_suffices() {
        let owned = |asn, country: &str| Attributed {
            owner: Some(Owner { asn: Some(Asn(asn)), name: "VPN".into(), country: Some(country.into()) }),
            ..bare("203.0.113.9")
        };
        let expectation = Expectation {
            exit_asns: vec![Asn(1), Asn(2)],
            exit_countries: vec!["Sweden".into(), "Norway".into()],
            ..Expectation::default()
        };
        assert_eq!(expectation.accepts_exit(&owned(2, "Norway")), Some(true));
        assert_eq!(expectation.accepts_exit(&owned(1, "USA")), Some(false));
        assert_eq!(expectation.accepts_exit(&owned(3, "Sweden")), Some(false));
        assert_eq!(expectation.accepts_exit(&bare("203.0.113.9")), None);
    }
}
