//! Recognises a proxy on this machine that answers each name with a reserved address of its own.
//!
//! Clash, mihomo, sing-box and others do so ("fake IP"): a name gets the next free address of a
//! reserved range, and the proxy's TUN device maps packets to it back to the name. Every name then
//! resolves to an address that nobody else is given, and nothing is wrong with that. A captive
//! portal or a block list differs: it gives all names one and the same address.

use crate::policy::Policy;
use sentinel_model::{IpNet, ResolvedName};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The ranges that such proxies use unless configured otherwise.
const USUAL: [&str; 2] = ["198.18.0.0/15", "fc00::/18"];
/// Fewer names than this prove nothing.
const MIN_NAMES: usize = 2;

/// Returns the range from which nearly every name was answered, with an address of its own.
///
/// `answers` are the system's for all names that resolve. Proxies leave out a few names, so one of
/// four may have other addresses. A range that such proxies do not use by default counts only if
/// `is_mapped_back` says that a service answered at such an address.
pub(super) fn find_range(
    answers: &[(&str, &ResolvedName)],
    is_mapped_back: bool,
    policy: &Policy,
) -> Option<IpNet> {
    let mut by_range: BTreeMap<IpNet, Vec<&ResolvedName>> = BTreeMap::new();
    for (_, answer) in answers {
        if let Some(range) = range_of(answer, policy) {
            by_range.entry(range).or_default().push(answer);
        }
    }
    let (range, names) = by_range.into_iter().max_by_key(|(_, names)| names.len())?;
    let is_enough = names.len() >= MIN_NAMES && answers.len() - names.len() <= answers.len() / 4;
    let is_known = is_mapped_back || usual_ranges().any(|usual| usual == range);
    (is_enough && is_known && have_own_addresses(&names)).then_some(range)
}

/// Returns true if an answer lies in a range that was found.
pub(super) fn is_from(range: &IpNet, answer: &ResolvedName, policy: &Policy) -> bool {
    range_of(answer, policy).as_ref() == Some(range)
}

/// Returns the reserved range that an answer lies in, if all of its addresses are reserved.
///
/// It is that of the first address: the addresses are sorted, IPv4 first.
fn range_of(answer: &ResolvedName, policy: &Policy) -> Option<IpNet> {
    let are_reserved = answer.addresses.iter().all(|seen| policy.is_bogon(seen.address));
    let first = answer.addresses.first().filter(|_| are_reserved)?.address;
    let contains = |range: &IpNet| range.contains(&first);
    let usual = usual_ranges().find(contains);
    usual.or_else(|| policy.bogons.iter().copied().find(contains))
}

/// Returns true if no two of the names share an address.
fn have_own_addresses(names: &[&ResolvedName]) -> bool {
    let mut all: BTreeSet<IpAddr> = BTreeSet::new();
    names.iter().all(|answer| {
        let own: BTreeSet<IpAddr> = answer.addresses.iter().map(|seen| seen.address).collect();
        let is_disjoint = all.is_disjoint(&own);
        all.extend(own);
        is_disjoint
    })
}

fn usual_ranges() -> impl Iterator<Item = IpNet> {
    USUAL.iter().filter_map(|range| range.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Attributed;

    fn found(answers: &[&[&str]], is_mapped_back: bool) -> Option<String> {
        let answers: Vec<ResolvedName> = answers
            .iter()
            .map(|addresses| ResolvedName {
                addresses: addresses.iter().map(|text| Attributed::bare(text.parse().unwrap())).collect(),
                ..ResolvedName::default()
            })
            .collect();
        let named: Vec<(&str, &ResolvedName)> = answers.iter().map(|answer| ("name", answer)).collect();
        find_range(&named, is_mapped_back, &Policy::default()).map(|range| range.to_string())
    }

    #[test]
    fn an_own_address_per_name_in_a_usual_range_is_recognised() {
        let usual = Some("198.18.0.0/15".to_owned());
        assert_eq!(found(&[&["198.18.0.4"], &["198.18.0.5"], &["198.19.3.1"]], false), usual);
        let both: [&[&str]; 2] = [&["198.18.0.4", "fc00::4"], &["198.18.0.5", "fc00::5"]];
        assert_eq!(found(&both, false), usual);
        assert_eq!(found(&[&["fc00::4"], &["fc00::5"]], false), Some("fc00::/18".into()));
    }

    #[test]
    fn one_of_four_names_may_be_left_out_but_not_more() {
        let fake: [&[&str]; 3] = [&["198.18.0.4"], &["198.18.0.5"], &["198.18.0.6"]];
        let with = |others: &[&[&str]]| found(&[&fake[..], others].concat(), false).is_some();
        assert!(with(&[]) && with(&[&["9.9.9.9"]]));
        assert!(!with(&[&["9.9.9.9"], &["9.9.9.10"]]));
        assert!(found(&[fake[0]], false).is_none(), "one name alone");
        assert!(found(&[fake[0], &["9.9.9.9"], &["9.9.9.10"]], true).is_none());
    }

    #[test]
    fn one_address_for_all_names_is_a_portal() {
        assert!(found(&[&["198.18.0.1"], &["198.18.0.1"], &["198.18.0.1"]], true).is_none());
        assert!(found(&[&["10.0.0.1"], &["10.0.0.1"]], true).is_none());
        assert!(found(&[&["198.18.0.1", "198.18.0.2"], &["198.18.0.2"]], true).is_none());
    }

    #[test]
    fn another_range_needs_a_service_that_answered_there() {
        let answers: [&[&str]; 2] = [&["10.128.0.4"], &["10.128.0.5"]];
        assert!(found(&answers, false).is_none());
        assert_eq!(found(&answers, true), Some("10.0.0.0/8".into()));
        assert!(found(&[&["8.8.8.8"], &["9.9.9.9"]], true).is_none(), "not reserved");
        assert!(found(&[&["10.128.0.4", "9.9.9.9"], &["10.128.0.5", "8.8.8.8"]], true).is_none());
    }
}
