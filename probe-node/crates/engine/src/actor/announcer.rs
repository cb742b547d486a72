//! When this node announces its verdict to the other nodes.

use sentinel_model::{Announcement, Millis, Monotonic};

/// Time between two announcements when nothing changes.
const HEARTBEAT: Millis = Millis::secs(10);

/// Remembers the last announcement.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    last: Option<(Announcement, Monotonic)>,
}

impl Announcer {
    /// Returns true if an announcement should be sent: it says something new, or the heartbeat is
    /// due.
    ///
    /// A different time alone is nothing new.
    pub(super) fn is_due(&self, announcement: &Announcement, now: Monotonic) -> bool {
        let Some((last, sent)) = &self.last else { return true };
        let comparable = Announcement { since: last.since, at: last.at, ..announcement.clone() };
        *last != comparable || now.since(*sent) >= HEARTBEAT
    }

    /// Records an announcement that was sent.
    pub(super) fn record(&mut self, announcement: Announcement, now: Monotonic) {
        self.last = Some((announcement, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Timestamp, Verdict};

    fn announcement(verdict: Verdict, at: i64) -> Announcement {
        Announcement {
            verdict,
            since: Timestamp(at),
            open_incidents: 0,
            leaving: false,
            home_exit: Vec::new(),
            at: Timestamp(at),
        }
    }

    #[test]
    fn an_announcement_is_due_when_it_says_something_new_and_every_ten_seconds() {
        let mut announcer = Announcer::default();
        let protected = announcement(Verdict::Protected, 0);
        assert!(announcer.is_due(&protected, Monotonic(0)));
        announcer.record(protected, Monotonic(0));
        assert!(!announcer.is_due(&announcement(Verdict::Protected, 500), Monotonic(500)));
        assert!(announcer.is_due(&announcement(Verdict::Exposed, 500), Monotonic(500)));
        let leaving = Announcement { leaving: true, ..announcement(Verdict::Protected, 500) };
        assert!(announcer.is_due(&leaving, Monotonic(500)));
        assert!(!announcer.is_due(&announcement(Verdict::Protected, 9_999), Monotonic(9_999)));
        assert!(announcer.is_due(&announcement(Verdict::Protected, 10_000), Monotonic(10_000)));
    }
}
