//! The one task that writes both files.
//!
//! ```text
//!  samples, facts     --> history inbox --> buffered for two seconds --> history.db
//!  incidents, outbox  --> ledger inbox  --> one transaction each     --> ledger.db, then a reply
//! ```
//!
//! The ledger inbox is served first, so an alarm never waits behind queued measurements.

use crate::{
    error::StoreError,
    history::History,
    ledger::{self, LedgerChange},
    maintenance,
    record::{FactValue, Sample},
};
use sentinel_model::Timestamp;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::{fs::File, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

/// How long measurements are buffered before they are written together. A crash may lose this much.
const BUFFER_TIME: Duration = Duration::from_secs(2);

/// Number of buffered samples that are written without waiting any longer.
const MAX_BUFFERED_SAMPLES: usize = 8192;

/// Number of fact values kept for another attempt while the disk refuses them.
const MAX_RETAINED_FACTS: usize = 1024;

/// A request concerning the ledger, with the sender of the reply.
pub(crate) enum LedgerRequest {
    Write(LedgerChange, oneshot::Sender<Result<(), StoreError>>),
    /// Run one step of maintenance on both files. The reply is true if there is more to do.
    Maintain(Timestamp, oneshot::Sender<Result<bool, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// A request concerning the history. Only a flush is replied to.
pub(crate) enum HistoryRequest {
    Samples(Vec<Sample>),
    Fact(FactValue),
    /// Write everything that is buffered, then reply.
    Flush(oneshot::Sender<()>),
}

/// The state of the writer task.
pub(crate) struct Writer {
    history: History,
    ledger: SqliteConnection,
    /// The handles' connections for reading. They have to be closed before the files.
    readers: [SqlitePool; 2],
    lock: File,
    buffer: WriteBuffer,
}

/// Measurements that are not written yet.
#[derive(Default)]
struct WriteBuffer {
    samples: Vec<Sample>,
    facts: Vec<FactValue>,
    /// When to write the buffer, or `None` if there is nothing to write.
    due: Option<Instant>,
    /// Whether the last attempt to write failed.
    failing: bool,
}

impl Writer {
    /// Takes over both files, which must be locked by `lock`.
    pub(crate) fn new(
        history: History,
        ledger: SqliteConnection,
        readers: [SqlitePool; 2],
        lock: File,
    ) -> Self {
        Self { history, ledger, readers, lock, buffer: WriteBuffer::default() }
    }

    /// Serves requests until one asks to close, or until the last handle is dropped.
    ///
    /// In both cases everything accepted before is written.
    pub(crate) async fn run(
        mut self,
        mut ledger: mpsc::Receiver<LedgerRequest>,
        mut history: mpsc::Receiver<HistoryRequest>,
    ) {
        let mut closing = None;
        loop {
            let due = self.buffer.due;
            tokio::select! {
                biased;
                request = ledger.recv() => match request {
                    Some(LedgerRequest::Write(change, reply)) => {
                        send_reply(reply, ledger::write_change(&mut self.ledger, change).await);
                    }
                    Some(LedgerRequest::Maintain(now, reply)) => send_reply(reply, self.maintain(now).await),
                    Some(LedgerRequest::Close(reply)) => {
                        closing = Some(reply);
                        break;
                    }
                    None => break,
                },
                Some(request) = history.recv() => self.accept(request).await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush().await,
            }
        }
        history.close();
        while let Some(request) = history.recv().await {
            self.accept(request).await;
        }
        self.close_files().await;
        if let Some(reply) = closing {
            send_reply(reply, ());
        }
    }

    async fn accept(&mut self, request: HistoryRequest) {
        match request {
            HistoryRequest::Samples(samples) => {
                for sample in samples.into_iter().filter(|sample| sample.value.is_finite()) {
                    self.history.note_alive(sample.at);
                    self.buffer.samples.push(sample);
                }
                if self.buffer.samples.len() >= MAX_BUFFERED_SAMPLES {
                    self.flush().await;
                } else if !self.buffer.samples.is_empty() {
                    self.buffer.due.get_or_insert_with(|| Instant::now() + BUFFER_TIME);
                }
            }
            HistoryRequest::Fact(value) => {
                self.history.note_alive(value.at);
                if !self.buffer.facts.is_empty() || !self.history.is_current(&value) {
                    self.buffer.facts.push(value);
                    self.buffer.due = Some(Instant::now());
                } else if self.history.is_alive_write_due() {
                    self.flush().await;
                }
            }
            HistoryRequest::Flush(reply) => {
                self.flush().await;
                send_reply(reply, ());
            }
        }
    }

    /// Writes the buffer. If that fails, samples are dropped and fact values are tried again later.
    async fn flush(&mut self) {
        self.buffer.due = None;
        match self.history.write(&self.buffer.samples, &self.buffer.facts).await {
            Ok(()) => {
                if self.buffer.failing {
                    tracing::info!("measurements are being recorded again");
                }
                self.buffer = WriteBuffer::default();
            }
            Err(error) => {
                if !self.buffer.failing {
                    tracing::error!(%error, "measurements cannot be recorded; check the disk's free space and health");
                }
                self.buffer.failing = true;
                self.buffer.samples.clear();
                let surplus = self.buffer.facts.len().saturating_sub(MAX_RETAINED_FACTS);
                self.buffer.facts.drain(..surplus);
                self.buffer.due = Some(Instant::now() + BUFFER_TIME);
            }
        }
    }

    /// Runs one step of maintenance and returns true if there is more to do.
    async fn maintain(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        self.flush().await;
        let more = maintenance::maintain_history(self.history.connection(), now)
            .await
            .map_err(StoreError::query("tidy up the history"))?;
        if !more {
            maintenance::maintain_ledger(&mut self.ledger, now)
                .await
                .map_err(StoreError::query("tidy up the ledger"))?;
        }
        Ok(more)
    }

    /// Writes the buffer and closes both files.
    async fn close_files(mut self) {
        self.flush().await;
        // SQLite merges its write-ahead log when the last connection closes, which has to be the
        // writer's.
        for readers in &self.readers {
            readers.close().await;
        }
        for result in [self.history.close().await, self.ledger.close().await] {
            if let Err(error) = result {
                tracing::warn!(%error, "a database was not closed cleanly; it will be checked at the next start");
            }
        }
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "unlocking the state directory failed; the system does it when the node ends");
        }
    }
}

/// Sends a reply. A caller that no longer waits for it is not an error.
fn send_reply<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("the caller no longer waits for the reply");
    }
}
