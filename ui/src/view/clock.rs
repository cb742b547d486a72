//! The node's clock, which may differ from the browser's.

use sentinel_model::Timestamp;

/// The node's wall clock, estimated. Ages are shown by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeClock {
    /// What to add to the browser's clock, in milliseconds.
    ahead: i64,
}

impl NodeClock {
    /// Sets the clock from the node's time, reported at a time of the browser.
    pub fn set(node: Timestamp, browser: Timestamp) -> Self {
        Self { ahead: node.0 - browser.0 }
    }

    /// Moves the clock ahead if a snapshot was made later than the clock allows.
    ///
    /// A snapshot is made before it arrives, so the node is at least that far ahead.
    #[must_use]
    pub fn adjust(self, made: Timestamp, browser: Timestamp) -> Self {
        Self { ahead: self.ahead.max(made.0 - browser.0) }
    }

    /// Returns the node's time at a time of the browser.
    pub fn at(self, browser: Timestamp) -> Timestamp {
        Timestamp(browser.0 + self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_is_followed_and_an_old_state_does_not_turn_it_back() {
        let clock = NodeClock::set(Timestamp(100_000), Timestamp(40_000));
        assert_eq!(clock.at(Timestamp(41_000)), Timestamp(101_000));
        assert_eq!(clock.adjust(Timestamp(50_000), Timestamp(41_000)), clock);
        assert_eq!(
            clock.adjust(Timestamp(101_400), Timestamp(41_000)).at(Timestamp(41_000)),
            Timestamp(101_400)
        );
    }
}
