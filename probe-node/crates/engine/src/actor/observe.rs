//! Takes in what checks and witnesses found.

use super::{
    measuring::{FinishedRound, TaskOutcome},
    state::Actor,
};
use sentinel_model::{ExitSeen, Fact, Observation, Outcome};
use tokio::task::JoinError;

impl Actor {
    /// Takes in one observation. The judge discards one from an earlier epoch.
    pub(super) fn observe(&mut self, observation: &Observation) {
        self.recorder.record_sample(observation);
        self.judge.observe(observation);
        if observation.epoch == self.network.epoch {
            self.system_answers.record(observation);
        }
        if self.voices.record(observation) {
            self.measuring.rounds.note_suspicion();
            let now = self.now().boot;
            self.cadence.request(now);
        }
    }

    /// Takes in the outcome of a task.
    pub(super) async fn finish_task(&mut self, outcome: Result<TaskOutcome, JoinError>) {
        match outcome {
            Ok(TaskOutcome::Beacon | TaskOutcome::LocalChecks | TaskOutcome::Maintenance) => {}
            Ok(TaskOutcome::Attestations(observations)) => {
                for observation in observations {
                    if self.crossed_the_internet(&observation) {
                        self.observe(&observation);
                    }
                }
            }
            Ok(TaskOutcome::LateLook(round)) => self.measuring.just_ended = Some(round),
            Ok(TaskOutcome::Round(round)) => self.finish_round(&round).await,
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "a check crashed; it runs again with the next round"),
        }
    }

    /// Returns false for an exit that is a private address.
    ///
    /// The witness was then reached without crossing the internet, so it is no voice.
    fn crossed_the_internet(&self, observation: &Observation) -> bool {
        match &observation.fact {
            Fact::Exit(ExitSeen { address: Outcome::Measured(seen), .. }) => {
                !self.judge.policy().is_bogon(seen.address)
            }
            _ => true,
        }
    }

    async fn finish_round(&mut self, round: &FinishedRound) {
        let now = self.now();
        if self.measuring.rounds.record_end(round.number) {
            self.cadence.request(now.boot);
        }
        if round.epoch == self.network.epoch {
            self.judge.finish_round(round.epoch, now);
            self.measuring.last_round = Some((now.wall, round.took));
            if !self.look_late(round.number) {
                self.measuring.just_ended = Some(round.number);
            }
            self.swarm.set_answers(self.system_answers.to_share(now.boot)).await;
        }
    }
}
