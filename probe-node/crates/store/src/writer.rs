//! The one task that writes.
//!
//! ```text
//!  samples, intervals --> history inbox --> gathered for a moment --> history.db
//!  incidents, outbox  --> ledger inbox  --> one transaction each  --> ledger.db, then the caller is told
//! ```
//! The ledger goes first: an alarm never waits behind measurements that are queued.

use crate::{
    error::StoreError,
    history::History,
    ledger::{self, Entry},
    maintenance,
    record::{Interval, Sample},
};
use sentinel_model::Timestamp;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::{fs::File, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

/// How long measurements are gathered before they are written together; what a crash may cost.
const GATHER: Duration = Duration::from_secs(2);

/// How many samples are written at most in one transaction.
const BATCH: usize = 8192;

/// How many changes of facts are kept for another attempt while the disk refuses them.
const KEPT_CHANGES: usize = 1024;

/// A request to the writer, with the way to answer it.
pub(crate) enum LedgerJob {
    Write(Entry, oneshot::Sender<Result<(), StoreError>>),
    Maintain(Timestamp, oneshot::Sender<Result<bool, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// Something measured, or the wish to have it all written now.
pub(crate) enum HistoryJob {
    Samples(Vec<Sample>),
    Interval(Interval),
    Flush(oneshot::Sender<()>),
}

/// The task's state.
pub(crate) struct Writer {
    pub(crate) history: History,
    pub(crate) ledger: SqliteConnection,
    pub(crate) readers: [SqlitePool; 2],
    pub(crate) lock: File,
    pub(crate) pending: Pending,
}

/// What is gathered and not yet written.
#[derive(Default)]
pub(crate) struct Pending {
    samples: Vec<Sample>,
    changes: Vec<Interval>,
    due: Option<Instant>,
    failing: bool,
}

impl Writer {
    /// Works until told to close or until the last handle is gone; either way nothing accepted is lost.
    pub(crate) async fn run(
        mut self,
        mut ledger: mpsc::Receiver<LedgerJob>,
        mut history: mpsc::Receiver<HistoryJob>,
    ) {
        let mut closing = None;
        loop {
            let due = self.pending.due;
            tokio::select! {
                biased;
                job = ledger.recv() => match job {
                    Some(LedgerJob::Write(entry, done)) => answer(done, ledger::write(&mut self.ledger, entry).await),
                    Some(LedgerJob::Maintain(now, done)) => {
                        let result = self.maintain(now).await;
                        answer(done, result);
                    }
                    Some(LedgerJob::Close(done)) => {
                        closing = Some(done);
                        break;
                    }
                    None => break,
                },
                Some(job) = history.recv() => self.take(job).await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush().await,
            }
        }
        history.close();
        while let Some(job) = history.recv().await {
            self.take(job).await;
        }
        self.finish().await;
        if let Some(done) = closing {
            answer(done, ());
        }
    }

    async fn take(&mut self, job: HistoryJob) {
        match job {
            HistoryJob::Samples(samples) => {
                for sample in samples.into_iter().filter(|sample| sample.value.is_finite()) {
                    self.history.was_alive(sample.at);
                    self.pending.samples.push(sample);
                }
                if self.pending.samples.len() >= BATCH {
                    self.flush().await;
                } else if !self.pending.samples.is_empty() {
                    self.pending.due.get_or_insert_with(|| Instant::now() + GATHER);
                }
            }
            HistoryJob::Interval(change) => {
                self.history.was_alive(change.at);
                if !self.pending.changes.is_empty() || !self.history.holds(&change) {
                    self.pending.changes.push(change);
                    self.pending.due = Some(Instant::now());
                } else if self.history.mark_is_due() {
                    self.flush().await;
                }
            }
            HistoryJob::Flush(done) => {
                self.flush().await;
                answer(done, ());
            }
        }
    }

    /// Writes what is gathered. If the disk refuses, samples are given up and changes of facts are tried again later.
    async fn flush(&mut self) {
        self.pending.due = None;
        match self.history.write(&self.pending.samples, &self.pending.changes).await {
            Ok(()) => {
                if self.pending.failing {
                    tracing::info!("measurements are being recorded again");
                }
                self.pending = Pending::default();
            }
            Err(error) => {
                if !self.pending.failing {
                    tracing::error!(%error, "measurements cannot be recorded; check the disk's free space and health");
                }
                self.pending.failing = true;
                self.pending.samples.clear();
                let surplus = self.pending.changes.len().saturating_sub(KEPT_CHANGES);
                self.pending.changes.drain(..surplus);
                self.pending.due = Some(Instant::now() + GATHER);
            }
        }
    }

    /// One step; whether there is more to do.
    async fn maintain(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        self.flush().await;
        let more = maintenance::history(self.history.connection(), now)
            .await
            .map_err(StoreError::query("tidy up the history"))?;
        if !more {
            maintenance::ledger(&mut self.ledger, now)
                .await
                .map_err(StoreError::query("tidy up the ledger"))?;
        }
        Ok(more)
    }

    /// Writes what is left and closes both files, readers first, so that SQLite folds its logs in.
    async fn finish(mut self) {
        self.flush().await;
        for readers in &self.readers {
            readers.close().await;
        }
        for result in [self.history.close().await, self.ledger.close().await] {
            if let Err(error) = result {
                tracing::warn!(%error, "a database could not be closed properly; it will be checked at the next start");
            }
        }
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the state directory's lock is left to the system");
        }
    }
}

/// A caller that no longer waits needs no answer.
fn answer<T>(done: oneshot::Sender<T>, value: T) {
    if done.send(value).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}
