//! Detects that the machine slept, from the difference between two clocks.

use super::api::Change;
use sentinel_model::Millis;

/// A smaller difference is not a sleep: the two clocks are read one after the other.
const SHORTEST_SLEEP: Millis = Millis(100);

/// Compares readings of [`crate::clock`]'s total time slept since boot.
pub(super) struct SleepDetector {
    /// The total at the last detected sleep.
    slept: Millis,
}

impl SleepDetector {
    /// Starts with the current total.
    pub(super) fn new(slept: Millis) -> Self {
        Self { slept }
    }

    /// Returns the wake-up if the machine slept since the last one.
    pub(super) fn detect_wake(&mut self, slept: Millis) -> Option<Change> {
        let since = Millis(slept.0.saturating_sub(self.slept.0));
        if since < SHORTEST_SLEEP {
            return None;
        }
        self.slept = slept;
        Some(Change::Woke(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_reported_once_and_the_time_between_two_readings_is_not() {
        let mut detector = SleepDetector::new(Millis(5_000));
        assert_eq!(detector.detect_wake(Millis(5_001)), None);
        assert_eq!(detector.detect_wake(Millis(65_000)), Some(Change::Woke(Millis::secs(60))));
        assert_eq!(detector.detect_wake(Millis(65_000)), None);
        // Nor is a reading slightly below the last one a sleep.
        assert_eq!(detector.detect_wake(Millis(64_999)), None);
    }
}
