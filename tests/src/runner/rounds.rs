//! The full rounds of the laptop's node, as its snapshots report them.

use crate::node_api::ReceivedSnapshot;
use sentinel_model::{Millis, Timestamp};
use std::time::Instant;

/// The start of the latest full round that has ended.
#[derive(Debug, Default)]
pub(super) struct RoundTracker {
    ended: Option<Timestamp>,
    began: Option<Instant>,
}

impl RoundTracker {
    /// Updates the tracker if the snapshot reports a further round.
    pub(super) fn observe(&mut self, received: &ReceivedSnapshot) {
        let schedule = &received.snapshot.schedule;
        if schedule.last_round != self.ended {
            self.ended = schedule.last_round;
            let took = schedule.last_round_took.map(Millis::duration).unwrap_or_default();
            self.began = received.at.checked_sub(took);
        }
    }

    /// Returns true if a round that began after `time` has ended.
    pub(super) fn has_round_since(&self, time: Instant) -> bool {
        self.began.is_some_and(|began| began > time)
    }
}
