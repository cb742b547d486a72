//! Who answers when a public resolver is queried.
//!
//! The same name is queried over several transports, and its authoritative server reports which
//! address it was queried from. An authenticated transport shows the resolver's own; a plain one
//! with an egress address of another operator was answered by an interceptor on the path.

use super::{resolvers::name_resolver, transport_comparison::TransportComparison};
use crate::{
    bounded::{BoundedMap, LastUsed},
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult, own_evidence},
    wording,
};
use sentinel_model::{
    Attributed, DnsTransport, Entity, Epoch, Evidence, Family, FindingKind, InterceptionSeen, Interceptor,
    Moment, Monotonic, NetworkKey, Outcome, PerFamily, Severity, Weight,
};
use std::{collections::BTreeSet, net::IpAddr};

/// How many resolvers are remembered; a handful is asked.
const RESOLVERS: usize = 32;
/// How many rounds in a row must be suspicious, unless home's operator answers.
///
/// One duplicated packet or one wrong ownership look-up proves nothing, however many resolvers it
/// concerns.
const SUSPICIOUS_ROUNDS: u32 = 2;
/// How many pieces of evidence a finding has at most.
const EVIDENCE: usize = 12;

/// A resolver, by its name in the configuration and its address.
type ResolverKey = (String, IpAddr);

/// The last comparable test of one resolver.
#[derive(Clone, Debug)]
struct ResolverTest {
    seen: Dated<InterceptionSeen>,
    is_suspicious: bool,
    /// Since when tests have had this result without a break.
    since: Moment,
}

impl LastUsed for ResolverTest {
    fn last_used(&self) -> Monotonic {
        self.seen.last_used()
    }
}

/// The rounds in a row in which any resolver of a family was suspicious.
///
/// A round begins when a resolver is tested again.
#[derive(Clone, Debug, Default)]
struct RoundCounter {
    epoch: Epoch,
    tested: BTreeSet<ResolverKey>,
    is_suspicious: bool,
    suspicious_before: u32,
}

impl RoundCounter {
    fn record(&mut self, key: ResolverKey, is_suspicious: bool, epoch: Epoch) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        } else if self.tested.contains(&key) {
            let suspicious_before =
                if self.is_suspicious { self.suspicious_before.saturating_add(1) } else { 0 };
            *self = Self { epoch, suspicious_before, ..Self::default() };
        }
        self.is_suspicious |= is_suspicious;
        if self.tested.len() < RESOLVERS {
            self.tested.insert(key);
        }
    }

    /// Returns how many rounds in a row were suspicious, the current one included.
    fn in_a_row(&self, epoch: Epoch) -> u32 {
        if self.epoch == epoch {
            self.suspicious_before.saturating_add(u32::from(self.is_suspicious))
        } else {
            0
        }
    }
}

/// The tests of public resolvers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interceptions {
    tests: BoundedMap<ResolverKey, ResolverTest, RESOLVERS>,
    rounds: PerFamily<RoundCounter>,
    /// The exits a quorum last agreed on, and the epoch of the agreement.
    exits: PerFamily<(Vec<Attributed>, Epoch)>,
}

/// A resolver for which an interceptor may answer.
struct SuspiciousResolver<'a> {
    interceptor: Interceptor,
    test: &'a ResolverTest,
    /// The egress address that identifies the interceptor, if one was seen.
    egress: Option<&'a Attributed>,
    comparison: &'a TransportComparison,
}

impl Interceptions {
    /// Records one resolver's test; one without anything to compare changes nothing.
    pub fn record(&mut self, seen: &Dated<&InterceptionSeen>, context: &JudgeContext<'_>) {
        let comparison = TransportComparison::of(seen.value, context);
        if !comparison.is_comparable {
            return;
        }
        let key = (seen.value.resolver.clone(), seen.value.address.address);
        let is_suspicious = comparison.is_suspicious();
        let unbroken = self
            .tests
            .get(&key)
            .filter(|before| is_suspicious && before.is_suspicious && before.seen.epoch == seen.epoch);
        let since = unbroken.map_or(seen.at, |before| before.since);
        self.rounds[Family::of(key.1)].record(key.clone(), is_suspicious, seen.epoch);
        self.tests.insert(key, ResolverTest { seen: seen.cloned(), is_suspicious, since });
    }

    /// Returns the network of a public resolver, by its name in the configuration, where its
    /// operator is known.
    pub fn network_of(&self, resolver: &str) -> Option<NetworkKey> {
        let (_, test) = self.tests.iter().find(|((name, _), _)| name == resolver)?;
        let address = &test.seen.value.address;
        address.owner.as_ref().map(|_| address.network())
    }

    /// Returns the exits that identify the VPN provider.
    ///
    /// While the voices disagree or have yet to answer, those of before count in the same epoch.
    fn remember_exits(&mut self, family: Family, agreed: &[&Attributed], epoch: Epoch) -> Vec<Attributed> {
        let remembered = &mut self.exits[family];
        if !agreed.is_empty() {
            *remembered = (agreed.iter().map(|exit| (*exit).clone()).collect(), epoch);
        }
        let (exits, of_epoch) = remembered;
        if *of_epoch == epoch { exits.clone() } else { Vec::new() }
    }

    /// Evaluates one family; `agreed_exits` are the exits that are not home.
    pub fn evaluate(
        &mut self,
        family: Family,
        agreed_exits: &[&Attributed],
        is_guarded: bool,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        let exits = self.remember_exits(family, agreed_exits, context.epoch);
        let rounds = self.rounds[family].in_a_row(context.epoch);
        let tests: Vec<(&ResolverTest, TransportComparison)> = self
            .tests
            .values()
            .filter(|test| Family::of(test.seen.value.address.address) == family)
            .filter(|test| context.is_current(&test.seen))
            .map(|test| (test, TransportComparison::of(&test.seen.value, context)))
            .collect();
        let suspicious: Vec<SuspiciousResolver<'_>> = tests
            .iter()
            .filter(|(_, comparison)| comparison.is_suspicious())
            .map(|(test, comparison)| SuspiciousResolver::identify(test, comparison, &exits, context))
            .collect();
        // Without an exit it is undetermined whether a stranger is the VPN provider.
        let may_be_provider = |resolver: &SuspiciousResolver<'_>| {
            exits.is_empty() && resolver.interceptor == Interceptor::Stranger && resolver.egress.is_some()
        };
        let is_unsure = suspicious.iter().any(may_be_provider);
        for interceptor in Interceptor::ALL {
            let identified: Vec<&SuspiciousResolver<'_>> = suspicious
                .iter()
                .filter(|resolver| resolver.interceptor == interceptor && !may_be_provider(resolver))
                .collect();
            let is_undetermined = is_unsure && interceptor != Interceptor::Home;
            if identified.is_empty() && !tests.is_empty() && !is_undetermined {
                let entity = Entity::Interceptor(interceptor);
                result.determine_entity(FindingKind::DnsInterception, Some(family), entity);
            }
            let is_enough = interceptor == Interceptor::Home || rounds >= SUSPICIOUS_ROUNDS;
            if is_guarded && is_enough {
                let draft = draft(interceptor, family, &identified);
                result.findings.extend(draft.map(|draft| draft.finish(context)));
            }
        }
        result
    }
}

impl<'a> SuspiciousResolver<'a> {
    /// Identifies who answered: home's operator, the exit's, or a stranger.
    fn identify(
        test: &'a ResolverTest,
        comparison: &'a TransportComparison,
        exits: &[Attributed],
        context: &JudgeContext<'_>,
    ) -> Self {
        let home = &context.policy.home;
        let seen = || comparison.strangers.iter().chain(&comparison.conflicting).map(|(_, egress)| egress);
        let of_home = seen().find(|egress| home.contains_resolver(egress));
        let is_of_exit = |egress: &Attributed| exits.iter().any(|exit| exit.same_operator(egress));
        let are_all_of_exit =
            comparison.conflicting.is_empty() && seen().next().is_some() && seen().all(is_of_exit);
        // Where the user lets the resolver be reached outside the tunnel, home's operator is no
        // worse than anybody else on the path.
        let is_excluded = context.policy.expectation.excludes(test.seen.value.address.address);
        let interceptor = match of_home {
            Some(_) if !is_excluded => Interceptor::Home,
            None if are_all_of_exit => Interceptor::Exit,
            _ => Interceptor::Stranger,
        };
        Self { interceptor, test, egress: of_home.or_else(|| seen().next()), comparison }
    }

    /// Returns `Quad9 asked over UDP is answered by 198.51.100.53 (Example ISP)`.
    fn fact(&self) -> String {
        let resolver = &self.test.seen.value.resolver;
        let TransportComparison { strangers, conflicting, doubled, .. } = self.comparison;
        match (self.egress, conflicting.is_empty()) {
            (Some(egress), true) => {
                let transports = list_transports(strangers.iter().map(|(transport, _)| *transport));
                format!("{resolver} asked over {transports} is answered by {}", name_resolver(egress))
            }
            (Some(_), false) => {
                let answers: Vec<String> = conflicting
                    .iter()
                    .map(|(transport, egress)| format!("{} over {transport}", name_resolver(egress)))
                    .collect();
                format!("{resolver} is answered by {}, which cannot both be it", wording::list(&answers))
            }
            (None, _) => {
                let transports = list_transports(doubled.iter().copied());
                format!("{resolver} asked over {transports} gives two different answers")
            }
        }
    }

    /// Returns who answered over each transport.
    fn evidence(&self) -> Vec<Evidence> {
        let InterceptionSeen { resolver, transports, .. } = &self.test.seen.value;
        let evidence = transports.iter().filter_map(|seen| {
            let answered_by = match &seen.egress_addresses {
                Outcome::Measured(egress) => {
                    wording::list(&egress.iter().map(name_resolver).collect::<Vec<_>>())
                }
                Outcome::Unknown(_) if seen.second_answer => "nobody who is known".to_owned(),
                Outcome::Unknown(_) => return None,
            };
            let second = if seen.second_answer { ", with a second answer" } else { "" };
            let saw = format!("{resolver} over {}: {answered_by}{second}", seen.transport);
            Some(own_evidence(saw, self.test.seen.at))
        });
        evidence.collect()
    }
}

/// Returns `UDP and TCP`, or `UDP only`.
fn list_transports(transports: impl Iterator<Item = DnsTransport>) -> String {
    let all: BTreeSet<DnsTransport> = transports.collect();
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [only] => format!("{only} only"),
        several => wording::list(several),
    }
}

fn draft<'a>(
    interceptor: Interceptor,
    family: Family,
    resolvers: &[&SuspiciousResolver<'_>],
) -> Option<FindingDraft<'a>> {
    // Who answers says more than that there were two answers.
    let first = resolvers.iter().find(|resolver| resolver.egress.is_some()).or(resolvers.first())?;
    let (severity, weight, advice) = match interceptor {
        Interceptor::Home => {
            (Severity::Critical, Weight::Proof, "Reconnect the VPN, or use a resolver over HTTPS or TLS.")
        }
        Interceptor::Stranger => (
            Severity::Warning,
            Weight::Statistic,
            "Use a resolver over HTTPS or TLS until you know who it is.",
        ),
        Interceptor::Exit => {
            (Severity::Information, Weight::Proof, "Nothing to do: VPN providers do that on purpose.")
        }
    };
    Some(FindingDraft {
        kind: FindingKind::DnsInterception,
        family: Some(family),
        entity: Some(Entity::Interceptor(interceptor)),
        severity,
        weight,
        fact: first.fact(),
        details: &[],
        advice,
        evidence: resolvers.iter().flat_map(|resolver| resolver.evidence()).take(EVIDENCE).collect(),
        since: resolvers.iter().map(|resolver| resolver.test.since).min_by_key(|since| since.boot)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ResolverKey {
        (name.to_owned(), IpAddr::from([9, 9, 9, 9]))
    }

    #[test]
    fn rounds_are_counted_in_a_row_and_within_one_epoch() {
        let mut rounds = RoundCounter::default();
        let epoch = Epoch(1);
        for (name, is_suspicious, expected) in [
            ("a", true, 1),
            ("b", false, 1),
            ("a", false, 1),
            ("b", true, 2),
            ("a", false, 2),
            ("a", false, 0),
        ] {
            rounds.record(key(name), is_suspicious, epoch);
            assert_eq!(rounds.in_a_row(epoch), expected, "{name}");
        }
        rounds.record(key("a"), true, epoch);
        assert_eq!(rounds.in_a_row(Epoch(2)), 0);
    }

    #[test]
    fn a_single_transport_is_named_as_the_only_one() {
        let list = |all: &[DnsTransport]| list_transports(all.iter().copied());
        assert_eq!(list(&[DnsTransport::Udp, DnsTransport::Udp]), "UDP only");
        assert_eq!(list(&[DnsTransport::Tcp, DnsTransport::Udp]), "UDP and TCP");
    }
}
