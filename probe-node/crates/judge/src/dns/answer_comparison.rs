//! One name's answers, compared step by step.
//!
//! Each step decides or leaves the decision to the next; if none decides, the name is undetermined.

use super::operators::share_operator;
use crate::policy::Policy;
use sentinel_model::{Attributed, Certificate, Family, NetworkKey, Outcome, PerFamily, ResolvedName};
use std::{collections::BTreeSet, net::IpAddr};

/// Whether this machine is given the same answer as others, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// Nothing is wrong.
    Consistent,
    /// The answer is wrong.
    Inconsistent,
}

/// What another source was given for the name.
#[derive(Clone, Copy)]
pub(super) struct OtherAnswer<'a> {
    pub answer: &'a ResolvedName,
    /// The network the source asks from, where it is known.
    ///
    /// Several sources in one network count as one, since one resolver may be behind them all.
    pub network: Option<NetworkKey>,
}

/// The answers for one name.
pub(super) struct AnswerComparison<'a> {
    policy: &'a Policy,
    ours: &'a ResolvedName,
    others: &'a [OtherAnswer<'a>],
}

/// The answers for one name, as far as one family's addresses go.
struct FamilyComparison<'a> {
    comparison: &'a AnswerComparison<'a>,
    ours: Vec<&'a Attributed>,
    /// The other answers that contain addresses of this family.
    others: Vec<(OtherAnswer<'a>, Vec<&'a Attributed>)>,
}

/// One step of the decision.
type DecisionStep = fn(&FamilyComparison<'_>) -> Option<Consistency>;

/// The steps in their order; the first that decides counts.
const STEPS: [DecisionStep; 6] = [
    is_translated,
    is_bogon_for_us_alone,
    has_common_address,
    certificate_decides,
    has_common_network,
    is_untrusted,
];

impl<'a> AnswerComparison<'a> {
    /// Takes this machine's answer and those of others.
    pub fn new(policy: &'a Policy, ours: &'a ResolvedName, others: &'a [OtherAnswer<'a>]) -> Self {
        Self { policy, ours, others }
    }

    /// Decides whether the name resolves correctly; one wrong family makes the name wrong.
    ///
    /// "Inconsistent" must be backed by at least `needed` sources that agree with each other.
    pub fn decide(&self, needed: usize) -> Option<Consistency> {
        if let Some(consistency) = self.decide_existence(needed) {
            return Some(consistency);
        }
        let decisions = PerFamily::from_fn(|family| self.of_family(family).decide(needed));
        let either = |wanted| decisions.iter().any(|decision| *decision == Some(wanted)).then_some(wanted);
        either(Consistency::Inconsistent).or_else(|| either(Consistency::Consistent))
    }

    /// Decides by whether the name exists: for nobody, for us alone, or for everybody but us.
    ///
    /// A single family proves nothing here, since resolvers leave out or make up addresses of a
    /// family the machine cannot use (RFC 6147). A server that proves to be the name exists,
    /// whoever denies it: then the others are given a wrong answer.
    fn decide_existence(&self, needed: usize) -> Option<Consistency> {
        let is_empty = |answer: &ResolvedName| answer.addresses.is_empty();
        let denying: Vec<&OtherAnswer<'_>> =
            self.others.iter().filter(|other| is_empty(other.answer)).collect();
        match (is_empty(self.ours), denying.is_empty()) {
            (true, false) => Some(Consistency::Consistent),
            (true, true) => {
                let agree = Family::ALL
                    .iter()
                    .any(|family| self.of_family(*family).count_agreeing() >= needed.max(1));
                agree.then_some(Consistency::Inconsistent)
            }
            (false, _) if certificate(self.ours) == Some(Certificate::Valid) => None,
            (false, _) => {
                let all_deny = denying.len() == self.others.len();
                (all_deny && count_sources(denying.into_iter()) >= needed.max(1))
                    .then_some(Consistency::Inconsistent)
            }
        }
    }

    fn of_family(&'a self, family: Family) -> FamilyComparison<'a> {
        let of_family = |answer: &'a ResolvedName| -> Vec<&'a Attributed> {
            answer.addresses.iter().filter(|seen| Family::of(seen.address) == family).collect()
        };
        let others = self.others.iter().map(|other| (*other, of_family(other.answer)));
        FamilyComparison {
            comparison: self,
            ours: of_family(self.ours),
            others: others.filter(|(_, addresses)| !addresses.is_empty()).collect(),
        }
    }
}

impl FamilyComparison<'_> {
    fn decide(&self, needed: usize) -> Option<Consistency> {
        if self.ours.is_empty() {
            return None;
        }
        let consistency = STEPS.iter().find_map(|step| step(self))?;
        let is_backed = consistency == Consistency::Consistent || self.count_agreeing() >= needed.max(1);
        is_backed.then_some(consistency)
    }

    /// Returns how many other sources agree with each other: by address, by operator or by the name
    /// at the end of the chain of aliases.
    ///
    /// Against an address that cannot be reached at all, every source with a public one agrees.
    fn count_agreeing(&self) -> usize {
        if self.has_bogon(&self.ours) {
            let public = self.others.iter().filter(|(_, addresses)| !self.has_bogon(addresses));
            return count_sources(public.map(|(other, _)| other));
        }
        let agreeing_with = |(one, addresses): &(OtherAnswer<'_>, Vec<&Attributed>)| {
            let alike = self.others.iter().filter(|(other, theirs)| {
                share_address(addresses, theirs)
                    || share_operator(addresses, theirs)
                    || share_tail(one.answer, other.answer)
            });
            count_sources(alike.map(|(other, _)| other))
        };
        self.others.iter().map(agreeing_with).max().unwrap_or(0)
    }

    fn has_bogon(&self, addresses: &[&Attributed]) -> bool {
        addresses.iter().any(|seen| self.comparison.policy.is_bogon(seen.address))
    }

    fn certificate(&self) -> Option<Certificate> {
        certificate(self.comparison.ours)
    }
}

/// Addresses that contain the IPv4 ones of the same name were made by NAT64 (RFC 6052), which is
/// correct although nobody else is given them.
fn is_translated(side: &FamilyComparison<'_>) -> Option<Consistency> {
    let others = side.comparison.others.iter().flat_map(|other| &other.answer.addresses);
    let v4: Vec<u32> = others
        .chain(&side.comparison.ours.addresses)
        .filter_map(|seen| match seen.address {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            IpAddr::V6(_) => None,
        })
        .collect();
    let contains_one = |seen: &&Attributed| match seen.address {
        IpAddr::V6(v6) => v4.iter().any(|v4| v6.to_bits() & u128::from(u32::MAX) == u128::from(*v4)),
        IpAddr::V4(_) => false,
    };
    side.ours.iter().all(contains_one).then_some(Consistency::Consistent)
}

/// An address outside the public internet that only this machine is given is wrong.
fn is_bogon_for_us_alone(side: &FamilyComparison<'_>) -> Option<Consistency> {
    let others_have_none = side.others.iter().all(|(_, theirs)| !side.has_bogon(theirs));
    let is_alone = !side.others.is_empty() && others_have_none;
    (side.has_bogon(&side.ours) && is_alone).then_some(Consistency::Inconsistent)
}

/// An address that another source is given too is right.
fn has_common_address(side: &FamilyComparison<'_>) -> Option<Consistency> {
    side.others.iter().any(|(_, theirs)| share_address(&side.ours, theirs)).then_some(Consistency::Consistent)
}

/// A trusted certificate decides, since nobody on the path can forge it.
///
/// One for another name in a well-formed handshake belongs to somebody else's server.
fn certificate_decides(side: &FamilyComparison<'_>) -> Option<Consistency> {
    match side.certificate()? {
        Certificate::Valid => Some(Consistency::Consistent),
        Certificate::WrongName => Some(Consistency::Inconsistent),
        Certificate::Untrusted => None,
    }
}

/// An address of the same operator, or of the same content network at the end of the chain of
/// aliases, is right.
fn has_common_network(side: &FamilyComparison<'_>) -> Option<Consistency> {
    let is_alike = |(other, theirs): &(OtherAnswer<'_>, Vec<&Attributed>)| {
        share_operator(&side.ours, theirs) || share_tail(side.comparison.ours, other.answer)
    };
    side.others.iter().any(is_alike).then_some(Consistency::Consistent)
}

/// An untrusted certificate is wrong where others, given other addresses, all agree with each other
/// or were shown a valid one.
///
/// By itself it proves nothing, since a server may simply have a bad certificate.
fn is_untrusted(side: &FamilyComparison<'_>) -> Option<Consistency> {
    let is_valid = |(other, _): &(OtherAnswer<'_>, _)| certificate(other.answer) == Some(Certificate::Valid);
    let any_valid = side.others.iter().any(is_valid);
    let all = count_sources(side.others.iter().map(|(other, _)| other));
    let all_agree = all >= 2 && side.count_agreeing() == all;
    (side.certificate() == Some(Certificate::Untrusted) && (any_valid || all_agree))
        .then_some(Consistency::Inconsistent)
}

/// Returns how many independent sources there are: one per network, and each whose network is
/// unknown.
fn count_sources<'a>(answers: impl Iterator<Item = &'a OtherAnswer<'a>>) -> usize {
    let (known, unknown): (Vec<_>, Vec<_>) = answers.map(|other| other.network).partition(Option::is_some);
    known.into_iter().collect::<BTreeSet<_>>().len() + unknown.len()
}

fn certificate(answer: &ResolvedName) -> Option<Certificate> {
    answer.certificate.as_ref().and_then(Outcome::measured).copied()
}

fn share_address(a: &[&Attributed], b: &[&Attributed]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.address == other.address))
}

fn share_tail(a: &ResolvedName, b: &ResolvedName) -> bool {
    match (&a.canonical, &b.canonical) {
        (Some(a), Some(b)) => tail(a) == tail(b),
        _ => false,
    }
}

/// Returns the last two labels of a name, which approximate its operator.
fn tail(name: &str) -> String {
    let mut labels: Vec<&str> = name.trim_end_matches('.').rsplit('.').take(2).collect();
    labels.reverse();
    labels.join(".").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_name_is_its_last_two_labels() {
        assert_eq!(tail("www.Example.NET.cdn.example."), "cdn.example");
        assert_eq!(tail("example"), "example");
    }

    #[test]
    fn sources_of_one_network_count_once_and_unknown_ones_each() {
        let answer = ResolvedName::default();
        let other = |network| OtherAnswer { answer: &answer, network };
        let network = |asn| Some(NetworkKey::Asn(sentinel_model::Asn(asn)));
        let others = [other(network(1)), other(network(1)), other(network(2)), other(None), other(None)];
        assert_eq!(count_sources(others.iter()), 4);
    }
}
