//! Publishes snapshots.

use sentinel_model::{
    Epoch, Millis, Moment, Monotonic, NodeId, SCHEMA, Schedule, ShownState, Snapshot, StorageView, SwarmView,
    UtcOffset,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Time between two snapshots when nothing changes.
const HEARTBEAT: Millis = Millis::secs(1);

/// The sending end of what a handle watches.
#[derive(Debug)]
pub(super) struct Publisher {
    snapshots: watch::Sender<Arc<Snapshot>>,
    last_published: Monotonic,
}

/// What a snapshot shows besides the node's identity.
pub(super) struct SnapshotContent {
    pub(super) at: Moment,
    pub(super) offset: UtcOffset,
    pub(super) epoch: Epoch,
    pub(super) shown: ShownState,
    pub(super) swarm: SwarmView,
    pub(super) schedule: Schedule,
    pub(super) storage: StorageView,
}

impl Publisher {
    /// Creates a publisher with a first snapshot, whose sequence number is zero.
    pub(super) fn new(node: NodeId, name: String, content: SnapshotContent) -> Self {
        let last_published = content.at.boot;
        let first = snapshot(0, node, name, content);
        Self { snapshots: watch::Sender::new(Arc::new(first)), last_published }
    }

    /// Returns a receiver of the current snapshot.
    pub(super) fn watch_snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// Returns the snapshot that is published now.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Returns true if a new snapshot should be published: it shows something new, or the heartbeat
    /// is due.
    pub(super) fn is_due(
        &self,
        shown: &ShownState,
        swarm: &SwarmView,
        storage: &StorageView,
        now: Monotonic,
    ) -> bool {
        let current = self.snapshots.borrow();
        now.since(self.last_published) >= HEARTBEAT
            || current.shown != *shown
            || current.swarm != *swarm
            || current.storage != *storage
    }

    /// Publishes the next snapshot.
    pub(super) fn publish(&mut self, content: SnapshotContent) {
        self.last_published = content.at.boot;
        let current = self.current();
        let next = snapshot(current.sequence + 1, current.node.clone(), current.name.clone(), content);
        self.snapshots.send_replace(Arc::new(next));
    }
}

fn snapshot(sequence: u64, node: NodeId, name: String, content: SnapshotContent) -> Snapshot {
    let SnapshotContent { at, offset, epoch, shown, swarm, schedule, storage } = content;
    Snapshot {
        schema: SCHEMA,
        sequence,
        at: at.wall,
        offset,
        epoch,
        node,
        name,
        shown,
        swarm,
        schedule,
        storage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_judge::{Judge, Policy};
    use sentinel_model::Timestamp;

    /// Content at a time of the boot clock. The wall clock stands still.
    fn content(at: u64) -> SnapshotContent {
        SnapshotContent {
            at: Moment { boot: Monotonic(at), wall: Timestamp(7_000) },
            offset: UtcOffset::default(),
            epoch: Epoch::default(),
            shown: Judge::new(Policy::default(), Moment::default()).assess(Moment::default()).shown,
            swarm: SwarmView::default(),
            schedule: Schedule::default(),
            storage: StorageView::default(),
        }
    }

    #[test]
    fn a_snapshot_is_due_when_what_is_shown_changes_and_every_second() {
        let publisher = Publisher::new("here".into(), "laptop".into(), content(10_000));
        let SnapshotContent { mut shown, swarm, mut storage, .. } = content(10_000);
        assert!(!publisher.is_due(&shown, &swarm, &storage, Monotonic(10_999)));
        assert!(publisher.is_due(&shown, &swarm, &storage, Monotonic(11_000)));
        storage.unstored = 1;
        assert!(publisher.is_due(&shown, &swarm, &storage, Monotonic(10_001)));
        storage.unstored = 0;
        shown.exits.clear();
        assert!(publisher.is_due(&shown, &swarm, &storage, Monotonic(10_001)));
    }

    #[test]
    fn snapshots_keep_the_identity_and_count_up() {
        let mut publisher = Publisher::new("here".into(), "laptop".into(), content(0));
        publisher.publish(content(1_000));
        let current = publisher.current();
        assert_eq!((current.sequence, current.at), (1, Timestamp(7_000)));
        assert_eq!((&current.node, current.name.as_str()), (&NodeId::from("here"), "laptop"));
    }
}
