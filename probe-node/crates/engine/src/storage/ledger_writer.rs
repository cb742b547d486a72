//! The handle with which the loop stores incidents, notices and settings.

use super::{change::LedgerChange, outbox::Outbox, shared::Shared, write_task::WriteTask};
use sentinel_model::{Clock, StorageView};
use sentinel_store::Store;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a shutdown waits for changes to be stored, within the time limit of all of it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Takes changes of the ledger, never waiting for the disk. A task of its own stores them.
///
/// The task ends with this handle.
#[derive(Debug)]
pub(crate) struct LedgerWriter {
    shared: Arc<Shared>,
    /// A number that rises when notices are new or have been stored.
    notices: watch::Sender<u64>,
    _task: DropGuard,
}

impl LedgerWriter {
    /// Starts the task that writes. Also returns the outbox, from which channels take notices.
    pub(crate) fn start(store: Store, clock: Clock) -> (Self, Outbox) {
        let shared = Arc::new(Shared::new());
        let (notices, signal) = watch::channel(0);
        let stop = CancellationToken::new();
        let outbox = Outbox::new(store.clone(), shared.clone(), signal);
        let task = WriteTask { store, clock, shared: shared.clone(), notices: notices.clone() };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task.run()));
        (Self { shared, notices, _task: stop.drop_guard() }, outbox)
    }

    /// Takes changes that belong together.
    pub(crate) fn enqueue(&self, changes: impl IntoIterator<Item = LedgerChange>) {
        self.shared.enqueue(changes);
        self.notices.send_modify(|count| *count += 1);
    }

    /// Returns a receiver of what is not stored yet.
    pub(crate) fn watch_view(&self) -> watch::Receiver<StorageView> {
        self.shared.watch_view()
    }

    /// Returns what is not stored yet.
    pub(crate) fn view(&self) -> StorageView {
        self.shared.watch_view().borrow().clone()
    }

    /// Waits until everything is stored, for 4 s at most.
    pub(crate) async fn drain(&self) {
        self.shared.update(|state| state.is_draining = true);
        self.shared.changed.notify_one();
        let mut view = self.watch_view();
        if timeout(DRAIN_TIMEOUT, view.wait_for(|view| view.unstored == 0)).await.is_err() {
            let StorageView { unstored, error, .. } = view.borrow().clone();
            let error = error.unwrap_or_else(|| "the disk does not answer".to_owned());
            tracing::error!(unstored, error, "the node stops with changes that could not be stored");
        }
    }
}
