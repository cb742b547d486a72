//! What names resolve to, for us and for others. NameAnswers of content networks differ everywhere, so comparing addresses
//! alone is wrong about seven times in ten (CERTainty, PoPETs 2023): the steps in `compare` only decide what they can,
//! in order, and leave the rest unknown. IPv4 and IPv6 addresses are compared apart, or a falsified one of the two would
//! hide behind the other.

use super::answer_comparison::{Comparison, NameVerdict, Other};
use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult},
    wording,
};
use sentinel_model::{
    AnswerPath, AnswersSeen, Epoch, Evidence, FindingKind, Moment, NetworkKey, NodeId, Outcome, ResolvedName,
    Severity, Voice, Weight,
};
use std::collections::BTreeMap;

/// How many names are remembered; a panel has a handful.
const NAMES: usize = 64;
/// How many sources per name.
const SOURCES: usize = 16;
/// How many of them are named as evidence for each name.
const SHOWN: usize = 2;

type Record = (ResolvedName, Moment, Epoch);

/// Who the others are.
pub(crate) struct AnswerSources<'a> {
    /// A node, where it has spoken.
    pub node: &'a dyn Fn(&NodeId) -> Option<Voice>,
    /// The network a public resolver is in, where that is known.
    pub public: &'a dyn Fn(&str) -> Option<NetworkKey>,
}

impl AnswerSources<'_> {
    fn network(&self, path: &AnswerPath) -> Option<NetworkKey> {
        match path {
            AnswerPath::System => None,
            AnswerPath::Public(name) => (self.public)(name),
            AnswerPath::Node(node) => (self.node)(node).map(|voice| voice.network),
        }
    }

    /// What somebody got for a name.
    fn evidence(&self, name: &str, path: &AnswerPath, (answer, at, _): &Record) -> Evidence {
        let voice = match path {
            AnswerPath::Node(node) => (self.node)(node),
            AnswerPath::System | AnswerPath::Public(_) => None,
        };
        let who = match (path, &voice) {
            (_, Some(voice)) => voice.name.clone(),
            (AnswerPath::Public(name), _) => name.clone(),
            (AnswerPath::Node(node), _) => format!("the node {}", node.0),
            (AnswerPath::System, _) => format!("us{}", certificate(answer)),
        };
        Evidence { voice, saw: format!("{name} is {} for {who}", addresses(answer)), at: at.wall }
    }
}

/// What names resolved to.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameAnswers {
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

impl NameAnswers {
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
    pub fn evaluate(&self, guarded: bool, who: &AnswerSources<'_>, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let needed = context.policy.thresholds.dns_mismatch_names.max(1);
        let mut wrong = Vec::new();
        let mut consistent = 0;
        for name in self.names.keys() {
            match self.decide(name, who, context) {
                Some((NameVerdict::Inconsistent, found)) => wrong.push(found),
                Some((NameVerdict::Consistent, _)) => consistent += 1,
                None => {}
            }
        }
        if wrong.is_empty() && consistent >= needed {
            result.determine(FindingKind::DnsTampering, None);
        }
        if guarded
            && wrong.len() >= needed
            && let Some(draft) = draft(&wrong)
        {
            result.findings.push(draft.finish(context));
        }
        result
    }

    fn standing(&self, name: &str, path: &AnswerPath, context: &JudgeContext<'_>) -> Option<&Record> {
        let record = self.names.get(name)?.get(path)?;
        context.stands(record.1, record.2).then_some(record)
    }

    /// What is decided about one name. "Inconsistent" needs enough sources that agree with each other.
    fn decide(
        &self,
        name: &str,
        who: &AnswerSources<'_>,
        context: &JudgeContext<'_>,
    ) -> Option<(NameVerdict, Wrong)> {
        let system = self.standing(name, &AnswerPath::System, context)?;
        let (ours, since, _) = system;
        let others = self.others(name, context);
        let answers: Vec<Other<'_>> =
            others.iter().map(|(path, (answer, ..))| Other { answer, network: who.network(path) }).collect();
        let comparison = Comparison::new(context.policy, ours, &answers);
        let verdict = comparison.decide(context.policy.thresholds.dns_agreeing_sources)?;
        let mut evidence = vec![who.evidence(name, &AnswerPath::System, system)];
        evidence.extend(others.iter().take(SHOWN).map(|(path, record)| who.evidence(name, path, record)));
        let missing = ours.addresses.is_empty();
        Some((verdict, Wrong { name: name.to_owned(), since: *since, evidence, missing }))
    }

    /// What others got.
    fn others<'a>(&'a self, name: &str, context: &JudgeContext<'_>) -> Vec<(&'a AnswerPath, &'a Record)> {
        let paths = self.names.get(name).into_iter().flatten();
        let standing = |(path, (_, at, epoch)): &(&AnswerPath, &Record)| {
            **path != AnswerPath::System && context.stands(*at, *epoch)
        };
        paths.filter(standing).collect()
    }
}

fn draft<'a>(wrong: &[Wrong]) -> Option<FindingDraft<'a>> {
    let names = wording::list(&wrong.iter().map(|wrong| wrong.name.clone()).collect::<Vec<_>>());
    let fact = if wrong.iter().all(|wrong| wrong.missing) {
        format!("{names} do not resolve, though others are given addresses")
    } else {
        format!("{names} resolve to addresses nobody else is given")
    };
    Some(FindingDraft {
        kind: FindingKind::DnsTampering,
        family: None,
        entity: None,
        severity: Severity::Warning,
        weight: Weight::Statistic,
        fact,
        details: &[],
        advice: "Choose another resolver until you know why.",
        evidence: wrong.iter().flat_map(|wrong| wrong.evidence.iter().cloned()).take(12).collect(),
        since: wrong.iter().map(|wrong| wrong.since).min_by_key(|since| since.boot)?,
    })
}

fn addresses(answer: &ResolvedName) -> String {
    match answer.addresses.as_slice() {
        [] => "nothing".to_owned(),
        all => wording::list(&all.iter().map(|seen| seen.address.to_string()).collect::<Vec<_>>()),
    }
}

fn certificate(answer: &ResolvedName) -> &'static str {
    use sentinel_model::Certificate;
    match &answer.certificate {
        Some(Outcome::Measured(Certificate::WrongName)) => ", where a certificate for another name is shown",
        Some(Outcome::Measured(Certificate::Untrusted)) => ", where a certificate nobody trusts is shown",
        _ => "",
    }
}
