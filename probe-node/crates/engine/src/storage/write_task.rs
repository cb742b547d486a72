//! The task that stores changes of the ledger and tries again when that fails.

use super::{
    change::{Delivery, LedgerChange, NoticeId, Setting},
    shared::Shared,
    unstored::{QueuedChange, Revision},
};
use sentinel_model::{Clock, Notice};
use sentinel_store::{Store, StoreError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Time before the second attempt to store; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest time between two attempts to store.
const LAST_RETRY: Duration = Duration::from_secs(15);

/// Number of notices the store returns at a time.
const OUTBOX_PAGE: usize = 100;

/// The task behind a [`LedgerWriter`](super::LedgerWriter).
pub(super) struct WriteTask {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) notices: watch::Sender<u64>,
}

/// What one attempt stored, and the first error if parts of it failed.
#[derive(Default)]
struct Attempt {
    stored: BTreeSet<Revision>,
    error: Option<StoreError>,
}

impl WriteTask {
    /// Stores whatever is queued, until cancelled.
    pub(super) async fn run(self) {
        let mut retry = FIRST_RETRY;
        loop {
            let batch: Vec<QueuedChange> =
                self.shared.read(|state| state.unstored.changes().cloned().collect());
            if batch.is_empty() {
                self.shared.changed.notified().await;
                continue;
            }
            let attempt = self.store_batch(batch).await;
            if self.finish(attempt) {
                retry = FIRST_RETRY;
            } else {
                self.wait(retry).await;
                retry = LAST_RETRY.min(retry * 2);
            }
        }
    }

    /// Takes the outcome of an attempt into account. Returns true if the next may follow at once.
    fn finish(&self, attempt: Attempt) -> bool {
        let Attempt { stored, error } = attempt;
        let is_progress = !stored.is_empty() && error.is_none();
        let now = (self.clock)().wall;
        self.shared.update(|state| {
            state.unstored.remove(&stored);
            match error {
                Some(error) => {
                    let message = error.to_string();
                    if state.record_failure(message.clone(), now) {
                        tracing::error!(
                            error = message,
                            "changes are kept in memory until they can be stored"
                        );
                    }
                }
                None => {
                    if state.record_success() {
                        tracing::info!("changes are being stored again");
                    }
                }
            }
        });
        // Channels look again: a notice is stored, or is offered from memory because that failed.
        self.notices.send_modify(|count| *count += 1);
        is_progress
    }

    /// Waits before the next attempt, less long while the node is stopping.
    async fn wait(&self, retry: Duration) {
        let start = Instant::now();
        loop {
            let is_draining = self.shared.read(|state| state.is_draining);
            let until = start + if is_draining { FIRST_RETRY.min(retry) } else { retry };
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.shared.changed.notified() => {}
            }
        }
    }

    /// Tries to store every part of a batch: one that fails does not hold up the others.
    async fn store_batch(&self, batch: Vec<QueuedChange>) -> Attempt {
        let mut attempt = Attempt::default();
        let (mut incidents, mut notices, mut deliveries) = (Vec::new(), Vec::new(), Vec::new());
        let mut committed = Vec::new();
        for QueuedChange { revision, change, .. } in batch {
            match change {
                LedgerChange::Incident(incident) => {
                    incidents.push(incident);
                    committed.push(revision);
                }
                LedgerChange::Notice(notice) => {
                    notices.push(notice);
                    committed.push(revision);
                }
                LedgerChange::Delivery(delivery) => deliveries.push((revision, delivery)),
                LedgerChange::Membership(entry) => {
                    attempt.record([revision], self.store.append_membership(entry).await);
                }
                LedgerChange::Setting(setting) => {
                    attempt.record([revision], self.store_setting(setting).await);
                }
            }
        }
        attempt.record(committed, self.store.commit(incidents, notices.clone()).await);
        self.store_deliveries(deliveries, &mut attempt).await;
        attempt
    }

    async fn store_setting(&self, setting: Setting) -> Result<(), StoreError> {
        match setting {
            Setting::Home(home) => self.store.set_home(&home).await,
            Setting::HomeAnnounced(announced) => self.store.set_home_announced(&announced).await,
            Setting::TunnelKnown(known) => self.store.set_tunnel_known(known).await,
        }
    }

    async fn store_deliveries(&self, deliveries: Vec<(Revision, Delivery)>, attempt: &mut Attempt) {
        let mut per_channel: BTreeMap<String, Vec<(Revision, NoticeId)>> = BTreeMap::new();
        for (revision, Delivery { channel, notice }) in deliveries {
            per_channel.entry(channel).or_default().push((revision, notice));
        }
        for (channel, delivered) in per_channel {
            match self.store.undelivered(&channel).await {
                Ok(page) => self.store_deliveries_by(&channel, delivered, &page, attempt).await,
                Err(error) => attempt.record([], Err(error)),
            }
        }
    }

    /// Records the deliveries of one channel, given the oldest notices it has not delivered.
    ///
    /// A notice that is not among them is one of these:
    /// - It is not stored itself. The delivery waits for that.
    /// - It comes after the page. The delivery waits until those before it are delivered.
    /// - Its delivery is on record already, or it was pruned. There is nothing to record.
    async fn store_deliveries_by(
        &self,
        channel: &str,
        delivered: Vec<(Revision, NoticeId)>,
        page: &[(i64, Notice)],
        attempt: &mut Attempt,
    ) {
        for (revision, notice) in delivered {
            let in_page = page.iter().find(|(_, stored)| NoticeId::from(stored) == notice);
            if let Some((id, _)) = in_page {
                attempt.record([revision], self.store.delivered(channel, *id).await);
            } else if page.len() < OUTBOX_PAGE && !self.is_unstored(&notice, attempt) {
                attempt.record([revision], Ok(()));
            }
        }
    }

    /// Returns true if a notice has not been stored, in this attempt or before.
    fn is_unstored(&self, notice: &NoticeId, attempt: &Attempt) -> bool {
        self.shared.read(|state| {
            state.unstored.changes().filter(|queued| !attempt.stored.contains(&queued.revision)).any(|queued| {
                matches!(&queued.change, LedgerChange::Notice(unstored) if NoticeId::from(unstored) == *notice)
            })
        })
    }
}

impl Attempt {
    /// Adds the result of storing some changes.
    fn record(&mut self, revisions: impl IntoIterator<Item = Revision>, result: Result<(), StoreError>) {
        match result {
            Ok(()) => self.stored.extend(revisions),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }
}
