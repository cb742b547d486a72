//! Writes measurements and facts to the store, each fact only when it changes.

use sentinel_model::{Fact, Millis, Monotonic, Observation, Outcome, ShownState, Source, Timestamp};
use sentinel_store::{FactValue, RecordedFact, Sample, SeriesKey, SeriesKind, Store};
use std::collections::BTreeMap;

/// Time between two runs of the store's maintenance.
const MAINTENANCE_INTERVAL: Millis = Millis::secs(3600);

/// Writes the history, and knows what is already on record.
pub(super) struct Recorder {
    store: Store,
    /// The value last written for each fact.
    facts: BTreeMap<RecordedFact, String>,
    /// True if it is on record that a tunnel has been in use.
    tunnel_recorded: bool,
    last_maintenance: Monotonic,
}

impl Recorder {
    /// Creates a recorder. `tunnel_recorded` is what the store has on record.
    pub(super) fn new(store: Store, tunnel_recorded: bool, now: Monotonic) -> Self {
        Self { store, facts: BTreeMap::new(), tunnel_recorded, last_maintenance: now }
    }

    /// Records a round trip as a sample; other observations are not samples.
    pub(super) async fn record_sample(&self, observation: &Observation) {
        if let Fact::RoundTrip(trip) = &observation.fact {
            let target = match &trip.target.source {
                Source::Node(node) => node.to_string(),
                Source::Service(name) => name.clone(),
            };
            let series = SeriesKey { kind: SeriesKind::Rtt, target, family: trip.family };
            let sample = Sample { series, at: observation.at.wall, value: f64::from(trip.rtt.0) };
            self.store.record_samples(vec![sample]).await;
        }
    }

    /// Records the verdict, the exits and the resolvers as intervals, since they rarely change.
    pub(super) async fn record_facts(&mut self, shown: &ShownState, at: Timestamp) {
        self.record_fact(RecordedFact::Verdict, shown.verdict.verdict.to_string(), at).await;
        for exit in &shown.exits {
            if let Outcome::Measured(seen) = &exit.address {
                self.record_fact(RecordedFact::Exit(exit.family), seen.address.to_string(), at).await;
            }
        }
        if let Outcome::Measured(resolvers) = &shown.dns.resolvers {
            let mut addresses: Vec<_> =
                resolvers.iter().map(|seen| seen.resolver.address.to_string()).collect();
            addresses.sort();
            addresses.dedup();
            self.record_fact(RecordedFact::Resolvers, addresses.join(" "), at).await;
        }
    }

    async fn record_fact(&mut self, fact: RecordedFact, value: String, at: Timestamp) {
        if self.facts.get(&fact) != Some(&value) {
            let json = serde_json::Value::from(value.as_str()).to_string();
            self.store.record_fact(FactValue { fact, value: json, at }).await;
            self.facts.insert(fact, value);
        }
    }

    /// Records that a tunnel has been in use, so that its absence after a restart counts as a loss.
    ///
    /// What looks like a tunnel may be the access line, so it counts once a voice sees this machine
    /// at an address that is not home.
    pub(super) async fn record_tunnel(&mut self, shown: &ShownState) {
        let is_up = shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up);
        let in_use = is_up && shown.exits.iter().any(|exit| exit.is_home == Some(false));
        if in_use && !self.tunnel_recorded {
            match self.store.set_tunnel_known(true).await {
                Ok(()) => self.tunnel_recorded = true,
                Err(error) => {
                    tracing::warn!(%error, "could not record that a tunnel is in use; trying again");
                }
            }
        }
    }

    /// Notes that the record of a tunnel was erased.
    pub(super) fn forget_tunnel(&mut self) {
        self.tunnel_recorded = false;
    }

    /// Returns true, and counts from now on, if the store's maintenance is due.
    pub(super) fn take_due_maintenance(&mut self, now: Monotonic) -> bool {
        let is_due = now.since(self.last_maintenance) >= MAINTENANCE_INTERVAL;
        if is_due {
            self.last_maintenance = now;
        }
        is_due
    }
}
