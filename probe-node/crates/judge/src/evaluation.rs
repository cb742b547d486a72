//! The evaluation of every part at one moment, in the order in which they depend on each other.
//!
//! Routes and DNS come before the exits, since they corroborate what a single voice saw.

use crate::{
    context::JudgeContext,
    dns::{AnswerSources, AnswersResult, DnsInputs, DnsResult},
    exit::{ExitTallies, LocalEvidence, Tally, VoiceReport},
    judge::Judge,
    latency::LatencyInputs,
    part_result::{PartResult, Support},
    tunnel::{ApplicationInputs, BlockedTraffic},
};
use sentinel_model::{
    Attributed, Connectivity, Family, FindingKind, IpNet, NetworkKey, NodeId, PerFamily, Severity, Source,
    Voice,
};
use std::net::IpAddr;

impl Judge {
    /// Counts the voices of both families.
    pub(crate) fn tally_voices(&self, context: &JudgeContext<'_>) -> PerFamily<ExitTallies> {
        PerFamily::from_fn(|family| self.tally_family(family, context))
    }

    /// Counts the voices of a family.
    ///
    /// A node of the user's that is the tunnel's far end is reached outside the tunnel, so that it
    /// sees home whether or not anything is wrong: alone with that, it does not count.
    fn tally_family(&self, family: Family, context: &JudgeContext<'_>) -> ExitTallies {
        let mut tallies = self.exits[family].tally(context);
        if let Some(far_end) = self.routes.witness_at_far_end(family, context) {
            tallies.current = remove_far_end(tallies.current, far_end);
            tallies.in_grace = tallies.in_grace.map(|tally| remove_far_end(tally, far_end));
        }
        tallies
    }

    /// Returns true if a family is supposed to be protected.
    ///
    /// That is so if
    /// - the user says so,
    /// - a tunnel is in use,
    /// - or a quorum saw another exit than home in this epoch without one: should home show up
    ///   later, a VPN on the router has died.
    pub(crate) fn is_guarded(&self, family: Family) -> bool {
        self.policy.expects_something()
            || self.routes.expects_tunnel(family, &self.policy)
            || self.exits[family].confirmed_in == Some(self.epoch_state.epoch)
    }

    /// Evaluates every part; returns all results, and half a sentence on the DNS for the verdict.
    pub(crate) fn evaluate_parts(
        &mut self,
        tallies: &PerFamily<ExitTallies>,
        context: &JudgeContext<'_>,
    ) -> (PartResult, Option<String>) {
        let guarded = PerFamily::from_fn(|family| self.is_guarded(family));
        let is_any_guarded = guarded.v4 || guarded.v6;
        let blocked = self.kill_switch.blocked(context);
        let mut result = self.routes.evaluate(&blocked, context);
        let is_protected =
            |family, interface: &str| self.routes.is_protected_uplink(family, interface, context);
        result.merge(self.kill_switch.evaluate(is_protected, context));
        let inputs = ApplicationInputs { routes: &self.routes, blocked: &blocked };
        result.merge(self.applications.evaluate(&inputs, context));
        let dns = self.evaluate_dns(tallies, guarded, &blocked, context);
        result.merge(dns.part);
        let answers = self.evaluate_answers(is_any_guarded, context);
        result.merge(answers.part);
        for (family, tallies) in tallies.as_ref().with_family() {
            let dns_support = dns.support[family].as_ref();
            result.merge(self.evaluate_exit(family, tallies, guarded[family], dns_support, context));
        }
        result.merge(self.evaluate_silence(tallies, is_any_guarded, context));
        let is_online = self
            .connectivity
            .as_ref()
            .is_some_and(|known| matches!(known.value, Connectivity::Online | Connectivity::Routed));
        let is_answered = tallies.iter().any(|tallies| !tallies.current.voices.is_empty());
        result.merge(self.nodes.evaluate(is_online || is_answered, context));
        (result, join_clauses(dns.clause, answers.fake_range))
    }

    /// Evaluates resolvers and interceptions together: both corroborate an exit seen by one voice.
    fn evaluate_dns(
        &mut self,
        tallies: &PerFamily<ExitTallies>,
        guarded: PerFamily<bool>,
        blocked: &BlockedTraffic,
        context: &JudgeContext<'_>,
    ) -> DnsResult {
        let agreed = tallies.iter().filter(|tallies| tallies.has_quorum());
        let exits: Vec<&Attributed> = agreed.filter_map(|tallies| tallies.current.exit()).collect();
        let is_guarded = guarded.v4 || guarded.v6;
        let inputs = DnsInputs { is_guarded, exits: &exits, routes: &self.routes, blocked };
        let mut dns = self.resolvers.evaluate(inputs, context);
        let mut part = PartResult::default();
        for (family, is_guarded) in guarded.with_family() {
            // IPv6 may travel in the tunnel of IPv4, but not the other way round.
            let may_carry = |exit: &&&Attributed| family == Family::V6 || Family::of(exit.address) == family;
            let exits: Vec<&Attributed> = exits.iter().filter(may_carry).copied().collect();
            let intercepted = self.interceptions.evaluate(family, &exits, is_guarded, context);
            let is_critical = |severity| severity == Severity::Critical;
            let critical = intercepted.findings.iter().find(|found| is_critical(found.finding.severity));
            if let Some(critical) = critical {
                dns.support[family].get_or_insert_with(|| Support::from(critical));
            }
            part.merge(intercepted);
        }
        part.merge(dns.part);
        DnsResult { part, ..dns }
    }

    fn evaluate_answers(&self, is_guarded: bool, context: &JudgeContext<'_>) -> AnswersResult {
        let node = |node: &NodeId| -> Option<Voice> {
            self.exits.iter().find_map(|exit| exit.voice_of(node)).cloned()
        };
        let public = |name: &str| self.interceptions.network_of(name);
        let is_mapped_back = self.exits.iter().any(|exit| exit.has_named_voice(context));
        let sources = AnswerSources { node: &node, public: &public, is_mapped_back };
        self.answers.evaluate(is_guarded, &sources, context)
    }

    /// Evaluates one family's exit and round trips, with what the other parts contribute.
    fn evaluate_exit(
        &mut self,
        family: Family,
        tallies: &ExitTallies,
        is_guarded: bool,
        dns_support: Option<&Support>,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let is_tunnelled = is_guarded && self.routes.is_tunnel_up(family, context) == Some(true);
        let far_ends = if is_tunnelled { self.routes.known_far_ends(context) } else { Vec::new() };
        let floor = self.floor.evaluate(family, &far_ends, context);
        let is_closed = self.routes.is_closed(family, context);
        let mut local = LocalEvidence { is_guarded, is_closed, ..LocalEvidence::default() };
        let of_routes = self.routes.support_for(family, context);
        let of_floor = floor.findings.iter().map(Support::from);
        let support = of_routes.into_iter().chain(dns_support.cloned()).chain(of_floor);
        support.for_each(|support| local.add(support));
        let mut result = self.exits[family].evaluate(tallies, &local, context);
        let is_seen = result.contains(FindingKind::ExitExposed, Some(family))
            || result.contains(FindingKind::ExitSuspect, Some(family));
        let is_corroborated = is_seen || !floor.findings.is_empty() || dns_support.is_some();
        let network = self.routes.network_name();
        let inputs = LatencyInputs { network: &network, is_guarded, is_corroborated };
        result.merge(self.targets.evaluate(family, inputs, context));
        result.merge(floor);
        result
    }
}

/// Returns half a sentence on who resolves names, with a proxy that makes up their addresses.
fn join_clauses(resolvers: Option<String>, fake_range: Option<IpNet>) -> Option<String> {
    let Some(range) = fake_range else { return resolvers };
    let proxy = format!("a proxy on this machine gives each name an address of its own in {range}");
    Some(match resolvers {
        Some(resolvers) => format!("{resolvers}, and {proxy}"),
        None => proxy,
    })
}

/// Returns the tally without the node that is the tunnel's far end, where it alone names home.
fn remove_far_end(tally: Tally, far_end: IpAddr) -> Tally {
    let may_be_far_end = |report: &VoiceReport| match report.voice.network {
        NetworkKey::Prefix(network) => network.contains(&far_end),
        NetworkKey::Asn(_) | NetworkKey::Named(_) => true,
    };
    match tally.home.as_slice() {
        [only] if matches!(only.voice.source, Source::Node(_)) && may_be_far_end(only) => {
            Tally::of(tally.voices.into_iter().filter(|report| !report.names_home).collect())
        }
        _ => tally,
    }
}
