//! The queue of changes that the ledger does not have yet.

use super::change::{Delivery, LedgerChange, NoticeId};
use sentinel_model::{Incident, Notice};
use std::collections::{BTreeSet, VecDeque};
use tokio::time::Instant;

/// Changes kept in memory at most, about 4 MiB.
const CAPACITY: usize = 4096;

/// A number that identifies a queued change and rises with each.
pub(super) type Revision = u64;

/// Changes that are not stored yet, oldest first, the newest state once per incident and setting.
#[derive(Debug)]
pub(super) struct Unstored {
    changes: VecDeque<QueuedChange>,
    capacity: usize,
    last_revision: Revision,
    dropped: u64,
}

/// A change that waits to be stored.
#[derive(Clone, Debug)]
pub(super) struct QueuedChange {
    pub(super) revision: Revision,
    pub(super) queued: Instant,
    pub(super) change: LedgerChange,
}

impl Default for Unstored {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Unstored {
    fn with_capacity(capacity: usize) -> Self {
        Self { changes: VecDeque::new(), capacity, last_revision: 0, dropped: 0 }
    }

    /// Adds a change. A later state of the same incident or setting replaces the earlier one.
    pub(super) fn push(&mut self, change: LedgerChange, now: Instant) {
        if self.changes.iter().any(|queued| change.repeats(&queued.change)) {
            return;
        }
        self.changes.retain(|queued| !change.replaces(&queued.change));
        self.last_revision += 1;
        self.changes.push_back(QueuedChange { revision: self.last_revision, queued: now, change });
        if self.changes.len() > self.capacity {
            self.drop_least_important();
        }
    }

    fn drop_least_important(&mut self) {
        let rank = |queued: &QueuedChange| (queued.change.importance(), queued.revision);
        let least = self.changes.iter().enumerate().min_by_key(|(_, queued)| rank(queued));
        if let Some((index, _)) = least {
            self.changes.remove(index);
            self.dropped += 1;
        }
    }

    /// Removes changes that are stored now. A newer state of the same incident stays.
    pub(super) fn remove(&mut self, stored: &BTreeSet<Revision>) {
        self.changes.retain(|queued| !stored.contains(&queued.revision));
    }

    /// Returns all changes, oldest first.
    pub(super) fn changes(&self) -> impl Iterator<Item = &QueuedChange> {
        self.changes.iter()
    }

    /// Returns the notices, oldest first, with the time since when each has been waiting.
    pub(super) fn notices(&self) -> impl Iterator<Item = (&Notice, Instant)> {
        self.changes.iter().filter_map(|queued| match &queued.change {
            LedgerChange::Notice(notice) => Some((notice, queued.queued)),
            _ => None,
        })
    }

    /// Returns the latest state of every incident whose latest state is not stored.
    pub(super) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.changes.iter().filter_map(|queued| match &queued.change {
            LedgerChange::Incident(incident) => Some(incident),
            _ => None,
        })
    }

    /// Returns the notices that a channel has delivered without that being stored.
    pub(super) fn delivered(&self, channel: &str) -> impl Iterator<Item = &NoticeId> {
        self.changes.iter().filter_map(move |queued| match &queued.change {
            LedgerChange::Delivery(Delivery { channel: by, notice }) if by == channel => Some(notice),
            _ => None,
        })
    }

    /// Returns the number of changes.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns the number of changes given up because too many were waiting.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{
        FindingKind, IncidentId, IncidentState, Moment, NoticeKind, RuleId, Severity, Timestamp,
    };

    fn incident(id: &str, state: IncidentState) -> LedgerChange {
        LedgerChange::Incident(Incident {
            id: IncidentId::from(id),
            rule: RuleId("tunnel-down".to_owned()),
            kind: FindingKind::TunnelDown,
            family: None,
            entity: None,
            severity: Severity::Critical,
            state,
            title: String::new(),
            sentence: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
            opened: Moment::default(),
            changed: Moment::default(),
            acknowledged: None,
        })
    }

    fn notice(incident: &str, kind: NoticeKind) -> LedgerChange {
        LedgerChange::Notice(Notice {
            incident: IncidentId::from(incident),
            kind,
            severity: Severity::Critical,
            title: String::new(),
            body: String::new(),
            at: Timestamp(0),
        })
    }

    fn delivery(incident: &str) -> LedgerChange {
        let notice = NoticeId::from(&match notice(incident, NoticeKind::Alarm) {
            LedgerChange::Notice(notice) => notice,
            other => panic!("{other:?}"),
        });
        LedgerChange::Delivery(Delivery { channel: "log".to_owned(), notice })
    }

    fn queue(capacity: usize, changes: impl IntoIterator<Item = LedgerChange>) -> Unstored {
        let mut unstored = Unstored::with_capacity(capacity);
        for change in changes {
            unstored.push(change, Instant::now());
        }
        unstored
    }

    #[test]
    fn the_newest_state_of_an_incident_and_every_notice_once_are_kept_in_order() {
        let unstored = queue(
            10,
            [
                incident("a", IncidentState::Firing),
                notice("a", NoticeKind::Alarm),
                incident("b", IncidentState::Firing),
                notice("a", NoticeKind::Alarm),
                incident("a", IncidentState::Resolved),
                notice("a", NoticeKind::Resolve),
            ],
        );
        let incidents: Vec<_> =
            unstored.incidents().map(|known| (known.id.0.as_str(), known.state)).collect();
        assert_eq!(incidents, [("b", IncidentState::Firing), ("a", IncidentState::Resolved)]);
        let notices: Vec<_> = unstored.notices().map(|(notice, _)| notice.kind).collect();
        assert_eq!(notices, [NoticeKind::Alarm, NoticeKind::Resolve]);
    }

    #[test]
    fn a_state_that_arrives_while_an_earlier_one_is_being_stored_stays() {
        let mut unstored = queue(10, [incident("a", IncidentState::Firing)]);
        let being_stored = unstored.changes().map(|queued| queued.revision).collect();
        unstored.push(incident("a", IncidentState::Resolved), Instant::now());
        unstored.remove(&being_stored);
        assert_eq!(
            unstored.incidents().map(|known| known.state).collect::<Vec<_>>(),
            [IncidentState::Resolved]
        );
    }

    #[test]
    fn a_full_queue_gives_up_what_matters_least_and_counts_it() {
        let unstored = queue(
            3,
            [
                incident("open", IncidentState::Firing),
                incident("over", IncidentState::Resolved),
                delivery("a"),
                notice("b", NoticeKind::Alarm),
                notice("c", NoticeKind::Alarm),
                notice("d", NoticeKind::Alarm),
            ],
        );
        assert_eq!((unstored.len(), unstored.dropped()), (3, 3));
        assert_eq!(unstored.incidents().map(|known| known.id.0.as_str()).collect::<Vec<_>>(), ["open"]);
        let notices: Vec<_> = unstored.notices().map(|(notice, _)| notice.incident.0.as_str()).collect();
        assert_eq!(notices, ["c", "d"]);
    }
}
