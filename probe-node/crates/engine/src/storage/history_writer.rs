//! Hands measurements to the store without waiting for the disk.

use sentinel_store::{FactValue, Sample, Store};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Measurements that may wait. At one witness this is more than half an hour.
const CAPACITY: usize = 2048;

/// Takes samples and facts. A task of its own hands them to the store.
///
/// When this handle is dropped, the task hands over the rest and ends.
pub(crate) struct HistoryWriter {
    queue: Arc<HistoryQueue>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

/// One measurement.
#[derive(Debug, PartialEq)]
enum Measurement {
    Sample(Sample),
    Fact(FactValue),
}

#[derive(Default)]
struct HistoryQueue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    measurements: VecDeque<Measurement>,
    dropped: u64,
}

impl HistoryWriter {
    /// Starts the task that writes.
    pub(crate) fn start(store: Store) -> Self {
        let queue = Arc::<HistoryQueue>::default();
        let stop = CancellationToken::new();
        let task = tokio::spawn(write(store, queue.clone(), stop.clone()));
        Self { queue, task, stop: stop.drop_guard() }
    }

    /// Takes a sample.
    pub(crate) fn record_sample(&self, sample: Sample) {
        self.queue.push(Measurement::Sample(sample));
    }

    /// Takes the new value of a fact.
    pub(crate) fn record_fact(&self, value: FactValue) {
        self.queue.push(Measurement::Fact(value));
    }

    /// Returns how many measurements were dropped because too many were waiting.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.waiting().dropped
    }

    /// Waits until the store has everything.
    pub(crate) async fn finish(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the last measurements were not recorded");
        }
    }
}

impl HistoryQueue {
    /// Locks the queue. Never held across an await.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, measurement: Measurement) {
        self.waiting().push(measurement, CAPACITY);
        self.changed.notify_one();
    }

    fn take(&self) -> VecDeque<Measurement> {
        std::mem::take(&mut self.waiting().measurements)
    }
}

impl Waiting {
    /// Adds a measurement. If there are too many, the oldest sample is dropped, or else the oldest
    /// fact: one missing sample hardly shows, a missing fact stays wrong until it changes again.
    fn push(&mut self, measurement: Measurement, capacity: usize) {
        self.measurements.push_back(measurement);
        if self.measurements.len() > capacity {
            let sample =
                self.measurements.iter().position(|waiting| matches!(waiting, Measurement::Sample(_)));
            self.measurements.remove(sample.unwrap_or(0));
            self.dropped += 1;
        }
    }
}

async fn write(store: Store, queue: Arc<HistoryQueue>, stop: CancellationToken) {
    while stop.run_until_cancelled(queue.changed.notified()).await.is_some() {
        hand_over(&store, queue.take()).await;
    }
    hand_over(&store, queue.take()).await;
}

async fn hand_over(store: &Store, measurements: VecDeque<Measurement>) {
    let mut samples = Vec::new();
    for measurement in measurements {
        match measurement {
            Measurement::Sample(sample) => samples.push(sample),
            Measurement::Fact(value) => store.record_fact(value).await,
        }
    }
    if !samples.is_empty() {
        store.record_samples(samples).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Family, Timestamp};
    use sentinel_store::{RecordedFact, SeriesKey, SeriesKind};

    fn sample(at: i64) -> Measurement {
        let series = SeriesKey { kind: SeriesKind::Rtt, target: "vps".to_owned(), family: Family::V4 };
        Measurement::Sample(Sample { series, at: Timestamp(at), value: 1.0 })
    }

    fn fact(at: i64) -> Measurement {
        let value = "\"protected\"".to_owned();
        Measurement::Fact(FactValue { fact: RecordedFact::Verdict, value, at: Timestamp(at) })
    }

    #[test]
    fn a_full_queue_drops_the_oldest_sample_before_any_fact_and_counts() {
        let mut waiting = Waiting::default();
        for measurement in [fact(1), sample(2), sample(3), fact(4), sample(5)] {
            waiting.push(measurement, 3);
        }
        assert_eq!(
            (&waiting.measurements, waiting.dropped),
            (&VecDeque::from([fact(1), fact(4), sample(5)]), 2)
        );
        waiting.push(fact(6), 3);
        waiting.push(fact(7), 3);
        assert_eq!(
            (&waiting.measurements, waiting.dropped),
            (&VecDeque::from([fact(4), fact(6), fact(7)]), 4)
        );
    }
}
