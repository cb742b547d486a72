//! Whether names resolve to what others are given for them.
//!
//! Content networks give different answers everywhere, so comparing addresses alone is wrong about
//! seven times in ten (CERTainty, PoPETs 2023). The comparison decides only what it can, in order,
//! and leaves the rest undetermined. IPv4 and IPv6 addresses are compared separately, or a
//! falsified one of either would hide behind the other.

use super::{
    answer_comparison::{AnswerComparison, Consistency, OtherAnswer},
    fake_ip,
};
use crate::{
    bounded::{BoundedMap, LastUsed},
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult},
    wording,
};
use sentinel_model::{
    AnswerPath, AnswersSeen, Certificate, Evidence, FindingKind, IpNet, Moment, Monotonic, NetworkKey,
    NodeId, Outcome, ResolvedName, Severity, Voice, Weight,
};

/// How many names are remembered; a panel has a handful.
const NAMES: usize = 64;
/// How many sources are remembered per name.
const SOURCES: usize = 16;
/// How many other sources are named as evidence for each name.
const SHOWN_SOURCES: usize = 2;
/// How many pieces of evidence a finding has at most.
const EVIDENCE: usize = 12;

/// Looks up who the sources of answers are.
pub(crate) struct AnswerSources<'a> {
    /// Returns the voice of a node, if it was ever asked.
    pub node: &'a dyn Fn(&NodeId) -> Option<Voice>,
    /// Returns the network a public resolver is in, where that is known.
    pub public: &'a dyn Fn(&str) -> Option<NetworkKey>,
    /// Whether a service answered at a reserved address that its name resolved to.
    pub is_mapped_back: bool,
}

/// What the evaluation of all names returns.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswersResult {
    /// The findings and the determined questions.
    pub part: PartResult,
    /// The range from which a proxy on this machine answers every name, if one does.
    pub fake_range: Option<IpNet>,
}

impl AnswerSources<'_> {
    fn network(&self, path: &AnswerPath) -> Option<NetworkKey> {
        match path {
            AnswerPath::System => None,
            AnswerPath::Public(name) => (self.public)(name),
            AnswerPath::Node(node) => (self.node)(node).map(|voice| voice.network),
        }
    }

    /// Returns what one source was given for a name, as evidence.
    fn evidence(&self, name: &str, path: &AnswerPath, answer: &Dated<ResolvedName>) -> Evidence {
        let voice = match path {
            AnswerPath::Node(node) => (self.node)(node),
            AnswerPath::System | AnswerPath::Public(_) => None,
        };
        let source = match (path, &voice) {
            (_, Some(voice)) => voice.name.clone(),
            (AnswerPath::Public(name), _) => name.clone(),
            (AnswerPath::Node(node), _) => format!("the node {}", node.0),
            (AnswerPath::System, _) => format!("us{}", describe_certificate(&answer.value)),
        };
        let saw = format!("{name} is {} for {source}", list_addresses(&answer.value));
        Evidence { voice, saw, at: answer.at.wall }
    }
}

/// The answers for one name, by their source.
#[derive(Clone, Debug, Default)]
struct AnswersOfName(BoundedMap<AnswerPath, Dated<ResolvedName>, SOURCES>);

impl AnswersOfName {
    /// Returns the current answer of the system's resolver.
    fn of_system(&self, context: &JudgeContext<'_>) -> Option<&Dated<ResolvedName>> {
        self.0.get(&AnswerPath::System).filter(|answer| context.is_current(answer))
    }
}

impl LastUsed for AnswersOfName {
    fn last_used(&self) -> Monotonic {
        self.0.values().map(Dated::last_used).max().unwrap_or_default()
    }
}

/// What names resolved to.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameAnswers {
    names: BoundedMap<String, AnswersOfName, NAMES>,
}

/// A name that was compared with what others are given.
struct ComparedName {
    name: String,
    consistency: Consistency,
    since: Moment,
    evidence: Vec<Evidence>,
    /// Whether this machine is given no address at all.
    is_missing: bool,
}

impl NameAnswers {
    /// Records what a name resolved to; a failure changes nothing.
    pub fn record(&mut self, seen: &Dated<&AnswersSeen>) {
        let Outcome::Measured(answer) = &seen.value.answer else { return };
        let answers = self.names.get_or_insert_with(seen.value.name.clone(), AnswersOfName::default);
        answers.0.try_insert(seen.value.path.clone(), seen.with(answer.clone()));
    }

    /// Evaluates all names of the panel together.
    ///
    /// Names that a proxy on this machine answers with addresses of its own are not compared.
    pub fn evaluate(
        &self,
        is_guarded: bool,
        sources: &AnswerSources<'_>,
        context: &JudgeContext<'_>,
    ) -> AnswersResult {
        let mut part = PartResult::default();
        let needed = context.policy.thresholds.dns_mismatch_names.max(1);
        let fake_range = self.find_fake_range(sources.is_mapped_back, context);
        let is_fake = |answers: &AnswersOfName| {
            fake_range.is_some_and(|range| {
                let ours = answers.of_system(context);
                ours.is_some_and(|ours| fake_ip::is_from(&range, &ours.value, context.policy))
            })
        };
        let compared: Vec<ComparedName> = self
            .names
            .iter()
            .filter(|(_, answers)| !is_fake(answers))
            .filter_map(|(name, answers)| compare(name, answers, sources, context))
            .collect();
        let (wrong, right): (Vec<_>, Vec<_>) =
            compared.into_iter().partition(|name| name.consistency == Consistency::Inconsistent);
        if wrong.is_empty() && right.len() >= needed {
            part.determine(FindingKind::DnsTampering, None);
        }
        if is_guarded && wrong.len() >= needed {
            part.findings.extend(draft(&wrong).map(|draft| draft.finish(context)));
        }
        AnswersResult { part, fake_range }
    }

    fn find_fake_range(&self, is_mapped_back: bool, context: &JudgeContext<'_>) -> Option<IpNet> {
        let ours = self.names.iter().filter_map(|(name, answers)| {
            let ours = answers.of_system(context).filter(|ours| !ours.value.addresses.is_empty())?;
            Some((name.as_str(), &ours.value))
        });
        fake_ip::find_range(&ours.collect::<Vec<_>>(), is_mapped_back, context.policy)
    }
}

/// Compares the answers for one name; returns nothing if they decide nothing.
fn compare(
    name: &str,
    answers: &AnswersOfName,
    sources: &AnswerSources<'_>,
    context: &JudgeContext<'_>,
) -> Option<ComparedName> {
    let ours = answers.of_system(context)?;
    let others: Vec<(&AnswerPath, &Dated<ResolvedName>)> = answers
        .0
        .iter()
        .filter(|(path, answer)| **path != AnswerPath::System && context.is_current(answer))
        .collect();
    let other_answers: Vec<OtherAnswer<'_>> = others
        .iter()
        .map(|(path, answer)| OtherAnswer { answer: &answer.value, network: sources.network(path) })
        .collect();
    let comparison = AnswerComparison::new(context.policy, &ours.value, &other_answers);
    let consistency = comparison.decide(context.policy.thresholds.dns_agreeing_sources)?;
    let mut evidence = vec![sources.evidence(name, &AnswerPath::System, ours)];
    let shown = others.iter().take(SHOWN_SOURCES);
    evidence.extend(shown.map(|(path, answer)| sources.evidence(name, path, answer)));
    Some(ComparedName {
        name: name.to_owned(),
        consistency,
        since: ours.at,
        evidence,
        is_missing: ours.value.addresses.is_empty(),
    })
}

fn draft<'a>(wrong: &[ComparedName]) -> Option<FindingDraft<'a>> {
    let names = wording::list(&wrong.iter().map(|wrong| wrong.name.clone()).collect::<Vec<_>>());
    let fact = if wrong.iter().all(|wrong| wrong.is_missing) {
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
        evidence: wrong.iter().flat_map(|wrong| wrong.evidence.iter().cloned()).take(EVIDENCE).collect(),
        since: wrong.iter().map(|wrong| wrong.since).min_by_key(|since| since.boot)?,
    })
}

fn list_addresses(answer: &ResolvedName) -> String {
    match answer.addresses.as_slice() {
        [] => "nothing".to_owned(),
        all => wording::list(&all.iter().map(|seen| seen.address.to_string()).collect::<Vec<_>>()),
    }
}

fn describe_certificate(answer: &ResolvedName) -> &'static str {
    match &answer.certificate {
        Some(Outcome::Measured(Certificate::WrongName)) => ", where a certificate for another name is shown",
        Some(Outcome::Measured(Certificate::Untrusted)) => ", where a certificate nobody trusts is shown",
        _ => "",
    }
}
