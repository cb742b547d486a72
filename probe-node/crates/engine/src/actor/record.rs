//! What goes into the history.

use sentinel_judge::Assessment;
use sentinel_model::{Fact, Observation, Outcome, Source, Timestamp};
use sentinel_store::{FactValue, RecordedFact, Sample, SeriesKey, SeriesKind, Store};
use std::collections::BTreeMap;

/// Writes samples and those facts that changed.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    facts: BTreeMap<RecordedFact, String>,
}

impl Recorder {
    /// Round trips are samples.
    pub(super) async fn sample(&self, store: &Store, observation: &Observation) {
        if let Fact::RoundTrip(trip) = &observation.fact {
            let target = match &trip.target.source {
                Source::Node(node) => node.to_string(),
                Source::Service(name) => name.clone(),
            };
            let series = SeriesKey { kind: SeriesKind::Rtt, target, family: trip.family };
            store
                .record_samples(vec![Sample {
                    series,
                    at: observation.at.wall,
                    value: f64::from(trip.rtt.0),
                }])
                .await;
        }
    }

    /// The verdict, the exits and the resolvers rarely change: they are stored as intervals.
    pub(super) async fn facts(&mut self, store: &Store, assessment: &Assessment, at: Timestamp) {
        self.fact(store, RecordedFact::Verdict, assessment.shown.verdict.verdict.to_string(), at).await;
        for exit in &assessment.shown.exits {
            if let Outcome::Measured(seen) = &exit.address {
                self.fact(store, RecordedFact::Exit(exit.family), seen.address.to_string(), at).await;
            }
        }
        if let Outcome::Measured(resolvers) = &assessment.shown.dns.resolvers {
            let mut addresses: Vec<_> =
                resolvers.iter().map(|seen| seen.resolver.address.to_string()).collect();
            addresses.sort();
            addresses.dedup();
            self.fact(store, RecordedFact::Resolvers, addresses.join(" "), at).await;
        }
    }

    async fn fact(&mut self, store: &Store, fact: RecordedFact, value: String, at: Timestamp) {
        if self.facts.get(&fact) != Some(&value) {
            let json = serde_json::Value::from(value.as_str()).to_string();
            store.record_fact(FactValue { fact, value: json, at }).await;
            self.facts.insert(fact, value);
        }
    }
}
