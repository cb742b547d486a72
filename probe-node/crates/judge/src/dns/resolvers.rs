//! The memory of which resolvers are used: the system's configuration, and the addresses from which
//! authoritative servers were queried on this machine's behalf.

use crate::{
    bounded::{BoundedMap, LastUsed},
    context::JudgeContext,
    dated::Dated,
    part_result::own_evidence,
};
use sentinel_model::{
    Attributed, ConfiguredResolver, DnsView, Evidence, Moment, Monotonic, Outcome, Reason, ResolverPath,
    ResolverSeen, ResolverView, Timestamp,
};

/// How many pairs of resolver path and zone are remembered; far above what a round asks.
const PAIRS: usize = 64;

/// What one zone reported last about one resolver path.
#[derive(Clone, Debug)]
pub(super) struct ZoneReport {
    /// The addresses the zone was queried from, as last reported.
    pub seen: Option<Dated<Vec<Attributed>>>,
    /// Since when a resolver of home has been among them without a break.
    pub home_since: Option<Moment>,
    /// Why the last query failed, if it did.
    failure: Option<Reason>,
    at: Moment,
}

impl LastUsed for ZoneReport {
    fn last_used(&self) -> Monotonic {
        self.at.boot
    }
}

impl ZoneReport {
    /// Returns the report after a new outcome, given the one before it, if any.
    fn update(previous: Option<Self>, seen: &Dated<&ResolverSeen>, context: &JudgeContext<'_>) -> Self {
        match &seen.value.resolvers {
            Outcome::Measured(resolvers) => {
                let home = &context.policy.home;
                let names_home = resolvers.iter().any(|resolver| home.contains_resolver(resolver));
                let unbroken = previous
                    .filter(|report| report.seen.as_ref().is_some_and(|before| before.epoch == seen.epoch))
                    .and_then(|report| report.home_since);
                Self {
                    seen: Some(seen.with(resolvers.clone())),
                    home_since: names_home.then(|| unbroken.unwrap_or(seen.at)),
                    failure: None,
                    at: seen.at,
                }
            }
            Outcome::Unknown(reason) => {
                let (before, home_since) =
                    previous.map_or((None, None), |report| (report.seen, report.home_since));
                Self { seen: before, home_since, failure: Some(reason.clone()), at: seen.at }
            }
        }
    }
}

/// A resolver's egress address: the address from which it queried an authoritative server.
pub(super) struct ResolverEgress {
    pub address: Attributed,
    pub zone: String,
    pub at: Moment,
}

impl ResolverEgress {
    /// Returns what the zone saw, as evidence.
    pub fn evidence(&self) -> Evidence {
        own_evidence(format!("{} was asked by {}", self.zone, self.address), self.at)
    }
}

/// What is known about the resolvers this machine uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolvers {
    pub(super) reports: BoundedMap<(ResolverPath, String), ZoneReport, PAIRS>,
    pub(super) configured: Option<Dated<Outcome<Vec<ConfiguredResolver>>>>,
    shown: Option<(Vec<Attributed>, Timestamp)>,
}

impl Resolvers {
    /// Records what an authoritative server reported.
    pub fn record_report(&mut self, seen: &Dated<&ResolverSeen>, context: &JudgeContext<'_>) {
        let key = (seen.value.path.clone(), seen.value.zone.clone());
        let previous = self.reports.remove(&key);
        self.reports.insert(key, ZoneReport::update(previous, seen, context));
    }

    /// Records which resolvers the system is configured to use.
    pub fn record_config(&mut self, configured: &Dated<&Outcome<Vec<ConfiguredResolver>>>) {
        self.configured = Some(configured.cloned());
    }

    /// Returns the configured resolvers that get ordinary look-ups.
    ///
    /// Not included are those that are asked when others fail, and those that are asked for the
    /// names of a single link.
    pub(super) fn ordinary_resolvers(&self) -> impl Iterator<Item = &ConfiguredResolver> {
        let configured = self.configured.as_ref().and_then(Dated::measured);
        configured.into_iter().flatten().filter(|resolver| resolver.role.gets_all_names())
    }

    /// Returns true if applications get the answers of this resolver path.
    pub(super) fn is_used_by_applications(&self, path: &ResolverPath) -> bool {
        match path {
            ResolverPath::System => true,
            ResolverPath::Gateway(_) | ResolverPath::Dhcp(_) => false,
            ResolverPath::Configured(address) => {
                self.ordinary_resolvers().any(|resolver| resolver.address == *address)
            }
        }
    }

    /// Returns the current reports on resolvers that applications use, with their zone.
    pub(super) fn current_reports(
        &self,
        context: &JudgeContext<'_>,
    ) -> impl Iterator<Item = (&ResolverPath, &String, &ZoneReport, &Dated<Vec<Attributed>>)> {
        self.reports.iter().filter_map(|((path, zone), report)| {
            let seen = report.seen.as_ref().filter(|seen| context.is_current(seen))?;
            self.is_used_by_applications(path).then_some((path, zone, report, seen))
        })
    }

    /// Returns the egress addresses of the resolvers applications use, each once.
    ///
    /// Returns `None` if the system's own resolver was not seen in this epoch.
    pub(super) fn egress_addresses(&self, context: &JudgeContext<'_>) -> Option<Vec<ResolverEgress>> {
        let mut all: Vec<ResolverEgress> = Vec::new();
        let mut is_measured = false;
        for (path, zone, _, seen) in self.current_reports(context) {
            is_measured |= *path == ResolverPath::System && !seen.value.is_empty();
            for address in &seen.value {
                if !all.iter().any(|known| known.address == *address) {
                    all.push(ResolverEgress { address: address.clone(), zone: zone.clone(), at: seen.at });
                }
            }
        }
        is_measured.then_some(all)
    }

    /// Returns the resolvers as the snapshot shows them.
    pub fn view(&mut self, context: &JudgeContext<'_>) -> DnsView {
        let home = &context.policy.home;
        let mut resolvers: Vec<ResolverView> = Vec::new();
        let mut failure = None;
        for ((path, _), report) in self.reports.iter() {
            let fresh = report.seen.as_ref().filter(|seen| {
                context.is_current(seen) || (context.in_grace() && context.is_recent(seen.at))
            });
            let Some(seen) = fresh else {
                failure = failure.or_else(|| report.failure.clone());
                continue;
            };
            for resolver in &seen.value {
                let is_home = home.contains_resolver(resolver);
                let view = ResolverView { resolver: resolver.clone(), path: path.clone(), is_home };
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
            configured: self.configured.as_ref().and_then(Dated::measured).cloned().unwrap_or_default(),
            since: self.shown.as_ref().map_or(context.now.wall, |(_, since)| *since),
        }
    }
}

/// Returns a resolver as people read it: without its country.
pub(super) fn name_resolver(resolver: &Attributed) -> String {
    match &resolver.owner {
        Some(owner) => format!("{} ({})", resolver.address, owner.name),
        None => resolver.address.to_string(),
    }
}
