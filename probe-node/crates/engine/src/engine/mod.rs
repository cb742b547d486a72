//! The handle that programs hold.

use crate::{
    actor::{self, CommandRequest, RunningActor},
    config::Config,
    error::EngineError,
    parts::EngineParts,
    services::config_warnings,
    storage::{NoticeId, Outbox},
};
use sentinel_model::{Command, CommandError, Incident, Millis, NodeId, Notice, Reply, Snapshot, Timestamp};
use sentinel_store::Store;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time limit of a shutdown, which says goodbye to the other nodes and closes the store.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of a command. The longest wait is for the slowest check of a round.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// Commands that may wait for the loop.
const INBOX: usize = 32;

/// A handle to a running engine. Cheap to clone; the loop ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    node: NodeId,
    notes: Vec<String>,
    inbox: mpsc::Sender<CommandRequest>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    outbox: Outbox,
    store: Store,
    cancel: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
    _guard: DropGuard,
}

impl Engine {
    /// Opens the store, joins the swarm and starts measuring.
    pub async fn start(config: Config) -> Result<Self, EngineError> {
        let parts = EngineParts::open(&config).await?;
        Self::start_with(config, parts).await
    }

    /// Starts an engine on the given parts.
    pub async fn start_with(config: Config, mut parts: EngineParts) -> Result<Self, EngineError> {
        let cancel = CancellationToken::new();
        let (inbox, requests) = mpsc::channel(INBOX);
        let mut notes = std::mem::take(&mut parts.store_notes);
        notes.extend(config_warnings(&config));
        let RunningActor { node, snapshots, outbox, store, task } =
            actor::start(config, parts, requests, cancel.clone()).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                node,
                notes,
                inbox,
                snapshots,
                outbox,
                store,
                task: std::sync::Mutex::new(Some(task)),
                _guard: cancel.clone().drop_guard(),
                cancel,
            }),
        })
    }

    /// Returns the identity of this node.
    pub fn node(&self) -> &NodeId {
        &self.shared.node
    }

    /// Returns what the user should know about the start, as sentences.
    ///
    /// For example that a damaged file was set aside, or that an entry of the configuration has no
    /// effect.
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
    }

    /// Returns a receiver of the whole current state.
    ///
    /// The channel closes when the engine has stopped.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.clone()
    }

    /// Carries out a command and waits for its result, for 20 s at most.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let stopped = || CommandError { message: EngineError::Stopped.to_string() };
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.send(CommandRequest { command, reply }).await.map_err(|_| stopped())?;
        match timeout(COMMAND_TIMEOUT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(CommandError {
                message: format!(
                    "The node did not finish within {} s. Look at its log and try again.",
                    COMMAND_TIMEOUT.as_secs()
                ),
            }),
        }
    }

    /// Waits for the oldest notice that `channel` has not delivered yet.
    ///
    /// The same notice is returned again until [`Engine::delivered`] is called for it. A notice is
    /// stored before it is offered, unless the disk fails or is slow. A failing disk never ends the
    /// wait.
    ///
    /// # Errors
    ///
    /// Fails with [`EngineError::Stopped`] only.
    pub async fn next_notice(&self, channel: &str) -> Result<(NoticeId, Notice), EngineError> {
        self.shared.outbox.next(channel).await
    }

    /// Takes note that `channel` has delivered a notice.
    ///
    /// The notice is not offered to that channel again in this run, nor in a later one as soon as
    /// the delivery is stored.
    ///
    /// # Errors
    ///
    /// Fails with [`EngineError::Stopped`] only.
    pub fn delivered(&self, channel: &str, id: NoticeId) -> Result<(), EngineError> {
        self.shared.outbox.record_delivery(channel, id)
    }

    /// Returns incidents that are open or changed after `since`, newest first, at most `limit`.
    ///
    /// Those that are not stored yet are included.
    pub async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, EngineError> {
        self.shared.outbox.incidents(since, limit).await
    }

    /// Returns the store, for queries of the history.
    pub fn history(&self) -> &Store {
        &self.shared.store
    }

    /// Age of the current snapshot from which the loop must be presumed dead.
    pub const ALIVE_WITHIN: Millis = Millis::secs(10);

    /// Stops measuring, stores what is waiting, says goodbye to the other nodes and closes the
    /// store, in five seconds at most.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        let task = self.shared.task.lock().ok().and_then(|mut slot| slot.take());
        if let Some(task) = task
            && timeout(SHUTDOWN_TIMEOUT, task).await.is_err()
        {
            tracing::warn!(
                "the engine did not stop within {} s; exiting without it",
                SHUTDOWN_TIMEOUT.as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests;
