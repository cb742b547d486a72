//! Sends the facts that a running check finds.

use sentinel_model::{Clock, Epoch, Fact, Observation};
use tokio::sync::mpsc;

/// Turns facts into observations and sends them at once.
///
/// Each observation carries the time at which the fact was found and the epoch in which the check
/// started.
pub(crate) struct Reporter {
    epoch: Epoch,
    clock: Clock,
    out: mpsc::Sender<Observation>,
}

impl Reporter {
    pub(crate) fn new(epoch: Epoch, clock: Clock, out: mpsc::Sender<Observation>) -> Self {
        Self { epoch, clock, out }
    }

    /// Returns the epoch in which the check started.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sends one fact. A dropped receiver is not an error: nobody is interested any more.
    pub(crate) async fn send(&self, fact: Fact) {
        let observation = Observation { at: (self.clock)(), epoch: self.epoch, fact };
        if self.out.send(observation).await.is_err() {
            tracing::trace!("dropped an observation whose receiver is gone");
        }
    }
}
