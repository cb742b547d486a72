//! Where a running check puts what it found.

use sentinel_model::{Clock, Epoch, Fact, Observation};
use tokio::sync::mpsc;

/// Stamps facts with the time and with the epoch in which the check started, and sends them on at once.
pub(crate) struct Report {
    epoch: Epoch,
    clock: Clock,
    out: mpsc::Sender<Observation>,
}

impl Report {
    pub(crate) fn new(epoch: Epoch, clock: Clock, out: mpsc::Sender<Observation>) -> Self {
        Self { epoch, clock, out }
    }

    /// The epoch in which the check started.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sends one fact. A receiver that is gone has no more interest in it, which is no error.
    pub(crate) async fn fact(&self, fact: Fact) {
        let observation = Observation { at: (self.clock)(), epoch: self.epoch, fact };
        if self.out.send(observation).await.is_err() {
            tracing::trace!("an observation came after its receiver was gone");
        }
    }
}
