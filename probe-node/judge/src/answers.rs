//! What names resolve to, for us and for others. Answers of content networks differ everywhere, so comparing addresses
//! alone is wrong about seven times in ten (CERTainty, PoPETs 2023): the steps below only decide what they can, in order,
//! and leave the rest unknown.

use crate::{
    policy::Policy,
    ruling::{Case, Circumstances, Ruling},
    words,
};
use sentinel_model::{
    AnswerPath, AnswersSeen, Epoch, Evidence, FindingKind, Moment, Outcome, Severity, Weight,
};
use std::{collections::BTreeMap, net::IpAddr};

/// How many names are remembered; a panel has a handful.
const NAMES: usize = 64;
/// How many sources per name.
const SOURCES: usize = 16;

/// What is decided about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameVerdict {
    /// Nothing wrong.
    Consistent,
    /// Wrong.
    Inconsistent,
}

/// The answers for one name.
struct Comparison<'a> {
    policy: &'a Policy,
    /// What this machine got.
    subject: &'a [IpAddr],
    /// What the others got.
    others: Vec<&'a [IpAddr]>,
}

/// One step of the decision: it decides, or leaves it to the next.
type Step = fn(&Comparison<'_>) -> Option<NameVerdict>;

/// The decision order. The first step that decides wins; if none does, it stays unknown.
const ORDER: [Step; 2] = [bogon_for_us_alone, address_in_common];

/// An address from outside the public internet that only we are given.
fn bogon_for_us_alone(comparison: &Comparison<'_>) -> Option<NameVerdict> {
    let has_bogon =
        |addresses: &[IpAddr]| addresses.iter().any(|address| comparison.policy.is_bogon(*address));
    let alone = !comparison.others.is_empty() && !comparison.others.iter().any(|others| has_bogon(others));
    (has_bogon(comparison.subject) && alone).then_some(NameVerdict::Inconsistent)
}

/// Any address in common, or nobody gets any.
fn address_in_common(comparison: &Comparison<'_>) -> Option<NameVerdict> {
    comparison
        .others
        .iter()
        .any(|others| agree(comparison.subject, others))
        .then_some(NameVerdict::Consistent)
}

fn agree(a: &[IpAddr], b: &[IpAddr]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|address| b.contains(address))
}

type Answer = (Vec<IpAddr>, Moment, Epoch);

/// What names resolved to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    names: BTreeMap<String, BTreeMap<AnswerPath, Answer>>,
}

impl Answers {
    /// Takes in what a name resolved to. A failure says nothing.
    pub fn observe(&mut self, seen: &AnswersSeen, at: Moment, epoch: Epoch) {
        let Outcome::Measured(answer) = &seen.answer else { return };
        let addresses: Vec<IpAddr> = answer.addresses.iter().map(|seen| seen.address).collect();
        if self.names.len() >= NAMES && !self.names.contains_key(&seen.name) {
            let oldest =
                self.names.iter().min_by_key(|(_, paths)| paths.values().map(|(_, at, _)| at.boot).max());
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.names.remove(&name);
        }
        let paths = self.names.entry(seen.name.clone()).or_default();
        if paths.len() < SOURCES || paths.contains_key(&seen.path) {
            paths.insert(seen.path.clone(), (addresses, at, epoch));
        }
    }

    /// Rules on the panel as a whole.
    pub fn rule(&self, guarded: bool, circumstances: &Circumstances<'_>) -> Ruling {
        let mut ruling = Ruling::default();
        let thresholds = &circumstances.policy.thresholds;
        let mut wrong = Vec::new();
        let mut consistent = 0;
        for name in self.names.keys() {
            match self.decide(name, circumstances) {
                Some((NameVerdict::Inconsistent, since, agreeing))
                    if agreeing >= thresholds.dns_agreeing_sources =>
                {
                    wrong.push((name.clone(), since));
                }
                Some((NameVerdict::Consistent, ..)) => consistent += 1,
                _ => {}
            }
        }
        if wrong.is_empty() && consistent >= thresholds.dns_mismatch_names {
            ruling.tell(FindingKind::DnsTampering, None);
        }
        let since = wrong.iter().map(|(_, since)| *since).min_by_key(|since| since.boot);
        if let (Some(since), true) = (since, guarded && wrong.len() >= thresholds.dns_mismatch_names.max(1)) {
            ruling.found.push(self.case(&wrong, since, circumstances).found(circumstances));
        }
        ruling
    }

    fn case<'a>(
        &self,
        wrong: &[(String, Moment)],
        since: Moment,
        circumstances: &Circumstances<'_>,
    ) -> Case<'a> {
        let names: Vec<String> = wrong.iter().map(|(name, _)| name.clone()).collect();
        let evidence = |name: &String| {
            let (addresses, at) = self.answer(name, &AnswerPath::System, circumstances)?;
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Some(Evidence { voice: None, saw: format!("{name} is {}", words::list(&shown)), at: at.wall })
        };
        Case {
            kind: FindingKind::DnsTampering,
            family: None,
            subject: String::new(),
            severity: Severity::Warning,
            weight: Weight::Statistic,
            fact: format!("{} resolve to addresses nobody else is given", words::list(&names)),
            context: &[],
            advice: "Choose another resolver until you know why.",
            evidence: names.iter().filter_map(evidence).collect(),
            since,
        }
    }

    fn answer(
        &self,
        name: &str,
        path: &AnswerPath,
        circumstances: &Circumstances<'_>,
    ) -> Option<(&[IpAddr], Moment)> {
        let (addresses, at, epoch) = self.names.get(name)?.get(path)?;
        circumstances.stands(*at, *epoch).then_some((addresses.as_slice(), *at))
    }

    /// What is decided about one name, since when, and how many of the other sources agree with each other.
    fn decide(&self, name: &str, circumstances: &Circumstances<'_>) -> Option<(NameVerdict, Moment, usize)> {
        let (subject, since) = self.answer(name, &AnswerPath::System, circumstances)?;
        let paths = self.names.get(name)?.keys().filter(|path| **path != AnswerPath::System);
        let others: Vec<&[IpAddr]> = paths
            .filter_map(|path| self.answer(name, path, circumstances))
            .map(|(addresses, _)| addresses)
            .collect();
        let agreeing = others
            .iter()
            .map(|one| others.iter().filter(|other| agree(one, other)).count())
            .max()
            .unwrap_or(0);
        let comparison = Comparison { policy: circumstances.policy, subject, others };
        let verdict = ORDER.iter().find_map(|step| step(&comparison))?;
        Some((verdict, since, agreeing))
    }
}
