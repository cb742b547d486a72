//! What every part of the judge needs to know at one moment.

use crate::{dated::Dated, policy::Policy};
use sentinel_model::{Epoch, Millis, Moment, Monotonic};

/// The current epoch, and how long measurements from before it still count for the verdict.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EpochState {
    /// The current epoch.
    pub epoch: Epoch,
    /// Until when voices from before the last network change may still uphold the verdict.
    pub grace_until: Monotonic,
}

impl EpochState {
    /// Returns the context of what happens at a moment of this epoch.
    pub fn context(self, now: Moment, policy: &Policy) -> JudgeContext<'_> {
        JudgeContext { now, epoch: self.epoch, grace_until: self.grace_until, policy }
    }
}

/// The time, the epoch and the policy under which something is recorded or evaluated.
#[derive(Clone, Copy)]
pub(crate) struct JudgeContext<'a> {
    /// The moment of the evaluation.
    pub now: Moment,
    /// The current epoch.
    pub epoch: Epoch,
    /// Until when voices from before the last network change may still uphold the verdict.
    pub grace_until: Monotonic,
    /// The user's policy.
    pub policy: &'a Policy,
}

impl JudgeContext<'_> {
    /// Returns the time passed since a moment; zero if it is in the future.
    pub fn age(&self, at: Moment) -> Millis {
        self.now.boot.since(at.boot)
    }

    /// Returns true if something measured once per round is recent enough to count.
    pub fn is_recent(&self, at: Moment) -> bool {
        self.age(at) <= self.policy.thresholds.round_ttl
    }

    /// Returns true if something measured once per round counts for findings: it is recent and of
    /// this epoch.
    pub fn is_current<T>(&self, dated: &Dated<T>) -> bool {
        dated.epoch == self.epoch && self.is_recent(dated.at)
    }

    /// Returns true if voices from before the last network change may still uphold the verdict.
    pub fn in_grace(&self) -> bool {
        self.now.boot < self.grace_until
    }

    /// Returns the local time of day of a moment, as `14:02:11`.
    pub fn time_of_day(&self, at: Moment) -> String {
        at.wall.time_of_day(self.policy.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Timestamp;

    fn at(ms: u64) -> Moment {
        Moment { boot: Monotonic(ms), wall: Timestamp(0) }
    }

    #[test]
    fn a_measurement_counts_in_its_own_epoch_and_for_three_rounds() {
        let policy = Policy::default();
        let ttl = policy.thresholds.round_ttl.0;
        let state = EpochState { epoch: Epoch(4), grace_until: Monotonic(ttl + 1) };
        let dated = |epoch| Dated { value: (), at: at(0), epoch: Epoch(epoch) };
        let context = state.context(at(ttl), &policy);
        assert!(context.is_current(&dated(4)) && !context.is_current(&dated(3)));
        assert!(context.in_grace());
        let later = state.context(at(ttl + 1), &policy);
        assert!(!later.is_current(&dated(4)));
        assert!(!later.in_grace());
    }
}
