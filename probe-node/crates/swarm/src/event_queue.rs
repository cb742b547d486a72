//! The events that wait for room in the channel to the engine.
//!
//! The channel is bounded, and the actor must not wait for it. Of each node's announcements only
//! the latest is kept here.

use crate::messages::Event;
use std::collections::VecDeque;

/// When this many events wait, further announcements are dropped.
///
/// All other events are kept: entries of the membership log must not be lost, and they are few.
const MAX_WAITING: usize = 1024;

/// A queue of events.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    waiting: VecDeque<Event>,
}

impl EventQueue {
    /// Adds an event. An announcement replaces the waiting one of the same node.
    pub(crate) fn push(&mut self, event: Event) {
        if let Event::Announced { node, .. } = &event {
            self.waiting.retain(|old| !matches!(old, Event::Announced { node: other, .. } if other == node));
            if self.waiting.len() >= MAX_WAITING {
                return;
            }
        }
        self.waiting.push_back(event);
    }

    /// Returns true if no event waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Removes and returns the oldest event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    /// Removes all events.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Announcement, NodeId, Timestamp, Verdict};

    fn announced(node: &str, at: i64) -> Event {
        let announcement = Announcement {
            verdict: Verdict::Protected,
            since: Timestamp(at),
            open_incidents: 0,
            leaving: false,
            home_exit: Vec::new(),
            at: Timestamp(at),
        };
        Event::Announced { node: NodeId(node.to_owned()), announcement }
    }

    fn drain(mut queue: EventQueue) -> Vec<Event> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn only_the_latest_announcement_of_each_node_waits() {
        let mut queue = EventQueue::default();
        queue.push(announced("vps", 1));
        queue.push(Event::MembershipEntry(vec![1]));
        queue.push(announced("laptop", 2));
        queue.push(announced("vps", 3));
        let expected = [Event::MembershipEntry(vec![1]), announced("laptop", 2), announced("vps", 3)];
        assert_eq!(drain(queue), expected);
    }

    #[test]
    fn a_full_queue_drops_announcements_and_keeps_membership_entries() {
        let mut queue = EventQueue::default();
        for number in 0..MAX_WAITING {
            queue.push(announced(&format!("node {number}"), 1));
        }
        queue.push(announced("one too many", 1));
        queue.push(Event::MembershipEntry(vec![1]));
        let waiting = drain(queue);
        assert_eq!(waiting.len(), MAX_WAITING + 1);
        assert_eq!(waiting.last(), Some(&Event::MembershipEntry(vec![1])));
    }
}
