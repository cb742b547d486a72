//! Whether the page still receives snapshots from its node.

use sentinel_model::{Millis, Timestamp};

/// After this much silence, the last verdict is no longer shown as current.
const STALE_AFTER: Millis = Millis::secs(10);

/// After this much silence, the page requests a snapshot.
///
/// A network can fail without an error on the stream.
const REFRESH_AFTER: Millis = Millis::secs(5);

/// The state of the connection to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Snapshots arrive.
    Live,
    /// The stream was interrupted recently; what is shown is still current enough.
    Interrupted,
    /// Nothing has arrived for so long that what is shown is out of date.
    Stale,
}

/// What the page has observed of its connection. Times are the node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// When a snapshot last arrived.
    pub last_heard: Timestamp,
    interrupted: bool,
}

impl Connection {
    /// Returns a connection on which a snapshot arrived at that time.
    pub fn live(last_heard: Timestamp) -> Self {
        Self { last_heard, interrupted: false }
    }

    /// Returns the same connection after the stream was interrupted.
    #[must_use]
    pub fn interrupt(self) -> Self {
        Self { interrupted: true, ..self }
    }

    /// Returns the state at a time.
    pub fn state(self, now: Timestamp) -> ConnectionState {
        if self.silence(now) >= STALE_AFTER {
            ConnectionState::Stale
        } else if self.interrupted {
            ConnectionState::Interrupted
        } else {
            ConnectionState::Live
        }
    }

    /// Returns true if the silence is long enough to request a snapshot.
    pub fn needs_refresh(self, now: Timestamp) -> bool {
        self.silence(now) >= REFRESH_AFTER
    }

    fn silence(self, now: Timestamp) -> Millis {
        now.since(self.last_heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_silent_seconds_make_it_stale_whether_or_not_the_stream_was_interrupted() {
        let connection = Connection::live(Timestamp(1_000));
        assert_eq!(connection.state(Timestamp(10_999)), ConnectionState::Live);
        assert_eq!(connection.state(Timestamp(11_000)), ConnectionState::Stale);
        assert_eq!(connection.interrupt().state(Timestamp(2_000)), ConnectionState::Interrupted);
        assert_eq!(connection.interrupt().state(Timestamp(11_000)), ConnectionState::Stale);
    }

    #[test]
    fn a_new_snapshot_makes_a_stale_connection_live() {
        let connection = Connection::live(Timestamp(1_000)).interrupt();
        assert_eq!(connection.state(Timestamp(60_000)), ConnectionState::Stale);
        assert_eq!(Connection::live(Timestamp(60_000)).state(Timestamp(60_100)), ConnectionState::Live);
    }

    #[test]
    fn a_snapshot_is_requested_well_before_the_connection_is_stale() {
        let connection = Connection::live(Timestamp(0));
        assert!(!connection.needs_refresh(Timestamp(4_999)));
        assert!(connection.needs_refresh(Timestamp(5_000)));
    }
}
