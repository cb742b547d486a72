//! Full rounds: one at a time, and who waits for one to end.

use crate::cadence::ROUND_FLOOR;
use sentinel_model::{CommandError, Epoch, Monotonic, Reply};
use tokio::{sync::oneshot, task::AbortHandle};

/// Where the result of a command goes.
pub(super) type ReplySender = oneshot::Sender<Result<Reply, CommandError>>;

/// The running round, and the requests for the next one.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    running: Option<RunningRound>,
    /// How many rounds have started; also the number of the latest one.
    started: u64,
    /// Another round was requested while one was running.
    another_requested: bool,
    /// A suspicion arose that the running round may have been too early to see.
    suspicion: bool,
    /// The running round replaced an earlier one because of a suspicion.
    ///
    /// It is not replaced again, or one suspicion after another could keep every round from ending.
    is_replacement: bool,
    waiting: Vec<WaitingCommand>,
}

#[derive(Debug)]
struct RunningRound {
    number: u64,
    epoch: Epoch,
    started: Monotonic,
    task: AbortHandle,
}

/// A command that is answered when a round has ended.
#[derive(Debug)]
struct WaitingCommand {
    /// The first round that satisfies it.
    round: u64,
    reply: ReplySender,
}

impl Rounds {
    /// Returns true if a round may start now, after aborting the running one if that is outdated.
    ///
    /// The running round is aborted if:
    /// - it belongs to an earlier epoch; or
    /// - a suspicion arose, the round is at least [`ROUND_FLOOR`] old and not itself such a
    ///   replacement.
    ///
    /// Any other running round goes on, and [`Self::record_end`] will report that another was
    /// requested.
    pub(super) fn make_room(&mut self, epoch: Epoch, now: Monotonic) -> bool {
        let suspicion = std::mem::take(&mut self.suspicion);
        let Some(running) = self.running.take_if(|running| !running.task.is_finished()) else {
            self.is_replacement = false;
            return true;
        };
        let is_stale = running.epoch != epoch;
        if is_stale || (suspicion && !self.is_replacement && now.since(running.started) >= ROUND_FLOOR) {
            running.task.abort();
            self.is_replacement = !is_stale;
            return true;
        }
        self.running = Some(running);
        self.another_requested = true;
        false
    }

    /// Returns the number of the round that starts next.
    pub(super) fn next_number(&self) -> u64 {
        self.started + 1
    }

    /// Records that the next round has started.
    pub(super) fn record_start(&mut self, epoch: Epoch, now: Monotonic, task: AbortHandle) {
        self.started += 1;
        self.another_requested = false;
        self.running = Some(RunningRound { number: self.started, epoch, started: now, task });
    }

    /// Records that a round has ended. Returns true if another one was requested meanwhile.
    pub(super) fn record_end(&mut self, number: u64) -> bool {
        if self.running.take_if(|running| running.number == number).is_none() {
            return false;
        }
        self.is_replacement = false;
        std::mem::take(&mut self.another_requested)
    }

    /// Aborts the running round, because it lacks a witness that has appeared since.
    pub(super) fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }

    /// Notes a suspicion, which the running round may have been too early to see.
    pub(super) fn note_suspicion(&mut self) {
        self.suspicion = true;
    }

    /// Answers a command when a round has ended that has not started yet.
    pub(super) fn reply_after_next(&mut self, reply: ReplySender) {
        self.waiting.push(WaitingCommand { round: self.next_number(), reply });
    }

    /// Returns true if a command waits for this round.
    pub(super) fn is_awaited(&self, ended: u64) -> bool {
        self.waiting.iter().any(|command| command.round <= ended)
    }

    /// Answers the commands that waited for this round.
    pub(super) fn reply_to_waiting(&mut self, ended: u64) {
        for command in self.waiting.extract_if(.., |command| command.round <= ended) {
            // The caller may have stopped waiting.
            let _ = command.reply.send(Ok(Reply::Done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Millis;
    use std::future::pending;

    fn start(rounds: &mut Rounds, epoch: u64, at: u64) -> bool {
        let has_room = rounds.make_room(Epoch(epoch), Monotonic(at));
        if has_room {
            let task = tokio::spawn(pending::<()>()).abort_handle();
            rounds.record_start(Epoch(epoch), Monotonic(at), task);
        }
        has_room
    }

    #[tokio::test]
    async fn a_running_round_ends_and_is_followed_by_the_requested_one() {
        let mut rounds = Rounds::default();
        assert!(start(&mut rounds, 1, 0));
        assert!(!start(&mut rounds, 1, 500));
        assert!(rounds.record_end(1), "another round was requested");
        assert!(start(&mut rounds, 1, 1000) && !rounds.record_end(2));
    }

    #[tokio::test]
    async fn a_new_epoch_or_a_suspicion_replaces_a_round_but_not_for_ever() {
        let mut rounds = Rounds::default();
        assert!(start(&mut rounds, 1, 0) && start(&mut rounds, 2, 10));
        rounds.note_suspicion();
        assert!(!start(&mut rounds, 2, 500), "the round has only just started");
        rounds.note_suspicion();
        assert!(start(&mut rounds, 2, 1500));
        rounds.note_suspicion();
        assert!(!start(&mut rounds, 2, 9000), "a replacement is not replaced");
        assert!(!rounds.record_end(1) && rounds.record_end(3));
        assert!(start(&mut rounds, 2, 10_000));
    }

    #[tokio::test]
    async fn a_round_that_crashed_does_not_block_the_next() {
        let mut rounds = Rounds::default();
        let crashed = tokio::spawn(async { panic!("a check crashed") });
        rounds.record_start(Epoch(1), Monotonic(0), crashed.abort_handle());
        assert!(crashed.await.is_err());
        assert!(start(&mut rounds, 1, ROUND_FLOOR.0 + Millis::secs(1).0));
    }

    #[tokio::test]
    async fn a_command_is_answered_after_a_round_that_starts_later() {
        let mut rounds = Rounds::default();
        assert!(start(&mut rounds, 1, 0));
        let (reply, mut received) = oneshot::channel();
        rounds.reply_after_next(reply);
        rounds.record_end(1);
        rounds.reply_to_waiting(1);
        assert!(received.try_recv().is_err(), "that round had started before the command");
        assert!(!rounds.is_awaited(1) && rounds.is_awaited(2));
        assert!(start(&mut rounds, 1, 1000));
        rounds.record_end(2);
        rounds.reply_to_waiting(2);
        assert_eq!(received.try_recv(), Ok(Ok(Reply::Done)));
    }
}
