//! The task that writes the history.

use super::shared::{close_file, send_reply};
use crate::{
    error::StoreError,
    history::{History, IntervalChange},
    maintenance::Cutoffs,
    record::{FactValue, Sample},
};
use sentinel_model::Clock;
use sqlx::SqlitePool;
use std::{fs::File, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

/// How long measurements are buffered before they are written together. A crash may lose this much.
const BUFFER_TIME: Duration = Duration::from_secs(2);

/// Number of buffered samples that are written without waiting any longer.
const MAX_BUFFERED_SAMPLES: usize = 8192;

/// Number of changes of intervals kept for another attempt while the disk refuses them.
const MAX_RETAINED_CHANGES: usize = 1024;

/// A request concerning the history.
pub(crate) enum HistoryRequest {
    Samples(Vec<Sample>),
    Fact(FactValue),
    /// Write everything that is buffered, then reply.
    Flush(oneshot::Sender<()>),
    /// Run one step of maintenance. The reply is `None` while there is more to do.
    Maintain(oneshot::Sender<Result<Option<Cutoffs>, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// The state of the task.
pub(crate) struct HistoryWriter {
    history: History,
    clock: Clock,
    /// The handles' connections for reading. They have to be closed before the file.
    readers: SqlitePool,
    lock: Arc<File>,
    buffer: WriteBuffer,
}

/// Measurements that are not written yet.
#[derive(Default)]
struct WriteBuffer {
    samples: Vec<Sample>,
    changes: Vec<IntervalChange>,
    /// When to write the buffer, or `None` if there is nothing to write.
    due: Option<Instant>,
    /// Whether the last attempt to write failed.
    failing: bool,
}

impl HistoryWriter {
    /// Takes over the file, which must be locked by `lock`.
    pub(crate) fn new(history: History, clock: Clock, readers: SqlitePool, lock: Arc<File>) -> Self {
        Self { history, clock, readers, lock, buffer: WriteBuffer::default() }
    }

    /// Serves requests until one asks to close, or until the last handle is dropped.
    ///
    /// In both cases everything accepted before is written.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<HistoryRequest>) {
        let mut closing = None;
        loop {
            let due = self.buffer.due;
            tokio::select! {
                biased;
                // First, so that a full inbox does not keep the buffer from being written.
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush().await,
                request = requests.recv() => match request {
                    Some(HistoryRequest::Close(reply)) if closing.is_none() => {
                        requests.close();
                        closing = Some(reply);
                    }
                    Some(request) => self.accept(request).await,
                    None => break,
                },
            }
        }
        self.flush().await;
        close_file(self.history.into_connection(), self.readers, self.lock).await;
        if let Some(reply) = closing {
            send_reply(reply, ());
        }
    }

    async fn accept(&mut self, request: HistoryRequest) {
        let now = (self.clock)();
        if let Some(step) = self.history.timeline().advance(now) {
            self.buffer.changes.push(IntervalChange::ClockStep(step));
            self.buffer.due = Some(Instant::now());
        }
        match request {
            HistoryRequest::Samples(samples) => {
                for sample in samples.into_iter().filter(|sample| sample.value.is_finite()) {
                    self.history.timeline().note_recorded(sample.at);
                    self.buffer.samples.push(sample);
                }
                if self.buffer.samples.len() >= MAX_BUFFERED_SAMPLES {
                    self.flush().await;
                } else if !self.buffer.samples.is_empty() {
                    self.buffer.due.get_or_insert_with(|| Instant::now() + BUFFER_TIME);
                }
            }
            HistoryRequest::Fact(value) => {
                self.history.timeline().note_recorded(value.at);
                if !self.buffer.changes.is_empty() || !self.history.is_current(&value) {
                    self.buffer.changes.push(IntervalChange::Value(value, now.boot));
                    self.buffer.due = Some(Instant::now());
                } else if self.history.timeline().is_save_due() {
                    self.flush().await;
                }
            }
            HistoryRequest::Flush(reply) => {
                self.flush().await;
                send_reply(reply, ());
            }
            HistoryRequest::Maintain(reply) => {
                if self.history.timeline().is_save_due() {
                    self.flush().await;
                }
                let result = self.history.maintain().await;
                send_reply(reply, result.map_err(StoreError::query("tidy up the history")));
            }
            HistoryRequest::Close(reply) => send_reply(reply, ()),
        }
    }

    /// Writes the buffer. If that fails, samples are dropped and changes of intervals are tried
    /// again later.
    async fn flush(&mut self) {
        self.buffer.due = None;
        match self.history.write(&self.buffer.samples, &self.buffer.changes).await {
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
                let surplus = self.buffer.changes.len().saturating_sub(MAX_RETAINED_CHANGES);
                self.buffer.changes.drain(..surplus);
                self.buffer.due = Some(Instant::now() + BUFFER_TIME);
            }
        }
    }
}
