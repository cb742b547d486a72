//! One name's answers, compared step by step. A step decides or leaves it to the next; if none does, it stays unknown.

use crate::policy::Policy;
use sentinel_model::{Attributed, Certificate, Family, NetworkKey, Outcome, ResolvedName};
use std::{collections::BTreeSet, net::IpAddr};

/// What is decided about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameVerdict {
    /// Nothing wrong.
    Consistent,
    /// Wrong.
    Inconsistent,
}

/// The answers for one name.
pub(super) struct Comparison<'a> {
    policy: &'a Policy,
    /// What this machine got.
    ours: &'a ResolvedName,
    /// What the others got.
    others: &'a [Other<'a>],
}

/// What somebody else got.
#[derive(Clone, Copy)]
pub(super) struct Other<'a> {
    pub answer: &'a ResolvedName,
    /// The network it asks from, where that is known: several in one are one source, since one resolver may be behind
    /// them all.
    pub network: Option<NetworkKey>,
}

/// How many sources these are.
fn sources<'a>(of: impl Iterator<Item = &'a Other<'a>>) -> usize {
    let (known, unknown): (Vec<_>, Vec<_>) = of.map(|other| other.network).partition(Option::is_some);
    known.into_iter().collect::<BTreeSet<_>>().len() + unknown.len()
}

/// The same, as far as one family's addresses go; only those others who have any.
struct Side<'a> {
    whole: &'a Comparison<'a>,
    ours: Vec<&'a Attributed>,
    others: Vec<(Other<'a>, Vec<&'a Attributed>)>,
}

/// One step of the decision.
type Step = fn(&Side<'_>) -> Option<NameVerdict>;

/// The decision order. The first step that decides wins.
const ORDER: [Step; 6] =
    [translated, bogon_for_us_alone, address_in_common, by_certificate, same_network, untrusted];

impl<'a> Comparison<'a> {
    pub fn new(policy: &'a Policy, ours: &'a ResolvedName, others: &'a [Other<'a>]) -> Self {
        Self { policy, ours, others }
    }

    /// What the answers amount to, if "wrong" is backed by so many sources that agree with each other. One wrong family
    /// makes the name wrong.
    pub fn decide(&self, needed: usize) -> Option<NameVerdict> {
        if let Some(verdict) = self.existence(needed) {
            return Some(verdict);
        }
        let verdicts = Family::ALL.map(|family| self.side(family).decide(needed));
        let either = |wanted| verdicts.contains(&Some(wanted)).then_some(wanted);
        either(NameVerdict::Inconsistent).or_else(|| either(NameVerdict::Consistent))
    }

    /// Whether the name exists at all: for nobody, for us alone, or for everybody but us. A single family proves nothing
    /// here, since resolvers leave out or make up addresses of a family the machine cannot use (RFC 6147). A server that
    /// proves to be the name exists, whoever denies it: then it is they who are lied to.
    fn existence(&self, needed: usize) -> Option<NameVerdict> {
        let none = |answer: &ResolvedName| answer.addresses.is_empty();
        let missing: Vec<&Other<'_>> = self.others.iter().filter(|other| none(other.answer)).collect();
        match (none(self.ours), missing.is_empty()) {
            (true, false) => Some(NameVerdict::Consistent),
            (true, true) => {
                let agree = Family::ALL.iter().any(|family| self.side(*family).agreeing() >= needed.max(1));
                agree.then_some(NameVerdict::Inconsistent)
            }
            (false, _) if proven(self.ours) == Some(Certificate::Valid) => None,
            (false, _) => {
                let denied = missing.len() == self.others.len();
                (denied && sources(missing.into_iter()) >= needed.max(1)).then_some(NameVerdict::Inconsistent)
            }
        }
    }

    fn side(&'a self, family: Family) -> Side<'a> {
        let of = |answer: &'a ResolvedName| -> Vec<&'a Attributed> {
            answer.addresses.iter().filter(|seen| Family::of(seen.address) == family).collect()
        };
        let others = self.others.iter().map(|other| (*other, of(other.answer)));
        Side {
            whole: self,
            ours: of(self.ours),
            others: others.filter(|(_, addresses)| !addresses.is_empty()).collect(),
        }
    }
}

impl Side<'_> {
    fn decide(&self, needed: usize) -> Option<NameVerdict> {
        if self.ours.is_empty() {
            return None;
        }
        let verdict = ORDER.iter().find_map(|step| step(self))?;
        let backed = verdict == NameVerdict::Consistent || self.agreeing() >= needed.max(1);
        backed.then_some(verdict)
    }

    /// How many others agree with each other: by address, operator or the name at the end of the chain. Against an
    /// address nobody can be reached at, all who were given a public one agree.
    fn agreeing(&self) -> usize {
        if self.bogus(&self.ours) {
            let public = self.others.iter().filter(|(_, addresses)| !self.bogus(addresses));
            return sources(public.map(|(other, _)| other));
        }
        let with = |(one, addresses): &(Other<'_>, Vec<&Attributed>)| {
            let alike = self.others.iter().filter(|(other, theirs)| {
                shared(addresses, theirs) || related(addresses, theirs) || same_tail(one.answer, other.answer)
            });
            sources(alike.map(|(other, _)| other))
        };
        self.others.iter().map(with).max().unwrap_or(0)
    }

    fn bogus(&self, addresses: &[&Attributed]) -> bool {
        addresses.iter().any(|seen| self.whole.policy.is_bogon(seen.address))
    }

    fn certificate(&self) -> Option<Certificate> {
        proven(self.whole.ours)
    }
}

/// Addresses that carry the IPv4 ones of the same name: NAT64 made them (RFC 6052), for us alone and rightly.
fn translated(side: &Side<'_>) -> Option<NameVerdict> {
    let known =
        side.whole.others.iter().flat_map(|other| &other.answer.addresses).chain(&side.whole.ours.addresses);
    let v4: Vec<u32> = known
        .filter_map(|seen| match seen.address {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            IpAddr::V6(_) => None,
        })
        .collect();
    let carries = |seen: &&Attributed| match seen.address {
        IpAddr::V6(v6) => v4.iter().any(|v4| v6.to_bits() & u128::from(u32::MAX) == u128::from(*v4)),
        IpAddr::V4(_) => false,
    };
    side.ours.iter().all(carries).then_some(NameVerdict::Consistent)
}

/// An address from outside the public internet that only we are given.
fn bogon_for_us_alone(side: &Side<'_>) -> Option<NameVerdict> {
    let alone = !side.others.is_empty() && !side.others.iter().any(|(_, theirs)| side.bogus(theirs));
    (side.bogus(&side.ours) && alone).then_some(NameVerdict::Inconsistent)
}

/// Any address in common.
fn address_in_common(side: &Side<'_>) -> Option<NameVerdict> {
    side.others.iter().any(|(_, theirs)| shared(&side.ours, theirs)).then_some(NameVerdict::Consistent)
}

/// What the server at one of the addresses proved to be, which nobody on the way can forge. A wrong name in a well-formed
/// handshake is somebody else's server.
fn by_certificate(side: &Side<'_>) -> Option<NameVerdict> {
    match side.certificate()? {
        Certificate::Valid => Some(NameVerdict::Consistent),
        Certificate::WrongName => Some(NameVerdict::Inconsistent),
        Certificate::Untrusted => None,
    }
}

/// The same operator, or the same content network at the end of the chain of aliases.
fn same_network(side: &Side<'_>) -> Option<NameVerdict> {
    let alike = |(other, theirs): &(Other<'_>, Vec<&Attributed>)| {
        related(&side.ours, theirs) || same_tail(side.whole.ours, other.answer)
    };
    side.others.iter().any(alike).then_some(NameVerdict::Consistent)
}

/// A certificate nobody trusts: a server may have a bad one, so it counts only where others, given other addresses, are
/// at one with each other, or were shown a good one.
fn untrusted(side: &Side<'_>) -> Option<NameVerdict> {
    let good = side.others.iter().any(|(other, _)| proven(other.answer) == Some(Certificate::Valid));
    let all = sources(side.others.iter().map(|(other, _)| other));
    let united = all >= 2 && side.agreeing() == all;
    (side.certificate() == Some(Certificate::Untrusted) && (good || united))
        .then_some(NameVerdict::Inconsistent)
}

fn proven(answer: &ResolvedName) -> Option<Certificate> {
    answer.certificate.as_ref().and_then(Outcome::measured).copied()
}

fn shared(a: &[&Attributed], b: &[&Attributed]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.address == other.address))
}

fn related(a: &[&Attributed], b: &[&Attributed]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.same_operator(other)))
}

fn same_tail(a: &ResolvedName, b: &ResolvedName) -> bool {
    match (&a.canonical, &b.canonical) {
        (Some(a), Some(b)) => tail(a) == tail(b),
        _ => false,
    }
}

/// The last two labels, without the root's dot: near enough to who runs the name.
fn tail(name: &str) -> String {
    let mut labels: Vec<&str> = name.trim_end_matches('.').rsplit('.').take(2).collect();
    labels.reverse();
    labels.join(".").to_ascii_lowercase()
}
