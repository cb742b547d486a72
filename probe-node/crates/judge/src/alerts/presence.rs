//! Whether one finding is present at one assessment, and for how long that has been so.

use sentinel_model::{Millis, Moment};

/// What an assessment says about one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is present.
    Present,
    /// It is present, but a graver finding explains it.
    Inhibited,
    /// It was looked for and is absent.
    Absent,
    /// It could not be determined.
    Undetermined,
}

/// Assessments in a row with the same presence.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresenceRun {
    pub presence: Presence,
    pub since: Moment,
    /// The last assessment.
    pub last: Moment,
}

impl PresenceRun {
    /// Starts a run.
    pub fn start(presence: Presence, now: Moment) -> Self {
        Self { presence, since: now, last: now }
    }

    /// Returns the run after one more assessment.
    pub fn next(self, presence: Presence, now: Moment) -> Self {
        if presence == self.presence { Self { last: now, ..self } } else { Self::start(presence, now) }
    }

    /// Returns how long the run has lasted.
    pub fn lasted(&self) -> Millis {
        self.last.boot.since(self.since.boot)
    }
}
