//! The home line, and what the user expects of a protected connection.

use crate::{
    net::{Asn, Attributed, Family},
    observation::OutsideSocket,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What identifies the user's unprotected connection.
///
/// It is compared locally and never sent to other nodes. What a node on the home line announces is
/// its own exit, not this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Home {
    /// Exact addresses of the home line.
    pub addresses: Vec<IpAddr>,
    /// Prefixes of the home line. For IPv6 this is the delegated prefix, usually a /56.
    pub prefixes: Vec<IpNet>,
    /// Operators of the home line, for lines whose address changes.
    pub asns: Vec<Asn>,
    /// Resolvers of the home provider that their operator alone would not identify.
    pub resolvers: Vec<IpAddr>,
    /// Operators whose resolvers belong to home.
    ///
    /// Unlike [`Self::asns`] they do not identify the line itself, which is identified by its
    /// address.
    pub resolver_asns: Vec<Asn>,
}

impl Home {
    /// Returns true if home can be recognised in this family. An operator counts for both.
    pub fn known(&self, family: Family) -> bool {
        !self.asns.is_empty()
            || self.addresses.iter().any(|address| Family::of(*address) == family)
            || self.prefixes.iter().any(|prefix| Family::of(prefix.addr()) == family)
    }

    /// Returns true if home can be recognised in neither family.
    pub fn is_unknown(&self) -> bool {
        !Family::ALL.into_iter().any(|family| self.known(family))
    }

    /// Returns true if an address belongs to home: exactly, by prefix, or by operator.
    ///
    /// A single IPv6 address covers its /56, because hosts change their address within the
    /// delegated prefix (RFC 8981).
    pub fn contains(&self, seen: &Attributed) -> bool {
        let address = seen.address.to_canonical();
        self.addresses.iter().any(|home| is_same_line(home.to_canonical(), address))
            || self.prefixes.iter().any(|prefix| prefix.contains(&address))
            || is_operated_by(seen, &self.asns)
    }

    /// Returns true if the operator of the home line also operates this address.
    pub fn is_operator_of(&self, seen: &Attributed) -> bool {
        is_operated_by(seen, &self.asns) || is_operated_by(seen, &self.resolver_asns)
    }

    /// Returns true if a resolver belongs to home.
    pub fn contains_resolver(&self, seen: &Attributed) -> bool {
        self.resolvers.contains(&seen.address)
            || is_operated_by(seen, &self.resolver_asns)
            || self.contains(seen)
    }

    /// Returns true if a network contains an address, resolver or part of a prefix of home.
    pub fn overlaps(&self, network: &IpNet) -> bool {
        let mut addresses = self.addresses.iter().chain(&self.resolvers);
        addresses.any(|address| network.contains(&address.to_canonical()))
            || self.prefixes.iter().any(|prefix| prefix.contains(network) || network.contains(prefix))
    }
}

fn is_operated_by(seen: &Attributed, operators: &[Asn]) -> bool {
    seen.owner.as_ref().and_then(|owner| owner.asn).is_some_and(|asn| operators.contains(&asn))
}

/// Returns true for the same IPv4 address, or for IPv6 addresses in the same /56.
fn is_same_line(home: IpAddr, seen: IpAddr) -> bool {
    match (home, seen) {
        (IpAddr::V4(home), IpAddr::V4(seen)) => home == seen,
        (IpAddr::V6(home), IpAddr::V6(seen)) => home.to_bits() >> 72 == seen.to_bits() >> 72,
        _ => false,
    }
}

/// What a family may do while the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyPolicy {
    /// It goes through the tunnel, or nothing of it gets out.
    #[default]
    TunnelOrBlocked,
    /// Nothing of it may get out, not even through the tunnel.
    Blocked,
}

/// What the user expects of a protected connection.
///
/// Everything is optional. An empty expectation only requires that the exit is not home. An exit is
/// accepted if it matches one entry of *each* non-empty list: one of the prefixes, one of the
/// operators and one of the countries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// Networks the exit has to be in.
    pub exit_prefixes: Vec<IpNet>,
    /// Operators the exit has to belong to.
    pub exit_asns: Vec<Asn>,
    /// Countries the exit has to be in, as the source of ownership data spells them.
    pub exit_countries: Vec<String>,
    /// Resolvers that have to resolve names.
    pub resolvers: Vec<IpAddr>,
    /// The tunnel's interface: `wg0`. If `None`, any interface that looks like a tunnel counts.
    pub interface: Option<String>,
    /// What IPv6 may do while the connection is protected.
    pub ipv6: FamilyPolicy,
    /// Networks that may be reached outside the tunnel: intended split tunnelling.
    pub excluded: Vec<IpNet>,
    /// Programs that may bypass the tunnel, as findings name them: `zoom`, `user alice`.
    pub excluded_programs: Vec<String>,
    /// Whether a program that bypasses the tunnel means that the connection is not protected.
    pub strict_programs: bool,
    /// The tunnel's far end, if it cannot be derived from the routes.
    pub endpoint: Option<IpAddr>,
    /// Whether a kill switch is expected. An open one is then a finding.
    pub kill_switch: bool,
}

impl Expectation {
    /// Returns true if anything is expected of the exit.
    pub fn names_exit(&self) -> bool {
        !(self.exit_prefixes.is_empty() && self.exit_asns.is_empty() && self.exit_countries.is_empty())
    }

    /// Returns true if anything is expected of an exit of this family.
    ///
    /// Operators and countries apply to both families, a prefix only to its own.
    pub fn names_exit_over(&self, family: Family) -> bool {
        !(self.exit_asns.is_empty() && self.exit_countries.is_empty())
            || self.prefixes(family).next().is_some()
    }

    fn prefixes(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.exit_prefixes.iter().filter(move |prefix| Family::of(prefix.addr()) == family)
    }

    /// Returns true if this address may be reached outside the tunnel.
    pub fn excludes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.excluded.iter().any(|network| network.contains(&address))
    }

    /// Returns true if the program of this socket may bypass the tunnel.
    pub fn excludes_program(&self, socket: &OutsideSocket) -> bool {
        let label = socket.program_label();
        let is_called = |name: &str| socket.program.measured().is_some_and(|program| program.is_called(name));
        self.excluded_programs.iter().any(|name| *name == label || is_called(name))
    }

    /// Returns whether an exit meets the expectation, or `None` if that is undetermined.
    ///
    /// The exit has to match one of the prefixes of its family, one of the operators and one of the
    /// countries, as far as each is stated. The result is undetermined if:
    /// - the exit's operator or country is needed and unknown, and nothing else rules the exit out;
    /// - only prefixes of the other family are stated.
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
        let in_prefixes = self.prefixes(family).next().is_none()
            || self.prefixes(family).any(|prefix| prefix.contains(&address));
        let of_operators = is_listed(&self.exit_asns, owner.and_then(|owner| owner.asn.as_ref()));
        let in_countries = is_listed(&self.exit_countries, owner.and_then(|owner| owner.country.as_ref()));
        let results = [Some(in_prefixes), of_operators, in_countries];
        if results.contains(&Some(false)) {
            return Some(false);
        }
        results.iter().all(Option::is_some).then_some(true)
    }
}

/// Returns whether a value is in the list, or `None` if it is unknown. An empty list accepts any.
fn is_listed<T: PartialEq>(accepted: &[T], value: Option<&T>) -> Option<bool> {
    if accepted.is_empty() { Some(true) } else { value.map(|value| accepted.contains(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::Owner,
        observation::{Outcome, Program, Reason, TransportProtocol},
    };

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
    fn resolvers_belong_to_home_by_address_by_their_operator_or_with_the_line() {
        let home = Home {
            addresses: vec!["198.51.100.142".parse().unwrap()],
            resolvers: vec!["192.0.2.53".parse().unwrap()],
            resolver_asns: vec![Asn(64500)],
            ..Home::default()
        };
        let mut provider = bare("203.0.113.53");
        assert!(!home.contains_resolver(&provider));
        provider.owner = Some(Owner { asn: Some(Asn(64500)), name: "Example ISP".into(), country: None });
        assert!(home.contains_resolver(&provider) && !home.contains(&provider));
        assert!(home.contains_resolver(&bare("192.0.2.53")) && !home.contains(&bare("192.0.2.53")));
        assert!(home.contains_resolver(&bare("198.51.100.142")));
    }

    #[test]
    fn home_is_known_per_family_and_an_operator_counts_for_both() {
        let of_address = Home { addresses: vec!["2001:db8::1".parse().unwrap()], ..Home::default() };
        assert!(of_address.known(Family::V6) && !of_address.known(Family::V4));
        let of_operator = Home { asns: vec![Asn(1)], ..Home::default() };
        assert!(of_operator.known(Family::V4) && of_operator.known(Family::V6));
        let of_resolver = Home { resolvers: vec!["192.0.2.53".parse().unwrap()], ..Home::default() };
        assert!(of_resolver.is_unknown() && Home::default().is_unknown());
    }

    #[test]
    fn a_network_overlaps_home_if_either_contains_the_other() {
        let home = Home {
            addresses: vec!["198.51.100.142".parse().unwrap()],
            prefixes: vec!["2001:db8:51:100::/56".parse().unwrap()],
            ..Home::default()
        };
        for overlapping in ["198.51.100.0/24", "2001:db8::/32", "2001:db8:51:100::/64"] {
            assert!(home.overlaps(&overlapping.parse().unwrap()), "{overlapping}");
        }
        for apart in ["203.0.113.0/24", "2001:db8:52::/48"] {
            assert!(!home.overlaps(&apart.parse().unwrap()), "{apart}");
        }
    }

    #[test]
    fn excluded_networks_may_be_reached_outside_the_tunnel() {
        let expectation =
            Expectation { excluded: vec!["203.0.113.0/24".parse().unwrap()], ..Expectation::default() };
        assert!(expectation.excludes("203.0.113.9".parse().unwrap()));
        assert!(expectation.excludes("::ffff:203.0.113.9".parse().unwrap()));
        assert!(!expectation.excludes("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_program_is_excluded_by_its_name_its_file_or_its_user() {
        let socket = |program: Outcome<Program>| OutsideSocket {
            id: 1,
            protocol: TransportProtocol::Tcp,
            peer: "203.0.113.9:443".parse().unwrap(),
            interface: "eth0".into(),
            program,
            user: "alice".into(),
            is_system_user: false,
            leaves_by: Outcome::Measured("eth0".into()),
            heard_ago: None,
            exceeds_tunnel: false,
        };
        let zoom =
            socket(Outcome::Measured(Program { name: "zoom".into(), executable: Some("zoom-bin".into()) }));
        let unreadable = socket(Outcome::Unknown(Reason::Unreachable));
        let excludes = |name: &str, socket: &OutsideSocket| {
            let expectation =
                Expectation { excluded_programs: vec![name.to_owned()], ..Expectation::default() };
            expectation.excludes_program(socket)
        };
        assert!(excludes("zoom", &zoom) && excludes("zoom-bin", &zoom));
        assert!(!excludes("zoo", &zoom) && !excludes("user alice", &zoom));
        assert!(excludes("user alice", &unreadable) && !excludes("zoom", &unreadable));
    }

    #[test]
    fn an_empty_expectation_accepts_any_exit() {
        assert_eq!(Expectation::default().accepts_exit(&bare("192.0.2.1")), Some(true));
    }

    #[test]
    fn an_expectation_of_the_owner_is_undetermined_while_the_owner_is_unknown() {
        let expectation = Expectation { exit_asns: vec![Asn(1)], ..Expectation::default() };
        assert_eq!(expectation.accepts_exit(&bare("192.0.2.1")), None);
        let by_prefix =
            Expectation { exit_prefixes: vec!["203.0.113.0/24".parse().unwrap()], ..Expectation::default() };
        assert_eq!(by_prefix.accepts_exit(&bare("203.0.113.9")), Some(true));
        assert_eq!(by_prefix.accepts_exit(&bare("192.0.2.1")), Some(false));
    }

    #[test]
    fn an_unknown_property_of_an_exit_does_not_count_against_it() {
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
    fn one_entry_of_each_stated_list_has_to_match() {
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
