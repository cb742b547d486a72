//! Events on their way to the engine. The channel is bounded and the actor never waits for it: what does not fit waits
//! here, and of announcements only the latest of each node.

use crate::handle::Event;
use std::collections::VecDeque;

/// How many announcements may wait; entries of the log are never dropped, and there are few of them.
const MAX_WAITING: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Event>,
}

impl Outbox {
    /// Puts an event in line.
    pub(crate) fn push(&mut self, event: Event) {
        if let Event::Announced { node, .. } = &event {
            self.waiting.retain(|old| !matches!(old, Event::Announced { node: other, .. } if other == node));
            if self.waiting.len() >= MAX_WAITING {
                return;
            }
        }
        self.waiting.push_back(event);
    }

    /// Whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    /// Nobody listens any more.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
