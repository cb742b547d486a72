//! The order of a node's announcements, by which repeated and old ones are recognised.
//!
//! Each announcement has the number of its author's run and its own number within that run. Both
//! only rise, whatever happens to the author's wall clock. The highest one of each author is kept
//! across restarts of this node.

use crate::{
    private_file,
    wire::{self, WirePeer},
};
use libp2p::PeerId;
use sentinel_model::{Announcement, Timestamp, Verdict};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The file with the number of this node's last run.
const BOOT_FILE: &str = "boot.count";
/// The file with the highest order of each author.
const MARKS_FILE: &str = "announcements.marks";
/// The largest file that is read. The marks of 1,000 members take about 64 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The place of an announcement among those of its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct AnnouncementOrder {
    /// The number of the author's run.
    pub boot: u64,
    /// The number within that run.
    pub seq: u64,
}

/// An announcement as it is sent: the model's fields and, from current releases, its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderedAnnouncement {
    verdict: Verdict,
    since: Timestamp,
    open_incidents: u32,
    leaving: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    home_exit: Vec<IpAddr>,
    at: Timestamp,
    /// `None` from older releases, whose announcements are ordered by their wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<AnnouncementOrder>,
}

impl OrderedAnnouncement {
    /// Adds an order to an announcement.
    pub(crate) fn new(announcement: Announcement, order: Option<AnnouncementOrder>) -> Self {
        let Announcement { verdict, since, open_incidents, leaving, home_exit, at } = announcement;
        Self { verdict, since, open_incidents, leaving, home_exit, at, order }
    }

    /// Returns the announcement without its order.
    pub(crate) fn into_announcement(self) -> Announcement {
        let Self { verdict, since, open_incidents, leaving, home_exit, at, order: _ } = self;
        Announcement { verdict, since, open_incidents, leaving, home_exit, at }
    }
}

/// The highest order of each author, and where it is kept.
#[derive(Debug)]
pub(crate) struct AnnouncementMarks {
    file: PathBuf,
    marks: BTreeMap<PeerId, AnnouncementOrder>,
    changed: bool,
}

impl AnnouncementMarks {
    /// Loads the marks. A file that cannot be read counts as empty, which is logged.
    pub(crate) fn load(state_dir: &Path) -> Self {
        let file = state_dir.join(MARKS_FILE);
        let stored = private_file::read(&file, MAX_FILE_BYTES).map(|bytes| match bytes {
            Some(bytes) => wire::decode::<Vec<(WirePeer, AnnouncementOrder)>>(&bytes),
            None => Some(Vec::new()),
        });
        let marks = match stored {
            Ok(Some(marks)) => marks.into_iter().map(|(peer, order)| (peer.0, order)).collect(),
            Ok(None) => {
                tracing::warn!(path = %file.display(), "The file of announcement marks is damaged and is replaced");
                BTreeMap::new()
            }
            Err(error) => {
                tracing::warn!(path = %file.display(), %error, "Cannot read the announcement marks");
                BTreeMap::new()
            }
        };
        Self { file, marks, changed: false }
    }

    /// Returns true if a gossiped announcement is newer than all before it, and keeps its mark.
    ///
    /// `previous` is the last one accepted from the author in this run.
    pub(crate) fn admits_gossip(
        &mut self,
        author: &PeerId,
        previous: Option<&Announcement>,
        new: &OrderedAnnouncement,
    ) -> bool {
        match (new.order, self.marks.get(author)) {
            (Some(order), mark) => {
                let newer = mark.is_none_or(|mark| order > *mark);
                if newer {
                    self.set(author, order);
                }
                newer
            }
            // From before the author's update.
            (None, Some(_)) => false,
            (None, None) => previous.is_none_or(|previous| new.at > previous.at),
        }
    }

    /// Returns true if an announcement over the author's own connection is a new one.
    ///
    /// Nobody else can repeat these. So an author may start again with lower numbers, if it lost
    /// its files, or without any, if it went back to an older release.
    pub(crate) fn admits_direct(
        &mut self,
        author: &PeerId,
        previous: Option<&Announcement>,
        new: &OrderedAnnouncement,
    ) -> bool {
        let Some(order) = new.order else {
            self.changed |= self.marks.remove(author).is_some();
            return previous != Some(&new.clone().into_announcement());
        };
        let is_new = self.marks.get(author).is_none_or(|mark| order > *mark || order.boot < mark.boot);
        if is_new {
            self.set(author, order);
        }
        is_new
    }

    /// Returns true if an announcement is the latest that is known of its author.
    pub(crate) fn is_latest(&self, author: &PeerId, announcement: &OrderedAnnouncement) -> bool {
        announcement.order.is_some() && announcement.order == self.marks.get(author).copied()
    }

    fn set(&mut self, author: &PeerId, order: AnnouncementOrder) {
        self.marks.insert(*author, order);
        self.changed = true;
    }

    /// Removes the marks of nodes that are no longer members.
    pub(crate) fn retain(&mut self, members: &BTreeSet<PeerId>) {
        let before = self.marks.len();
        self.marks.retain(|author, _| members.contains(author));
        self.changed |= self.marks.len() != before;
    }

    /// Returns what to write if the marks changed since the last call: a file and its content.
    pub(crate) fn take_changes(&mut self) -> Option<(PathBuf, Vec<u8>)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let marks: Vec<_> = self.marks.iter().map(|(peer, order)| (WirePeer(*peer), *order)).collect();
        Some((self.file.clone(), wire::encode(&marks)))
    }
}

/// Returns the number of this run, after storing it.
///
/// It is higher than that of every run before. `now` helps only if the file was lost.
pub(crate) fn next_boot(state_dir: &Path, now: Timestamp) -> u64 {
    let file = state_dir.join(BOOT_FILE);
    let stored = match private_file::read(&file, MAX_FILE_BYTES) {
        Ok(bytes) => bytes
            .and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<u64>().ok())
            .unwrap_or_default(),
        Err(error) => {
            tracing::warn!(path = %file.display(), %error, "Cannot read the number of the last run");
            0
        }
    };
    let boot = stored.saturating_add(1).max(u64::try_from(now.0 / 1000).unwrap_or_default());
    if let Err(error) = private_file::replace(&file, boot.to_string().as_bytes()) {
        tracing::warn!(path = %file.display(), %error, "Cannot store the number of this run");
    }
    boot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn announcement(at: i64, order: Option<(u64, u64)>) -> OrderedAnnouncement {
        let announcement = Announcement {
            verdict: Verdict::Protected,
            since: Timestamp(at),
            open_incidents: 0,
            leaving: false,
            home_exit: Vec::new(),
            at: Timestamp(at),
        };
        OrderedAnnouncement::new(announcement, order.map(|(boot, seq)| AnnouncementOrder { boot, seq }))
    }

    fn restarted(marks: &mut AnnouncementMarks, dir: &Path) -> AnnouncementMarks {
        if let Some((file, content)) = marks.take_changes() {
            private_file::replace(&file, &content).unwrap();
        }
        AnnouncementMarks::load(dir)
    }

    #[test]
    fn a_hundred_thousand_replays_are_refused_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (author, other) = (PeerId::random(), PeerId::random());
        let mut marks = AnnouncementMarks::load(dir.path());
        let orders: Vec<_> = (0..50_000).map(|number| Some((1 + number / 1000, number % 1000))).collect();
        let accepted =
            orders.iter().filter(|order| marks.admits_gossip(&author, None, &announcement(5, **order)));
        assert_eq!(accepted.count(), orders.len(), "the wall clock stands still and decides nothing");
        for _ in 0..2 {
            let replayed =
                orders.iter().filter(|order| marks.admits_gossip(&author, None, &announcement(9, **order)));
            assert_eq!(replayed.count(), 0);
            marks = restarted(&mut marks, dir.path());
        }
        assert!(marks.admits_gossip(&author, None, &announcement(1, Some((51, 0)))));
        assert!(marks.admits_gossip(&other, None, &announcement(1, Some((1, 0)))));
    }

    #[test]
    fn announcements_without_an_order_are_ordered_by_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let author = PeerId::random();
        let mut marks = AnnouncementMarks::load(dir.path());
        let previous = announcement(5, None).into_announcement();
        let mut admits = |at, order| marks.admits_gossip(&author, Some(&previous), &announcement(at, order));
        assert!([4, 5, 6].map(|at| admits(at, None)) == [false, false, true]);
        assert!(admits(1, Some((1, 1))));
        assert!(!admits(9, None), "it is from before the author's update");
    }

    #[test]
    fn an_author_may_start_again_only_over_its_own_connection() {
        let dir = tempfile::tempdir().unwrap();
        let author = PeerId::random();
        let mut marks = AnnouncementMarks::load(dir.path());
        let lost = announcement(9, Some((1, 1)));
        assert!(marks.admits_gossip(&author, None, &announcement(5, Some((7, 7)))));
        assert!(
            !marks.admits_direct(&author, None, &announcement(5, Some((7, 7)))),
            "it only repeats itself"
        );
        assert!(!marks.admits_direct(&author, None, &announcement(5, Some((7, 6)))));
        assert!(!marks.admits_gossip(&author, None, &lost));
        assert!(marks.admits_direct(&author, None, &lost));
        assert!(marks.admits_gossip(&author, None, &announcement(9, Some((1, 2)))));
        let plain = announcement(9, None);
        assert!(marks.admits_direct(&author, None, &plain));
        assert!(!marks.admits_direct(&author, Some(&plain.clone().into_announcement()), &plain));
    }

    #[test]
    fn the_number_of_the_run_rises_whatever_happens_to_the_clock_or_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let day = 86_400_000;
        let first = next_boot(dir.path(), Timestamp(10 * day));
        assert!(next_boot(dir.path(), Timestamp(9 * day)) == first + 1);
        fs::write(dir.path().join(BOOT_FILE), b"?").unwrap();
        assert!(next_boot(dir.path(), Timestamp(11 * day)) > first + 1);
    }

    #[test]
    fn damaged_marks_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MARKS_FILE), [0xff; 40]).unwrap();
        let mut marks = AnnouncementMarks::load(dir.path());
        let (author, former) = (PeerId::random(), PeerId::random());
        assert!(marks.admits_gossip(&author, None, &announcement(1, Some((1, 1)))));
        assert!(marks.admits_gossip(&former, None, &announcement(1, Some((1, 1)))));
        marks.retain(&BTreeSet::from([author]));
        let marks = restarted(&mut marks, dir.path());
        assert_eq!(marks.marks.keys().collect::<Vec<_>>(), [&author]);
    }
}
