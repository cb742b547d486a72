//! The handle: what programs hold.

use crate::{
    actor::{Actor, Request},
    config::Config,
    error::EngineError,
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

/// How long a shutdown may take: saying goodbye to the nodes and closing the store.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// A command that waits for a round waits for its slowest check; nothing takes longer than this.
const COMMAND: Duration = Duration::from_secs(20);

/// How often an undelivered notice is offered again.
const RETRY: Duration = Duration::from_secs(15);

/// A running engine. Cheap to clone; the loop ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    node: NodeId,
    notes: Vec<String>,
    inbox: mpsc::Sender<Request>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    notices: watch::Receiver<u64>,
    store: Store,
    cancel: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
    _guard: DropGuard,
}

impl Engine {
    /// Opens the store, joins the swarm and starts measuring.
    pub async fn start(config: Config) -> Result<Self, EngineError> {
        let cancel = CancellationToken::new();
        let (inbox, requests) = mpsc::channel(32);
        let started = Actor::start(config, requests, cancel.clone()).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                node: started.node,
                notes: started.notes,
                inbox,
                snapshots: started.snapshots,
                notices: started.notices,
                store: started.store,
                task: std::sync::Mutex::new(Some(started.task)),
                _guard: cancel.clone().drop_guard(),
                cancel,
            }),
        })
    }

    /// This node's identity.
    pub fn node(&self) -> &NodeId {
        &self.shared.node
    }

    /// What happened while opening the store that the person should know: a damaged file set aside.
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
    }

    /// The whole current state, as it changes. The channel closes when the engine has stopped.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.clone()
    }

    /// Carries out a command.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let stopped = || CommandError { message: EngineError::Stopped.to_string() };
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.send(Request { command, reply }).await.map_err(|_| stopped())?;
        match timeout(COMMAND, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(CommandError {
                message: format!(
                    "The node did not finish within {} s. Look at its log and try again.",
                    COMMAND.as_secs()
                ),
            }),
        }
    }

    /// Waits for the oldest notice that `channel` has not delivered yet. It is offered again until
    /// [`Engine::delivered`] is called for it.
    pub async fn next_notice(&self, channel: &str) -> Result<(i64, Notice), EngineError> {
        let mut signal = self.shared.notices.clone();
        loop {
            signal.borrow_and_update();
            if let Some(first) = self.shared.store.undelivered(channel).await?.into_iter().next() {
                return Ok(first);
            }
            if let Ok(Err(_)) = timeout(RETRY, signal.changed()).await {
                return Err(EngineError::Stopped);
            }
        }
    }

    /// Notes that `channel` has delivered a notice.
    pub async fn delivered(&self, channel: &str, id: i64) -> Result<(), EngineError> {
        Ok(self.shared.store.delivered(channel, id).await?)
    }

    /// Incidents that changed since `since`, newest first, at most `limit`.
    pub async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, EngineError> {
        Ok(self.shared.store.incidents(since, limit).await?)
    }

    /// Read access to the history.
    pub fn history(&self) -> &Store {
        &self.shared.store
    }

    /// How long the oldest snapshot may be before the loop must be thought dead.
    pub const ALIVE_WITHIN: Millis = Millis::secs(10);

    /// Stops measuring, tells the other nodes and closes the store; bounded by five seconds.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        let task = self.shared.task.lock().ok().and_then(|mut slot| slot.take());
        if let Some(task) = task
            && timeout(SHUTDOWN, task).await.is_err()
        {
            tracing::warn!("the engine did not stop within {} s and was left behind", SHUTDOWN.as_secs());
        }
    }
}
