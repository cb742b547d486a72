//! What names resolve to, for us and for others. Answers of content networks differ everywhere, so comparing addresses
//! alone is wrong about seven times in ten (CERTainty, PoPETs 2023): the steps in `compare` only decide what they can,
//! in order, and leave the rest unknown. IPv4 and IPv6 addresses are compared apart, or a falsified one of the two would
//! hide behind the other.

mod compare;

use crate::{
    ruling::{Case, Circumstances, Ruling},
    words,
};
use compare::{Comparison, NameVerdict};
use sentinel_model::{
    Answer, AnswerPath, AnswersSeen, Epoch, Evidence, FindingKind, Moment, NetworkKey, NodeId, Outcome,
    Severity, Weight,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many names are remembered; a panel has a handful.
const NAMES: usize = 64;
/// How many sources per name.
const SOURCES: usize = 16;

type Record = (Answer, Moment, Epoch);

/// Says which network a node sits in, where that is known.
pub(crate) type NetworkOf<'a> = dyn Fn(&NodeId) -> Option<NetworkKey> + 'a;

/// What names resolved to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    names: BTreeMap<String, BTreeMap<AnswerPath, Record>>,
}

/// A name that resolves wrongly.
struct Wrong {
    name: String,
    since: Moment,
    evidence: Vec<Evidence>,
    /// Whether it does not resolve at all.
    missing: bool,
}

impl Answers {
    /// Takes in what a name resolved to. A failure says nothing.
    pub fn observe(&mut self, seen: &AnswersSeen, at: Moment, epoch: Epoch) {
        let Outcome::Measured(answer) = &seen.answer else { return };
        if self.names.len() >= NAMES && !self.names.contains_key(&seen.name) {
            let oldest =
                self.names.iter().min_by_key(|(_, paths)| paths.values().map(|(_, at, _)| at.boot).max());
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.names.remove(&name);
        }
        let paths = self.names.entry(seen.name.clone()).or_default();
        if paths.len() < SOURCES || paths.contains_key(&seen.path) {
            paths.insert(seen.path.clone(), (answer.clone(), at, epoch));
        }
    }

    /// Rules on the panel as a whole.
    pub fn rule(
        &self,
        guarded: bool,
        network_of: &NetworkOf<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Ruling {
        let mut ruling = Ruling::default();
        let needed = circumstances.policy.thresholds.dns_mismatch_names.max(1);
        let mut wrong = Vec::new();
        let mut consistent = 0;
        for name in self.names.keys() {
            match self.decide(name, network_of, circumstances) {
                Some((NameVerdict::Inconsistent, found)) => wrong.push(found),
                Some((NameVerdict::Consistent, _)) => consistent += 1,
                None => {}
            }
        }
        if wrong.is_empty() && consistent >= needed {
            ruling.tell(FindingKind::DnsTampering, None);
        }
        if guarded
            && wrong.len() >= needed
            && let Some(case) = case(&wrong)
        {
            ruling.found.push(case.found(circumstances));
        }
        ruling
    }

    fn standing(&self, name: &str, path: &AnswerPath, circumstances: &Circumstances<'_>) -> Option<&Record> {
        let record = self.names.get(name)?.get(path)?;
        circumstances.stands(record.1, record.2).then_some(record)
    }

    /// What is decided about one name. "Inconsistent" needs enough sources that agree with each other.
    fn decide(
        &self,
        name: &str,
        network_of: &NetworkOf<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Option<(NameVerdict, Wrong)> {
        let (ours, since, _) = self.standing(name, &AnswerPath::System, circumstances)?;
        let others = self.others(name, network_of, circumstances);
        let answers: Vec<&Answer> = others.iter().map(|(_, (answer, ..))| answer).collect();
        let sources = circumstances.policy.thresholds.dns_agreeing_sources;
        let comparison = Comparison::new(circumstances.policy, ours, &answers);
        let verdict = comparison.decide(sources)?;
        let shown = |who: &str, (answer, at, _): &Record| Evidence {
            voice: None,
            saw: format!("{name} is {} for {who}", addresses(answer)),
            at: at.wall,
        };
        let mut evidence = vec![Evidence {
            voice: None,
            saw: format!("{name} is {} for us{}", addresses(ours), certificate(ours)),
            at: since.wall,
        }];
        evidence.extend(others.iter().take(2).map(|(path, record)| shown(&who(path), record)));
        let missing = ours.addresses.is_empty();
        Some((verdict, Wrong { name: name.to_owned(), since: *since, evidence, missing }))
    }

    /// What others got, each network of nodes once: two nodes behind one operator's resolvers are one source.
    fn others<'a>(
        &'a self,
        name: &str,
        network_of: &NetworkOf<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Vec<(&'a AnswerPath, &'a Record)> {
        let mut networks = BTreeSet::new();
        let paths = self.names.get(name).into_iter().flatten();
        paths
            .filter(|(path, (_, at, epoch))| {
                **path != AnswerPath::System && circumstances.stands(*at, *epoch)
            })
            .filter(|(path, _)| match path {
                AnswerPath::Node(node) => network_of(node).is_none_or(|network| networks.insert(network)),
                AnswerPath::Public(_) | AnswerPath::System => true,
            })
            .collect()
    }
}

fn case<'a>(wrong: &[Wrong]) -> Option<Case<'a>> {
    let names = words::list(&wrong.iter().map(|wrong| wrong.name.clone()).collect::<Vec<_>>());
    let fact = if wrong.iter().all(|wrong| wrong.missing) {
        format!("{names} do not resolve, though others are given addresses")
    } else {
        format!("{names} resolve to addresses nobody else is given")
    };
    Some(Case {
        kind: FindingKind::DnsTampering,
        family: None,
        subject: String::new(),
        severity: Severity::Warning,
        weight: Weight::Statistic,
        fact,
        context: &[],
        advice: "Choose another resolver until you know why.",
        evidence: wrong.iter().flat_map(|wrong| wrong.evidence.iter().cloned()).take(12).collect(),
        since: wrong.iter().map(|wrong| wrong.since).min_by_key(|since| since.boot)?,
    })
}

fn addresses(answer: &Answer) -> String {
    match answer.addresses.as_slice() {
        [] => "nothing".to_owned(),
        all => words::list(&all.iter().map(|seen| seen.address.to_string()).collect::<Vec<_>>()),
    }
}

fn certificate(answer: &Answer) -> &'static str {
    use sentinel_model::Certificate;
    match &answer.certificate {
        Some(Outcome::Measured(Certificate::WrongName)) => ", where a certificate for another name is shown",
        Some(Outcome::Measured(Certificate::Untrusted)) => ", where a certificate nobody trusts is shown",
        _ => "",
    }
}

fn who(path: &AnswerPath) -> String {
    match path {
        AnswerPath::System => "us".to_owned(),
        AnswerPath::Public(name) => name.clone(),
        AnswerPath::Node(_) => "one of your nodes".to_owned(),
    }
}
