//! Records measurements and facts, each fact only when it changes.

use crate::storage::HistoryWriter;
use sentinel_model::{Fact, Millis, Monotonic, Observation, Outcome, ShownState, Source, Timestamp};
use sentinel_store::{FactValue, RecordedFact, Sample, SeriesKey, SeriesKind, Store};
use std::collections::BTreeMap;

/// Time between two runs of the store's maintenance.
const MAINTENANCE_INTERVAL: Millis = Millis::secs(3600);

/// Records the history, and knows what is already on record.
pub(super) struct Recorder {
    writer: HistoryWriter,
    /// The value last written for each fact.
    facts: BTreeMap<RecordedFact, String>,
    last_maintenance: Monotonic,
}

impl Recorder {
    /// Creates a recorder that does not know of any fact on record.
    pub(super) fn new(store: Store, now: Monotonic) -> Self {
        Self { writer: HistoryWriter::start(store), facts: BTreeMap::new(), last_maintenance: now }
    }

    /// Records a round trip as a sample; other observations are not samples.
    pub(super) fn record_sample(&self, observation: &Observation) {
        if let Fact::RoundTrip(trip) = &observation.fact {
            let target = match &trip.target.source {
                Source::Node(node) => node.to_string(),
                Source::Service(name) => name.clone(),
            };
            let series = SeriesKey { kind: SeriesKind::Rtt, target, family: trip.family };
            self.writer.record_sample(Sample {
                series,
                at: observation.at.wall,
                value: f64::from(trip.rtt.0),
            });
        }
    }

    /// Records the verdict, the exits and the resolvers as intervals, since they rarely change.
    pub(super) fn record_facts(&mut self, shown: &ShownState, at: Timestamp) {
        self.record_fact(RecordedFact::Verdict, shown.verdict.verdict.to_string(), at);
        for exit in &shown.exits {
            if let Outcome::Measured(seen) = &exit.address {
                self.record_fact(RecordedFact::Exit(exit.family), seen.address.to_string(), at);
            }
        }
        if let Outcome::Measured(resolvers) = &shown.dns.resolvers {
            let mut addresses: Vec<_> =
                resolvers.iter().map(|seen| seen.resolver.address.to_string()).collect();
            addresses.sort();
            addresses.dedup();
            self.record_fact(RecordedFact::Resolvers, addresses.join(" "), at);
        }
    }

    fn record_fact(&mut self, fact: RecordedFact, value: String, at: Timestamp) {
        if self.facts.get(&fact) != Some(&value) {
            let json = serde_json::Value::from(value.as_str()).to_string();
            self.writer.record_fact(FactValue { fact, value: json, at });
            self.facts.insert(fact, value);
        }
    }

    /// Returns how many measurements were dropped because the disk did not keep up.
    pub(super) fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Waits until the store has everything.
    pub(super) async fn finish(self) {
        self.writer.finish().await;
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
