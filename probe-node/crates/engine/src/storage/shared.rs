//! What the writer's handle, its task and the outbox share.

use super::{
    change::{LedgerChange, NoticeId},
    unstored::Unstored,
};
use sentinel_model::{Incident, Notice, StorageView, Timestamp};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// How long a notice waits to be stored before it is offered from memory.
///
/// A stored notice survives a crash between its delivery and the record of it; a disk that works
/// takes a few milliseconds.
const STORE_FIRST: Duration = Duration::from_millis(250);

/// The queue of unstored changes, and who is to be woken when it changes.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writer.
    pub(super) changed: Notify,
    view: watch::Sender<StorageView>,
}

/// The queue, and how storing goes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) unstored: Unstored,
    failure: Option<Failure>,
    /// The node is stopping: try again soon.
    pub(super) is_draining: bool,
}

#[derive(Clone, Debug)]
struct Failure {
    since: Timestamp,
    error: String,
}

/// What a channel can deliver from memory.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The notices that the channel has delivered without that being stored.
    pub(super) delivered: Vec<NoticeId>,
    /// The oldest notice that is offered from memory.
    pub(super) offered: Option<Notice>,
    /// When a notice will be offered from memory that is not yet.
    pub(super) next_offer: Option<Instant>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            view: watch::Sender::new(StorageView::default()),
        }
    }

    /// Locks the state. Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// Changes the state and shows it.
    pub(super) fn update<T>(&self, update: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = update(&mut state);
        let view = state.view();
        self.view.send_if_modified(|shown| {
            let is_new = *shown != view;
            *shown = view;
            is_new
        });
        result
    }

    /// Adds changes and wakes the writer.
    pub(super) fn enqueue(&self, changes: impl IntoIterator<Item = LedgerChange>) {
        let now = Instant::now();
        self.update(|state| changes.into_iter().for_each(|change| state.unstored.push(change, now)));
        self.changed.notify_one();
    }

    /// Returns a receiver of what is not stored yet.
    pub(super) fn watch_view(&self) -> watch::Receiver<StorageView> {
        self.view.subscribe()
    }

    /// Returns what a channel can deliver from memory.
    pub(super) fn waiting(&self, channel: &str) -> Waiting {
        self.read(|state| {
            let now = Instant::now();
            let mut waiting = Waiting {
                delivered: state.unstored.delivered(channel).cloned().collect(),
                ..Waiting::default()
            };
            let oldest = state
                .unstored
                .notices()
                .find(|(notice, _)| !waiting.delivered.contains(&NoticeId::from(*notice)));
            if let Some((notice, queued)) = oldest {
                let offer_at = queued + STORE_FIRST;
                if state.failure.is_some() || offer_at <= now {
                    waiting.offered = Some(notice.clone());
                } else {
                    waiting.next_offer = Some(offer_at);
                }
            }
            waiting
        })
    }

    /// Returns the latest state of every incident whose latest state is not stored.
    pub(super) fn incidents(&self) -> Vec<Incident> {
        self.read(|state| state.unstored.incidents().cloned().collect())
    }
}

impl State {
    /// Records that an attempt to store failed. Returns true if it is the first in a row.
    pub(super) fn record_failure(&mut self, error: String, at: Timestamp) -> bool {
        let since = self.failure.as_ref().map_or(at, |failure| failure.since);
        self.failure.replace(Failure { since, error }).is_none()
    }

    /// Records that an attempt succeeded. Returns true if the one before had failed.
    pub(super) fn record_success(&mut self) -> bool {
        self.failure.take().is_some()
    }

    fn view(&self) -> StorageView {
        StorageView {
            unstored: u32::try_from(self.unstored.len()).unwrap_or(u32::MAX),
            failing_since: self.failure.as_ref().map(|failure| failure.since),
            error: self.failure.as_ref().map(|failure| failure.error.clone()),
            dropped: self.unstored.dropped(),
        }
    }
}
