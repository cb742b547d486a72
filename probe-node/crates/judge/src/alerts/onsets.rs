//! How often a condition began lately, which damps conditions that come and go.

use crate::bounded::push_bounded;
use sentinel_model::{Millis, Moment, Monotonic};
use std::collections::VecDeque;

/// When a condition lately began.
///
/// One that comes and goes is one incident: the more often it came, the longer it must stay away
/// before the incident is resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Onsets(VecDeque<Monotonic>);

impl Onsets {
    /// For how long an onset counts.
    const WINDOW: Millis = Millis::secs(600);
    /// From how many on they damp.
    const MANY: usize = 3;
    /// How many are remembered; more would not damp any further.
    const KEPT: usize = 8;
    /// How long the condition must then stay away; doubled with every further onset.
    const DAMPING: Millis = Millis::secs(60);
    /// The longest the condition must stay away.
    const LONGEST: Millis = Millis::secs(300);

    /// Records that the condition began.
    pub fn record(&mut self, now: Moment) {
        push_bounded(&mut self.0, now.boot, Self::KEPT);
    }

    /// Returns true if no onset counts any more.
    pub fn are_past(&self, now: Moment) -> bool {
        self.count_recent(now) == 0
    }

    /// Returns how long the condition must stay away.
    pub fn damping(&self, now: Moment) -> Millis {
        match self.count_recent(now).checked_sub(Self::MANY) {
            None => Millis(0),
            Some(further) => Millis((Self::DAMPING.0 << further.min(8)).min(Self::LONGEST.0)),
        }
    }

    fn count_recent(&self, now: Moment) -> usize {
        self.0.iter().filter(|at| now.boot.since(**at) < Self::WINDOW).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Timestamp;

    fn at(second: u64) -> Moment {
        Moment { boot: Monotonic(second * 1_000), wall: Timestamp(0) }
    }

    #[test]
    fn the_damping_doubles_from_the_third_onset_up_to_five_minutes() {
        let mut onsets = Onsets::default();
        for expected in [0, 0, 60, 120, 240, 300, 300, 300, 300] {
            onsets.record(at(0));
            assert_eq!(onsets.damping(at(1)), Millis::secs(expected));
        }
    }

    #[test]
    fn onsets_count_for_ten_minutes() {
        let mut onsets = Onsets::default();
        assert!(onsets.are_past(at(0)));
        onsets.record(at(0));
        assert!(!onsets.are_past(at(599)));
        assert!(onsets.are_past(at(600)));
    }
}
