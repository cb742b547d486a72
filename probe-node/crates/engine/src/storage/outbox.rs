//! Offers notices to channels, from the ledger and from memory.

use super::{
    change::{Delivery, LedgerChange, NoticeId},
    shared::Shared,
};
use crate::error::EngineError;
use sentinel_model::{Incident, Notice, Timestamp};
use sentinel_store::Store;
use std::{cmp::Reverse, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Time after which the outbox is read again although nothing was signalled.
const REREAD_INTERVAL: Duration = Duration::from_secs(15);

/// Time after which a failed read is repeated at first; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// How long a slow disk may keep a notice that is in memory from being offered.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Where channels take notices from and report their deliveries.
pub(crate) struct Outbox {
    store: Store,
    shared: Arc<Shared>,
    /// Rises when notices are new or have been stored. Closes when the engine stops.
    signal: watch::Receiver<u64>,
}

impl Outbox {
    pub(super) fn new(store: Store, shared: Arc<Shared>, signal: watch::Receiver<u64>) -> Self {
        Self { store, shared, signal }
    }

    /// Waits for the oldest notice that `channel` has not delivered, stored or not.
    pub(crate) async fn next(&self, channel: &str) -> Result<(NoticeId, Notice), EngineError> {
        let mut signal = self.signal.clone();
        let mut retry = None;
        loop {
            signal.borrow_and_update();
            // Memory is looked at before the ledger is read: a delivery that is stored in between
            // would otherwise be in neither, and the notice be offered again.
            let waiting = self.shared.waiting(channel);
            let stored = self.read(channel, &mut retry).await;
            let stored =
                stored.into_iter().find(|notice| !waiting.delivered.contains(&NoticeId::from(notice)));
            if let Some(notice) = stored.or(waiting.offered) {
                return Ok((NoticeId::from(&notice), notice));
            }
            let offer = waiting.next_offer.map(|at| at.saturating_duration_since(Instant::now()));
            let wait = offer.into_iter().chain(retry).fold(REREAD_INTERVAL, Duration::min);
            if let Ok(Err(_)) = timeout(wait, signal.changed()).await {
                return Err(EngineError::Stopped);
            }
        }
    }

    /// Reads the oldest undelivered notices. If that fails, returns none and sets `retry`.
    async fn read(&self, channel: &str, retry: &mut Option<Duration>) -> Vec<Notice> {
        let read = timeout(READ_TIMEOUT, self.store.undelivered(channel)).await;
        let error = match read {
            Ok(Ok(page)) => {
                *retry = None;
                return page.into_iter().map(|(_, notice)| notice).collect();
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the disk does not answer".to_owned(),
        };
        if retry.is_none() {
            tracing::warn!(channel, error, "could not read the stored notices; trying again");
        }
        *retry = Some(retry.map_or(FIRST_RETRY, |retry| REREAD_INTERVAL.min(retry * 2)));
        Vec::new()
    }

    /// Records that a channel has delivered a notice, which is not offered to it again.
    pub(crate) fn record_delivery(&self, channel: &str, notice: NoticeId) -> Result<(), EngineError> {
        if self.signal.has_changed().is_err() {
            return Err(EngineError::Stopped);
        }
        let delivery = Delivery { channel: channel.to_owned(), notice };
        self.shared.enqueue([LedgerChange::Delivery(delivery)]);
        Ok(())
    }

    /// Returns incidents that are open or changed after `since`, newest first, stored or not.
    pub(crate) async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, EngineError> {
        // Memory first: what is stored in between would otherwise be in neither.
        let mut incidents = self.shared.incidents();
        incidents.retain(|incident| incident.state.is_open() || incident.changed.wall >= since);
        let stored = self.store.incidents(since, limit).await?;
        let newer: Vec<_> = incidents.iter().map(|incident| incident.id.clone()).collect();
        incidents.extend(stored.into_iter().filter(|incident| !newer.contains(&incident.id)));
        incidents.sort_by_key(|incident| Reverse(incident.opened.wall));
        incidents.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(incidents)
    }
}
