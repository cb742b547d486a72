//! The state of the loop, grouped by purpose.

use super::{announcer::Announcer, measuring::Measuring, publisher::Publisher, recorder::Recorder};
use crate::{
    cadence::Cadence, config::Config, home::HomeSources, storage::LedgerWriter,
    system_answers::SystemAnswers, voice_log::VoiceLog,
};
use sentinel_checks::OwnResolver;
use sentinel_judge::Judge;
use sentinel_model::{Clock, Epoch, Moment};
use sentinel_store::Store;
use sentinel_swarm::Swarm;

/// The actor: everything the loop owns.
pub(super) struct Actor {
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) ledger: LedgerWriter,
    pub(super) resolver: OwnResolver,
    pub(super) swarm: Swarm,
    pub(super) judge: Judge,
    pub(super) network: CurrentNetwork,
    pub(super) cadence: Cadence,
    pub(super) measuring: Measuring,
    pub(super) voices: VoiceLog,
    pub(super) system_answers: SystemAnswers,
    pub(super) home: HomeSources,
    /// True if it is on record, or handed over for it, that a tunnel has been in use.
    pub(super) tunnel_recorded: bool,
    pub(super) recorder: Recorder,
    pub(super) publisher: Publisher,
    pub(super) announcer: Announcer,
}

impl Actor {
    /// Returns the current time on both clocks.
    pub(super) fn now(&self) -> Moment {
        (self.clock)()
    }
}

/// The epoch, and when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurrentNetwork {
    pub(super) epoch: Epoch,
    pub(super) since: Moment,
}

impl CurrentNetwork {
    /// Creates the epoch in which the node starts.
    pub(super) fn new(now: Moment) -> Self {
        Self { epoch: Epoch::default(), since: now }
    }

    /// Begins the next epoch.
    pub(super) fn change(&mut self, now: Moment) {
        *self = Self { epoch: self.epoch.next(), since: now };
    }
}
