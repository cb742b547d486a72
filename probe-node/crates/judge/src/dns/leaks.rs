//! Whether names are resolved outside the tunnel, or by a resolver the user does not expect.

use super::resolvers::{ResolverEgress, Resolvers, name_resolver};
use crate::{
    context::JudgeContext,
    part_result::{FindingDraft, PartResult, ReportedFinding, Support, own_evidence},
    tunnel::{BlockedTraffic, PathLocation, ResolverPathSeen, RouteTable, describe_route},
};
use sentinel_model::{
    Attributed, ConfiguredResolver, Evidence, Family, FindingKind, Moment, PerFamily, Severity, Weight,
};
use std::net::IpAddr;

/// What the evaluation of the resolvers depends on besides their own memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DnsInputs<'a> {
    /// Whether names are supposed to stay inside a tunnel.
    pub is_guarded: bool,
    /// The exits of both families that a quorum agrees on.
    pub exits: &'a [&'a Attributed],
    /// Where packets leave.
    pub routes: &'a RouteTable,
    /// What a kill switch blocks, whatever the routes say.
    pub blocked: &'a BlockedTraffic,
}

/// What the resolvers' evaluation returns.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsResult {
    /// The findings and the determined questions.
    pub part: PartResult,
    /// What corroborates an exit that one voice alone saw.
    pub support: PerFamily<Option<Support>>,
    /// Half a sentence for the verdict: `names are resolved inside the tunnel`.
    pub clause: Option<String>,
}

/// One sign that names leave the tunnel.
struct Leak {
    fact: String,
    family: Family,
    evidence: Evidence,
    since: Moment,
}

impl Resolvers {
    /// Evaluates which resolvers are used.
    pub fn evaluate(&self, inputs: DnsInputs<'_>, context: &JudgeContext<'_>) -> DnsResult {
        let mut result = DnsResult::default();
        let egress = self.egress_addresses(context);
        // Where names demonstrably resolve, no kill switch blocks the queries.
        let blocked = if egress.is_none() { inputs.blocked.clone() } else { BlockedTraffic::default() };
        let mut leaks = self.find_home_resolvers(inputs.exits, context);
        // A client sets routes before resolvers: the configuration means nothing while the tunnel
        // is coming up.
        let is_settling = self
            .ordinary_resolvers()
            .any(|resolver| inputs.routes.is_settling(Family::of(resolver.address), context));
        let outside = self.find_outside_tunnel(inputs.routes, &blocked, context);
        let is_pending = is_settling && !outside.is_empty();
        leaks.extend(outside.into_iter().filter(|_| !is_settling));
        if leaks.is_empty() && !is_pending && self.is_determined(egress.as_deref(), inputs.routes, context) {
            result.part.determine(FindingKind::DnsLeak, None);
            result.part.determine(FindingKind::DnsForeignResolver, None);
        }
        result.clause = self.clause(egress.as_deref(), inputs, context);
        if !inputs.is_guarded {
            return result;
        }
        for leak in &leaks {
            result.support[leak.family].get_or_insert_with(|| Support {
                sentence: format!("{}.", leak.fact),
                evidence: vec![leak.evidence.clone()],
            });
        }
        let finding = report_leaks(&leaks, inputs.routes, context)
            .or_else(|| self.find_foreign(egress.as_deref(), inputs.exits, context));
        result.part.findings.extend(finding);
        result
    }

    /// Returns the resolvers of home that queried authoritative servers on behalf of applications.
    fn find_home_resolvers(&self, exits: &[&Attributed], context: &JudgeContext<'_>) -> Vec<Leak> {
        let home = &context.policy.home;
        let is_excluded = |resolver: &Attributed| context.policy.expectation.excludes(resolver.address);
        let is_home_by_operator_alone =
            |resolver: &Attributed| !home.contains(resolver) && !home.resolvers.contains(&resolver.address);
        // A VPN provider that also operates the home line resolves names for its own exit.
        let is_of_exit = |resolver: &Attributed| {
            is_home_by_operator_alone(resolver) && exits.iter().any(|exit| exit.same_operator(resolver))
        };
        // Where the VPN leads home on purpose, the resolvers there belong to the exit.
        if exits.iter().any(|exit| home.contains(exit)) {
            return Vec::new();
        }
        let is_of_home = |resolver: &&Attributed| {
            home.contains_resolver(resolver) && !is_excluded(resolver) && !is_of_exit(resolver)
        };
        let mut leaks = Vec::new();
        for (_, zone, report, seen) in self.current_reports(context) {
            for resolver in seen.value.iter().filter(is_of_home) {
                let egress = ResolverEgress { address: resolver.clone(), zone: zone.clone(), at: seen.at };
                leaks.push(Leak {
                    fact: format!("Names are answered by {}", name_resolver(resolver)),
                    family: Family::of(resolver.address),
                    evidence: egress.evidence(),
                    since: report.home_since.unwrap_or(seen.at),
                });
            }
        }
        leaks
    }

    /// Returns the configured resolvers that belong to home or are reached outside the tunnel.
    fn find_outside_tunnel(
        &self,
        routes: &RouteTable,
        blocked: &BlockedTraffic,
        context: &JudgeContext<'_>,
    ) -> Vec<Leak> {
        let current = self.configured.as_ref().filter(|configured| configured.epoch == context.epoch);
        let Some(at) = current.map(|configured| configured.at) else { return Vec::new() };
        let expectation = &context.policy.expectation;
        let mut leaks = Vec::new();
        for resolver in self.ordinary_resolvers().filter(|resolver| !expectation.excludes(resolver.address)) {
            let (address, family) = (resolver.address, Family::of(resolver.address));
            let path = routes.resolver_path(resolver, context);
            let location = path.as_ref().map(|path| path.location);
            let is_blocked = match &path {
                Some(path) if path.location == PathLocation::Outside => {
                    blocked.blocks(family, &path.interface)
                }
                _ => blocked.blocks_all(family) && location != Some(PathLocation::Inside),
            };
            if is_blocked {
                continue;
            }
            let leak = |fact, saw: String| Leak { fact, family, evidence: own_evidence(saw, at), since: at };
            if context.policy.home.contains_resolver(&Attributed::bare(address)) {
                let fact = format!("Names are asked of {address} (home line)");
                leaks.push(leak(fact, format!("the system is configured to use {address}")));
            }
            let is_expected = expectation.resolvers.contains(&address.to_canonical());
            if routes.expects_tunnel(family, context.policy)
                && !is_expected
                && let Some(path) = path.filter(|path| path.location == PathLocation::Outside)
            {
                let fact = format!("Names are asked of {address} by way of {}", path.interface);
                leaks.push(leak(fact, describe_route(address, &path.interface)));
            }
        }
        leaks
    }

    /// Returns true if the absence of leaks means that there are none.
    ///
    /// Where home is known, an authoritative server must have reported the egress address; else the
    /// kernel's report on the routes to the resolvers is all there is.
    fn is_determined(
        &self,
        egress: Option<&[ResolverEgress]>,
        routes: &RouteTable,
        context: &JudgeContext<'_>,
    ) -> bool {
        let home = &context.policy.home;
        if !home.is_unknown() || !home.resolvers.is_empty() {
            return egress.is_some();
        }
        if self.configured.as_ref().is_none_or(|configured| configured.epoch != context.epoch) {
            return false;
        }
        let mut resolvers = self.ordinary_resolvers().peekable();
        resolvers.peek().is_some()
            && resolvers.all(|resolver| routes.resolver_path(resolver, context).is_some())
    }

    /// A resolver that the user does not expect; where none is stated, one that is not of the
    /// exit's operator.
    fn find_foreign(
        &self,
        egress: Option<&[ResolverEgress]>,
        exits: &[&Attributed],
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let is_stated = !context.policy.expectation.resolvers.is_empty();
        let is_foreign = |egress: &&ResolverEgress| {
            if is_stated {
                return !self.is_expected(&egress.address, context);
            }
            !exits.is_empty() && !exits.iter().any(|exit| exit.same_operator(&egress.address))
        };
        let egress = egress?.iter().find(is_foreign)?;
        let contradiction = if is_stated { ", which is not a resolver you expect" } else { "" };
        let draft = FindingDraft {
            kind: FindingKind::DnsForeignResolver,
            family: None,
            entity: None,
            severity: if is_stated { Severity::Warning } else { Severity::Information },
            weight: Weight::Proof,
            fact: format!("Names are resolved by {}{contradiction}", name_resolver(&egress.address)),
            details: &[],
            advice: "Nothing to do if you chose this resolver.",
            evidence: vec![egress.evidence()],
            since: egress.at,
        };
        Some(draft.finish(context))
    }

    /// Returns true if the user expects the resolver behind an egress address.
    ///
    /// That is so if
    /// - every server the system asks is listed, since a server's egress address is another than
    ///   its own; a forwarder on this machine counts only if it is listed itself;
    /// - or the egress address is of the same operator as a listed one.
    fn is_expected(&self, egress: &Attributed, context: &JudgeContext<'_>) -> bool {
        let expected = &context.policy.expectation.resolvers;
        let is_listed = |resolver: &ConfiguredResolver| expected.contains(&resolver.address.to_canonical());
        let mut asked = self
            .ordinary_resolvers()
            .filter(|resolver| is_listed(resolver) || !resolver.address.is_loopback())
            .peekable();
        let are_all_listed = asked.peek().is_some() && asked.all(is_listed);
        let seen =
            || self.reports.values().filter_map(|report| report.seen.as_ref()).flat_map(|seen| &seen.value);
        let with_owner = |address: &IpAddr| {
            seen().find(|seen| seen.address == *address).cloned().unwrap_or(Attributed::bare(*address))
        };
        are_all_listed || expected.iter().any(|address| with_owner(address).same_operator(egress))
    }

    /// Returns who resolves names, as half a sentence for the verdict.
    ///
    /// It speaks of the tunnel only where there is one, and the queries are known to travel in it
    /// or its exit's operator is who asks.
    fn clause(
        &self,
        egress: Option<&[ResolverEgress]>,
        inputs: DnsInputs<'_>,
        context: &JudgeContext<'_>,
    ) -> Option<String> {
        let resolver = &egress?.first()?.address;
        let routes = inputs.routes;
        let name = name_resolver(resolver);
        let has_tunnel = Family::ALL.into_iter().any(|family| routes.expects_tunnel(family, context.policy));
        if !has_tunnel {
            return Some(format!("names are resolved by {name}"));
        }
        let remote: Vec<_> = self.remote_paths(routes, context).collect();
        let is_of_exit = inputs.exits.iter().any(|exit| exit.same_operator(resolver));
        let is_inside = |path: &Option<ResolverPathSeen>| {
            path.as_ref().is_some_and(|path| path.location == PathLocation::Inside)
        };
        let elsewhere = remote.iter().flatten().find(|path| path.location != PathLocation::Inside);
        Some(match elsewhere {
            Some(path) => format!("names are resolved by {name}, by way of {}", path.interface),
            None if is_of_exit => "names are resolved inside the tunnel".to_owned(),
            None if !remote.is_empty() && remote.iter().all(is_inside) => {
                format!("names are resolved through the tunnel by {name}")
            }
            None => format!("names are resolved by {name}"),
        })
    }

    /// Returns the paths to the resolvers that get ordinary look-ups, without forwarders on this
    /// machine; `None` for those whose path is not known.
    fn remote_paths(
        &self,
        routes: &RouteTable,
        context: &JudgeContext<'_>,
    ) -> impl Iterator<Item = Option<ResolverPathSeen>> {
        let paths = self.ordinary_resolvers().map(|resolver| routes.resolver_path(resolver, context));
        paths.filter(|path| path.as_ref().is_none_or(|path| path.location != PathLocation::OwnMachine))
    }
}

/// Returns one finding for all signs of a leak, named after the first.
fn report_leaks(leaks: &[Leak], routes: &RouteTable, context: &JudgeContext<'_>) -> Option<ReportedFinding> {
    let first = leaks.first()?;
    let tunnel = routes.tunnel_name(Family::V4, context.policy);
    let instead = tunnel.map(|tunnel| format!(" instead of inside {tunnel}")).unwrap_or_default();
    let draft = FindingDraft {
        kind: FindingKind::DnsLeak,
        family: None,
        entity: None,
        severity: Severity::Critical,
        weight: Weight::Proof,
        fact: format!("{}{instead}", first.fact),
        details: &[],
        advice: "Check the DNS setting of your VPN.",
        evidence: leaks.iter().map(|leak| leak.evidence.clone()).collect(),
        since: leaks.iter().map(|leak| leak.since).min_by_key(|since| since.boot).unwrap_or(first.since),
    };
    Some(draft.finish(context))
}
