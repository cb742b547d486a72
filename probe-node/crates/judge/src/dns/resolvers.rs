//! Who resolves our names: what authoritative servers saw, what the system is configured to use, and which way the
//! questions leave.

use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult, Support},
    tunnel::{BlockedTraffic, RouteTable},
};
use sentinel_model::{
    Attributed, ConfiguredResolver, DnsView, Epoch, Evidence, Family, FindingKind, InterfaceKind, Moment,
    Outcome, Reason, ResolverPath, ResolverSeen, ResolverView, Severity, Timestamp, Weight,
};
use std::{collections::BTreeMap, net::IpAddr};

/// How many (resolver, zone) pairs are remembered; far above what a round asks.
const PAIRS: usize = 64;

#[derive(Clone, Debug)]
struct Record {
    seen: Option<(Vec<Attributed>, Moment, Epoch)>,
    /// Since when a resolver of home has been among them, without a break.
    home_since: Option<Moment>,
    failure: Option<Reason>,
    at: Moment,
}

/// What is known about the resolvers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolvers {
    records: BTreeMap<(ResolverPath, String), Record>,
    configured: Option<(Outcome<Vec<ConfiguredResolver>>, Moment, Epoch)>,
    shown: Option<(Vec<Attributed>, Timestamp)>,
}

/// What speaks for names leaving the tunnel.
struct Leak {
    fact: String,
    family: Family,
    evidence: Evidence,
    since: Moment,
}

/// Who asked an authoritative server on our behalf.
struct ResolverEgress {
    resolver: Attributed,
    zone: String,
    at: Moment,
}

impl ResolverEgress {
    fn evidence(&self) -> Evidence {
        let saw = format!("{} was asked by {}", self.zone, self.resolver);
        Evidence { voice: None, saw, at: self.at.wall }
    }
}

/// What the DNS is judged under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DnsInputs<'a> {
    /// Names are supposed to stay in a tunnel.
    pub guarded: bool,
    /// What a kill switch keeps back, whichever way the routes point.
    pub held: &'a BlockedTraffic,
}

/// What the DNS says besides its result.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsReading {
    /// For each family, what corroborates an exit seen by one voice.
    pub corroborates: BTreeMap<Family, Support>,
    /// Half a sentence for the verdict: `names are resolved inside the tunnel`.
    pub clause: Option<String>,
}

impl Resolvers {
    /// Takes in what an authoritative server reported.
    pub fn observe(&mut self, seen: &ResolverSeen, at: Moment, epoch: Epoch, context: &JudgeContext<'_>) {
        let key = (seen.path.clone(), seen.zone.clone());
        let before = self.records.remove(&key);
        let record = match (&seen.resolvers, before) {
            (Outcome::Measured(resolvers), before) => {
                let home = &context.policy.home;
                let names_home = resolvers.iter().any(|resolver| home.contains_resolver(resolver));
                let earlier = before
                    .filter(|record| record.seen.as_ref().is_some_and(|(_, _, seen_in)| *seen_in == epoch))
                    .and_then(|record| record.home_since);
                Record {
                    seen: Some((resolvers.clone(), at, epoch)),
                    home_since: names_home.then(|| earlier.unwrap_or(at)),
                    failure: None,
                    at,
                }
            }
            (Outcome::Unknown(reason), Some(record)) => {
                Record { failure: Some(reason.clone()), at, ..record }
            }
            (Outcome::Unknown(reason), None) => {
                Record { seen: None, home_since: None, failure: Some(reason.clone()), at }
            }
        };
        self.records.insert(key, record);
        while self.records.len() > PAIRS {
            let oldest =
                self.records.iter().min_by_key(|(_, record)| record.at.boot).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.records.remove(&key);
        }
    }

    /// Takes in what the system is configured to use.
    pub fn configure(&mut self, configured: &Outcome<Vec<ConfiguredResolver>>, at: Moment, epoch: Epoch) {
        self.configured = Some((configured.clone(), at, epoch));
    }

    /// Rules on who resolves our names.
    pub fn evaluate(
        &self,
        paths: &RouteTable,
        exits: &[&Attributed],
        inputs: DnsInputs<'_>,
        context: &JudgeContext<'_>,
    ) -> (PartResult, DnsReading) {
        let mut result = PartResult::default();
        let mut reading = DnsReading::default();
        let identity = self.identity(context);
        // Where names demonstrably resolve, no kill switch keeps the questions back.
        let held = inputs.held.clone();
        let held = if identity.is_none() { held } else { BlockedTraffic::default() };
        let mut leaks = self.answered(exits, context);
        // A client sets routes before resolvers: what is merely configured while the tunnel comes up says nothing yet.
        let settling = self.asked().any(|asked| paths.is_settling(Family::of(asked.address), context));
        let outside = self.outside(paths, &held, context);
        let pending = settling && !outside.is_empty();
        leaks.extend(outside.into_iter().filter(|_| !settling));
        if leaks.is_empty() && !pending && self.is_determined(identity.as_deref(), paths, context) {
            result.determine(FindingKind::DnsLeak, None);
            result.determine(FindingKind::DnsForeignResolver, None);
        }
        reading.clause = self.clause(identity.as_deref(), exits, paths, context);
        if !inputs.guarded {
            return (result, reading);
        }
        if let Some(first) = leaks.first() {
            for leak in &leaks {
                reading.corroborates.entry(leak.family).or_insert_with(|| Support {
                    sentence: format!("{}.", leak.fact),
                    evidence: vec![leak.evidence.clone()],
                });
            }
            let since =
                leaks.iter().map(|leak| leak.since).min_by_key(|since| since.boot).unwrap_or(first.since);
            let tunnel = paths.name(Family::V4, context.policy);
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
                since,
            };
            result.findings.push(draft.finish(context));
        } else if let Some(draft) = self.foreign(identity.as_deref(), exits, context) {
            result.findings.push(draft.finish(context));
        }
        (result, reading)
    }

    /// Resolvers of home that answered for us: through the system's resolver, or one it is configured to use.
    fn answered(&self, exits: &[&Attributed], context: &JudgeContext<'_>) -> Vec<Leak> {
        let home = &context.policy.home;
        let mut leaks = Vec::new();
        for ((path, zone), record) in &self.records {
            let Some((resolvers, at, epoch)) = &record.seen else { continue };
            if !context.stands(*at, *epoch) || !self.counts(path) {
                continue;
            }
            let excluded = |resolver: &Attributed| context.policy.expectation.excludes(resolver.address);
            // A provider that is the home line's operator too resolves for its own exit.
            let by_operator_alone = |resolver: &Attributed| {
                !home.contains(resolver) && !home.resolvers.contains(&resolver.address)
            };
            let of_exit = |resolver: &Attributed| {
                by_operator_alone(resolver) && exits.iter().any(|exit| exit.same_operator(resolver))
            };
            let of_home = |resolver: &&Attributed| {
                home.contains_resolver(resolver) && !excluded(resolver) && !of_exit(resolver)
            };
            for resolver in resolvers.iter().filter(of_home) {
                leaks.push(Leak {
                    fact: format!("Names are answered by {}", resolver_name(resolver)),
                    family: Family::of(resolver.address),
                    evidence: Evidence {
                        voice: None,
                        saw: format!("{zone} was asked by {resolver}"),
                        at: at.wall,
                    },
                    since: record.home_since.unwrap_or(*at),
                });
            }
        }
        leaks
    }

    /// The resolvers that get ordinary look-ups, where they belong to home or are reached past the tunnel. Not those
    /// that are asked when others fail, nor those that are asked for the names of a single link.
    fn outside(&self, paths: &RouteTable, held: &BlockedTraffic, context: &JudgeContext<'_>) -> Vec<Leak> {
        let Some((Outcome::Measured(configured), at, epoch)) = &self.configured else { return Vec::new() };
        if *epoch != context.epoch {
            return Vec::new();
        }
        let excluded = |address| context.policy.expectation.excludes(address);
        let mut leaks = Vec::new();
        for resolver in asked_of(configured).filter(|resolver| !excluded(resolver.address)) {
            let (address, family) = (resolver.address, Family::of(resolver.address));
            let leak = |fact: String, saw: String| Leak {
                fact,
                family,
                evidence: Evidence { voice: None, saw, at: at.wall },
                since: *at,
            };
            let interface = paths.past_tunnel(resolver, context);
            let kept = match interface {
                Some(interface) => held.holds(family, interface),
                None => held.holds_all(family) && !paths.by_tunnel(resolver, context),
            };
            if kept {
                continue;
            }
            if context.policy.home.contains_resolver(&Attributed::bare(address)) {
                let fact = format!("Names are asked of {address} (home line)");
                leaks.push(leak(fact, format!("the system is configured to use {address}")));
            }
            let listed = context.policy.expectation.resolvers.contains(&address.to_canonical());
            if paths.expected(family, context.policy)
                && !listed
                && let Some(interface) = interface
            {
                let fact = format!("Names are asked of {address} by way of {interface}");
                leaks.push(leak(fact, format!("the way to {address} leaves by {interface}")));
            }
        }
        leaks
    }

    /// The resolvers that get ordinary look-ups.
    fn asked(&self) -> impl Iterator<Item = &ConfiguredResolver> {
        let configured = match &self.configured {
            Some((Outcome::Measured(configured), ..)) => configured.as_slice(),
            _ => &[],
        };
        asked_of(configured)
    }

    /// Whether all that get ordinary look-ups, but for a forwarder on this machine, are asked through a tunnel.
    fn by_tunnel(&self, paths: &RouteTable, context: &JudgeContext<'_>) -> bool {
        let ways = self.asked().map(|resolver| paths.to_resolver(resolver, context));
        let kinds = ways.map(|way| way.map(|(_, kind)| kind));
        let mut beyond = kinds.filter(|kind| *kind != Some(InterfaceKind::Loopback)).peekable();
        beyond.peek().is_some() && beyond.all(|kind| kind == Some(InterfaceKind::Tunnel))
    }

    /// Whether an answer that came this way is an answer applications get.
    fn counts(&self, path: &ResolverPath) -> bool {
        match path {
            ResolverPath::System => true,
            ResolverPath::Gateway(_) | ResolverPath::Dhcp(_) => false,
            ResolverPath::Configured(address) => self.asked().any(|asked| asked.address == *address),
        }
    }

    /// Who an authoritative server saw asking on behalf of applications, in this epoch.
    fn identity(&self, context: &JudgeContext<'_>) -> Option<Vec<ResolverEgress>> {
        let mut seen: Vec<ResolverEgress> = Vec::new();
        let mut measured = false;
        for ((path, zone), record) in &self.records {
            let Some((resolvers, at, epoch)) = &record.seen else { continue };
            if !context.stands(*at, *epoch) || !self.counts(path) {
                continue;
            }
            measured |= *path == ResolverPath::System && !resolvers.is_empty();
            for resolver in resolvers {
                if !seen.iter().any(|known| known.resolver == *resolver) {
                    seen.push(ResolverEgress { resolver: resolver.clone(), zone: zone.clone(), at: *at });
                }
            }
        }
        measured.then_some(seen)
    }

    /// Whether "no leak" would mean that there is none. With home known, somebody outside must have seen who asks; else
    /// the kernel's word on the way to the resolver is all there can be.
    fn is_determined(
        &self,
        identity: Option<&[ResolverEgress]>,
        paths: &RouteTable,
        context: &JudgeContext<'_>,
    ) -> bool {
        let home = &context.policy.home;
        if !home.is_unknown() || !home.resolvers.is_empty() {
            return identity.is_some();
        }
        match &self.configured {
            Some((Outcome::Measured(configured), _, epoch)) if *epoch == context.epoch => {
                let mut asked = asked_of(configured).peekable();
                asked.peek().is_some() && asked.all(|resolver| paths.to_resolver(resolver, context).is_some())
            }
            _ => false,
        }
    }

    /// A resolver that is neither home's nor of the exit's operator, nor one the user expects.
    fn foreign<'a>(
        &self,
        identity: Option<&[ResolverEgress]>,
        exits: &[&Attributed],
        context: &JudgeContext<'_>,
    ) -> Option<FindingDraft<'a>> {
        let expected = &context.policy.expectation.resolvers;
        let stated = !expected.is_empty();
        let is_foreign = |egress: &&ResolverEgress| {
            if stated {
                return !self.is_expected(&egress.resolver, context);
            }
            !exits.is_empty() && !exits.iter().any(|exit| exit.same_operator(&egress.resolver))
        };
        let egress = identity?.iter().find(is_foreign)?;
        let resolver = &egress.resolver;
        let contradiction = if stated { ", which is not a resolver you expect" } else { "" };
        Some(FindingDraft {
            kind: FindingKind::DnsForeignResolver,
            family: None,
            entity: None,
            severity: if stated { Severity::Warning } else { Severity::Information },
            weight: Weight::Proof,
            fact: format!("Names are resolved by {}{contradiction}", resolver_name(resolver)),
            details: &[],
            advice: "Nothing to do if you chose this resolver.",
            evidence: vec![egress.evidence()],
            since: egress.at,
        })
    }

    /// Whether a resolver that asked for us is one the user expects: it is listed itself, or of the operator of one that
    /// is, or else the server that is asked is listed, since what a server asks from is another address than its own.
    fn is_expected(&self, resolver: &Attributed, context: &JudgeContext<'_>) -> bool {
        let expected = &context.policy.expectation.resolvers;
        let listed = |asked: &&ConfiguredResolver| expected.contains(&asked.address.to_canonical());
        // A forwarder on this machine is no resolver, unless the user calls it one.
        let mut asked = self.asked().filter(|asked| listed(asked) || !asked.address.is_loopback()).peekable();
        let asked = asked.peek().is_some() && asked.all(|asked| listed(&asked));
        let seen =
            || self.records.values().filter_map(|record| record.seen.as_ref()).flat_map(|(all, ..)| all);
        let as_known = |address: &IpAddr| {
            seen().find(|seen| seen.address == *address).cloned().unwrap_or(Attributed::bare(*address))
        };
        asked || expected.iter().any(|address| as_known(address).same_operator(resolver))
    }

    fn clause(
        &self,
        identity: Option<&[ResolverEgress]>,
        exits: &[&Attributed],
        paths: &RouteTable,
        context: &JudgeContext<'_>,
    ) -> Option<String> {
        let ResolverEgress { resolver, .. } = identity?.first()?;
        let with_exit = exits.iter().any(|exit| exit.same_operator(resolver));
        let by_tunnel = self.by_tunnel(paths, context);
        Some(match (with_exit, by_tunnel) {
            (true, _) => "names are resolved inside the tunnel".to_owned(),
            (false, true) => format!("names are resolved through the tunnel by {}", resolver_name(resolver)),
            (false, false) => format!("names are resolved by {}", resolver_name(resolver)),
        })
    }

    /// The resolvers as the snapshot shows them.
    pub fn view(&mut self, context: &JudgeContext<'_>) -> DnsView {
        let home = &context.policy.home;
        let mut resolvers: Vec<ResolverView> = Vec::new();
        let mut failure = None;
        for ((path, _), record) in &self.records {
            let fresh = record.seen.as_ref().filter(|(_, at, epoch)| {
                context.stands(*at, *epoch)
                    || (context.in_grace() && context.age(*at) <= context.policy.thresholds.round_ttl)
            });
            let Some((seen, ..)) = fresh else {
                failure = failure.or_else(|| record.failure.clone());
                continue;
            };
            for resolver in seen {
                let view = ResolverView {
                    resolver: resolver.clone(),
                    path: path.clone(),
                    is_home: home.contains_resolver(resolver),
                };
                if !resolvers.contains(&view) {
                    resolvers.push(view);
                }
            }
        }
        let mut current: Vec<Attributed> = resolvers.iter().map(|view| view.resolver.clone()).collect();
        current.sort_by_key(|resolver| resolver.address);
        if self.shown.as_ref().is_none_or(|(shown, _)| *shown != current) {
            self.shown = Some((current, context.now.wall));
        }
        DnsView {
            resolvers: if resolvers.is_empty() {
                Outcome::Unknown(failure.unwrap_or_else(|| Reason::Failed("not asked yet".to_owned())))
            } else {
                Outcome::Measured(resolvers)
            },
            configured: match &self.configured {
                Some((Outcome::Measured(configured), ..)) => configured.clone(),
                _ => Vec::new(),
            },
            since: self.shown.as_ref().map_or(context.now.wall, |(_, since)| *since),
        }
    }
}

/// The servers that get ordinary look-ups.
fn asked_of(configured: &[ConfiguredResolver]) -> impl Iterator<Item = &ConfiguredResolver> {
    configured.iter().filter(|resolver| resolver.role.gets_all_names())
}

/// A resolver as people read it: without its country.
pub(crate) fn resolver_name(resolver: &Attributed) -> String {
    match &resolver.owner {
        Some(owner) => format!("{} ({})", resolver.address, owner.name),
        None => resolver.address.to_string(),
    }
}
