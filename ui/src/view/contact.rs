//! Whether the node still speaks to this page, and what time it is there.

use sentinel_model::{Millis, Timestamp};

/// Without contact for this long, the last verdict counts for nothing.
const STALE_AFTER: Millis = Millis::secs(10);

/// After this much silence the page asks whether the node is still there: a network can go without breaking the stream.
const ASK_AFTER: Millis = Millis::secs(5);

/// How the page stands with the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It speaks.
    Live,
    /// The stream broke moments ago; what is shown is still recent.
    Lost,
    /// Nothing for so long that what is shown is history.
    Stale,
}

/// What is known of the contact with the node. Times are the node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// When anything last came from it.
    pub heard: Timestamp,
    /// Whether the stream is known to be broken.
    pub broken: bool,
}

impl Contact {
    /// Something came at that time.
    pub fn at(heard: Timestamp) -> Self {
        Self { heard, broken: false }
    }

    /// The same contact once the stream has broken.
    #[must_use]
    pub fn break_off(self) -> Self {
        Self { broken: true, ..self }
    }

    /// How the page stands with the node now.
    pub fn standing(self, now: Timestamp) -> Standing {
        if self.silence(now) >= STALE_AFTER {
            Standing::Stale
        } else if self.broken {
            Standing::Lost
        } else {
            Standing::Live
        }
    }

    /// Whether it has been silent for so long that one should ask.
    pub fn wants_asking(self, now: Timestamp) -> bool {
        self.silence(now) >= ASK_AFTER
    }

    fn silence(self, now: Timestamp) -> Millis {
        now.since(self.heard)
    }
}

/// The node's wall clock as this page can tell it. Ages are shown by the node's clock, for the two may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeClock {
    /// What to add to the browser's clock, in milliseconds.
    ahead: i64,
}

impl NodeClock {
    /// From the node's time as it was given at a time of the browser.
    pub fn set(node: Timestamp, browser: Timestamp) -> Self {
        Self { ahead: node.0 - browser.0 }
    }

    /// A state was made no later than it arrived, so the node is at least that far ahead.
    #[must_use]
    pub fn learn(self, made: Timestamp, browser: Timestamp) -> Self {
        Self { ahead: self.ahead.max(made.0 - browser.0) }
    }

    /// The node's time at a time of the browser.
    pub fn at(self, browser: Timestamp) -> Timestamp {
        Timestamp(browser.0 + self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_silent_seconds_make_it_stale_whether_or_not_the_stream_broke() {
        let contact = Contact::at(Timestamp(1_000));
        assert_eq!(contact.standing(Timestamp(10_999)), Standing::Live);
        assert_eq!(contact.standing(Timestamp(11_000)), Standing::Stale);
        assert_eq!(contact.break_off().standing(Timestamp(2_000)), Standing::Lost);
        assert_eq!(contact.break_off().standing(Timestamp(11_000)), Standing::Stale);
    }

    #[test]
    fn hearing_from_it_again_heals_everything() {
        let contact = Contact::at(Timestamp(1_000)).break_off();
        assert_eq!(contact.standing(Timestamp(60_000)), Standing::Stale);
        assert_eq!(Contact::at(Timestamp(60_000)).standing(Timestamp(60_100)), Standing::Live);
    }

    #[test]
    fn it_is_asked_well_before_it_counts_as_lost() {
        let contact = Contact::at(Timestamp(0));
        assert!(!contact.wants_asking(Timestamp(4_999)));
        assert!(contact.wants_asking(Timestamp(5_000)));
    }

    #[test]
    fn a_clock_that_differs_is_followed_and_an_old_state_does_not_turn_it_back() {
        let clock = NodeClock::set(Timestamp(100_000), Timestamp(40_000));
        assert_eq!(clock.at(Timestamp(41_000)), Timestamp(101_000));
        assert_eq!(clock.learn(Timestamp(50_000), Timestamp(41_000)), clock);
        assert_eq!(
            clock.learn(Timestamp(101_400), Timestamp(41_000)).at(Timestamp(41_000)),
            Timestamp(101_400)
        );
    }
}
