//! Publishes snapshots, and signals that there are new notices.

use sentinel_model::{
    Epoch, Millis, Moment, Monotonic, NodeId, SCHEMA, Schedule, ShownState, Snapshot, SwarmView, UtcOffset,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Time between two snapshots when nothing changes.
const HEARTBEAT: Millis = Millis::secs(1);

/// The sending ends of what a handle watches.
#[derive(Debug)]
pub(super) struct Publisher {
    snapshots: watch::Sender<Arc<Snapshot>>,
    last_published: Monotonic,
    notices: watch::Sender<u64>,
}

/// What a snapshot shows besides the node's identity.
pub(super) struct SnapshotContent {
    pub(super) at: Moment,
    pub(super) offset: UtcOffset,
    pub(super) epoch: Epoch,
    pub(super) shown: ShownState,
    pub(super) swarm: SwarmView,
    pub(super) schedule: Schedule,
}

impl Publisher {
    /// Creates a publisher with a first snapshot, whose sequence number is zero.
    pub(super) fn new(node: NodeId, name: String, content: SnapshotContent) -> Self {
        let last_published = content.at.boot;
        let first = snapshot(0, node, name, content);
        Self {
            snapshots: watch::Sender::new(Arc::new(first)),
            last_published,
            notices: watch::Sender::new(0),
        }
    }

    /// Returns a receiver of the current snapshot.
    pub(super) fn watch_snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// Returns a receiver of a number that rises when there are new notices.
    pub(super) fn watch_notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }

    /// Returns the snapshot that is published now.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Returns true if a new snapshot should be published: it shows something new, or the heartbeat
    /// is due.
    pub(super) fn is_due(&self, shown: &ShownState, swarm: &SwarmView, now: Monotonic) -> bool {
        let current = self.snapshots.borrow();
        now.since(self.last_published) >= HEARTBEAT || current.shown != *shown || current.swarm != *swarm
    }

    /// Publishes the next snapshot.
    pub(super) fn publish(&mut self, content: SnapshotContent) {
        self.last_published = content.at.boot;
        let current = self.current();
        let next = snapshot(current.sequence + 1, current.node.clone(), current.name.clone(), content);
        self.snapshots.send_replace(Arc::new(next));
    }

    /// Signals that there are new notices to deliver.
    pub(super) fn signal_notices(&self) {
        self.notices.send_modify(|count| *count += 1);
    }
}

fn snapshot(sequence: u64, node: NodeId, name: String, content: SnapshotContent) -> Snapshot {
    let SnapshotContent { at, offset, epoch, shown, swarm, schedule } = content;
    Snapshot { schema: SCHEMA, sequence, at: at.wall, offset, epoch, node, name, shown, swarm, schedule }
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
        }
    }

    #[test]
    fn a_snapshot_is_due_when_what_is_shown_changes_and_every_second() {
        let publisher = Publisher::new("here".into(), "laptop".into(), content(10_000));
        let SnapshotContent { mut shown, swarm, .. } = content(10_000);
        assert!(!publisher.is_due(&shown, &swarm, Monotonic(10_999)));
        assert!(publisher.is_due(&shown, &swarm, Monotonic(11_000)));
        shown.exits.clear();
        assert!(publisher.is_due(&shown, &swarm, Monotonic(10_001)));
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
