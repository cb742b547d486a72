//! What is being measured at the moment.

use super::rounds::Rounds;
use sentinel_checks::{Checks, Ownership};
use sentinel_model::{Epoch, Millis, Monotonic, Observation, Timestamp};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// The running checks, and what is remembered of earlier ones.
pub(super) struct Measuring {
    pub(super) checks: Checks,
    pub(super) ownership: Ownership,
    /// Every task that the loop has started and that has not been joined.
    pub(super) tasks: JoinSet<TaskOutcome>,
    /// Where checks send their observations; the loop receives them.
    pub(super) observations: mpsc::Sender<Observation>,
    pub(super) beacons: Vec<AbortHandle>,
    pub(super) local_checks: Option<AbortHandle>,
    pub(super) socket_look: Option<AbortHandle>,
    /// When the kill switch was last tested apart from rounds.
    pub(super) kill_switch_tested: Option<Monotonic>,
    pub(super) rounds: Rounds,
    /// The epoch in which a round looked for a captive portal, while no voice answers.
    pub(super) portal_asked_in: Option<Epoch>,
    /// When the last complete round ended, and how long it took.
    pub(super) last_round: Option<(Timestamp, Millis)>,
    /// The round that ended in this step of the loop.
    pub(super) just_ended: Option<u64>,
}

impl Measuring {
    /// Creates the state before the first check.
    pub(super) fn new(checks: Checks, ownership: Ownership, observations: mpsc::Sender<Observation>) -> Self {
        Self {
            checks,
            ownership,
            tasks: JoinSet::new(),
            observations,
            beacons: Vec::new(),
            local_checks: None,
            socket_look: None,
            kill_switch_tested: None,
            rounds: Rounds::default(),
            portal_asked_in: None,
            last_round: None,
            just_ended: None,
        }
    }

    /// Aborts all beacons under way: they belong to an earlier network.
    pub(super) fn abort_beacons(&mut self) {
        self.beacons.drain(..).for_each(|beacon| beacon.abort());
    }

    /// Counts the beacons under way.
    pub(super) fn running_beacons(&mut self) -> usize {
        self.beacons.retain(|beacon| !beacon.is_finished());
        self.beacons.len()
    }
}

/// What a task of the loop did.
pub(super) enum TaskOutcome {
    Beacon,
    LocalChecks,
    Maintenance,
    Round(FinishedRound),
    Attestations(Vec<Observation>),
}

/// A round that ran to its end.
pub(super) struct FinishedRound {
    pub(super) number: u64,
    pub(super) epoch: Epoch,
    pub(super) took: Millis,
}
