//! Full rounds: one at a time, and who waits for one to end.

use crate::cadence::ROUND_FLOOR;
use sentinel_model::{CommandError, Epoch, Monotonic, Reply};
use tokio::{sync::oneshot, task::AbortHandle};

type Waiting = oneshot::Sender<Result<Reply, CommandError>>;

/// The round in flight, and what is to come of it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    in_flight: Option<InFlight>,
    begun: u64,
    /// Another one was asked for while one was in flight.
    again: bool,
    /// Something is suspected that the round in flight has perhaps looked at before.
    suspicion: bool,
    /// The round in flight has taken the place of another. It is brought to its end, or suspicion after suspicion could
    /// put every end off.
    replacing: bool,
    waiting: Vec<(u64, Waiting)>,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    epoch: Epoch,
    began: Monotonic,
    task: AbortHandle,
}

impl Rounds {
    /// Whether a round may begin now. One of an earlier epoch, or one that began before a suspicion arose, makes way; any
    /// other is followed by another one.
    pub(super) fn make_way(&mut self, epoch: Epoch, now: Monotonic) -> bool {
        let suspicion = std::mem::take(&mut self.suspicion);
        let Some(current) = self.in_flight.take_if(|current| !current.task.is_finished()) else {
            self.replacing = false;
            return true;
        };
        let stale = current.epoch != epoch;
        if stale || (suspicion && !self.replacing && now.since(current.began) >= ROUND_FLOOR) {
            current.task.abort();
            self.replacing = !stale;
            return true;
        }
        self.in_flight = Some(current);
        self.again = true;
        false
    }

    /// The number of the round that begins next.
    pub(super) fn next(&self) -> u64 {
        self.begun + 1
    }

    /// Notes that it has begun.
    pub(super) fn begun(&mut self, epoch: Epoch, began: Monotonic, task: AbortHandle) {
        self.begun += 1;
        self.again = false;
        self.in_flight = Some(InFlight { number: self.begun, epoch, began, task });
    }

    /// Notes that a round has ended; says whether another one was asked for meanwhile.
    pub(super) fn ended(&mut self, number: u64) -> bool {
        if self.in_flight.take_if(|current| current.number == number).is_none() {
            return false;
        }
        self.replacing = false;
        std::mem::take(&mut self.again)
    }

    /// Ends the round in flight: it lacks what has come up since.
    pub(super) fn abort(&mut self) {
        if let Some(incomplete) = self.in_flight.take() {
            incomplete.task.abort();
        }
    }

    /// Something is suspected: a round in flight may have looked too early.
    pub(super) fn suspect(&mut self) {
        self.suspicion = true;
    }

    /// Tells this one when a round has ended that begins only from now on.
    pub(super) fn wait(&mut self, reply: Waiting) {
        self.waiting.push((self.next(), reply));
    }

    /// Tells those who waited for this round.
    pub(super) fn answer(&mut self, ended: u64) {
        for (_, reply) in self.waiting.extract_if(.., |(wanted, _)| *wanted <= ended) {
            // Whoever asked may have gone.
            let _ = reply.send(Ok(Reply::Done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Millis;
    use std::future::pending;

    fn begin(rounds: &mut Rounds, epoch: u64, at: u64) -> bool {
        let may = rounds.make_way(Epoch(epoch), Monotonic(at));
        if may {
            let task = tokio::spawn(pending::<()>()).abort_handle();
            rounds.begun(Epoch(epoch), Monotonic(at), task);
        }
        may
    }

    #[tokio::test]
    async fn a_round_is_brought_to_its_end_and_followed_by_the_one_asked_for() {
        let mut rounds = Rounds::default();
        assert!(begin(&mut rounds, 1, 0));
        assert!(!begin(&mut rounds, 1, 500));
        assert!(rounds.ended(1), "another one was asked for");
        assert!(begin(&mut rounds, 1, 1000) && !rounds.ended(2));
    }

    #[tokio::test]
    async fn a_new_epoch_or_a_suspicion_begins_it_again_but_not_for_ever() {
        let mut rounds = Rounds::default();
        assert!(begin(&mut rounds, 1, 0) && begin(&mut rounds, 2, 10));
        rounds.suspect();
        assert!(!begin(&mut rounds, 2, 500), "the round has only begun");
        rounds.suspect();
        assert!(begin(&mut rounds, 2, 1500));
        rounds.suspect();
        assert!(!begin(&mut rounds, 2, 9000), "this one is brought to its end");
        assert!(!rounds.ended(1) && rounds.ended(3));
        assert!(begin(&mut rounds, 2, 10_000));
    }

    #[tokio::test]
    async fn a_round_that_crashed_stands_in_nobodys_way() {
        let mut rounds = Rounds::default();
        let crashed = tokio::spawn(async { panic!("a check crashed") });
        rounds.begun(Epoch(1), Monotonic(0), crashed.abort_handle());
        assert!(crashed.await.is_err());
        assert!(begin(&mut rounds, 1, ROUND_FLOOR.0 + Millis::secs(1).0));
    }

    #[tokio::test]
    async fn whoever_asks_is_told_of_a_round_that_begins_afterwards() {
        let mut rounds = Rounds::default();
        assert!(begin(&mut rounds, 1, 0));
        let (reply, mut told) = oneshot::channel();
        rounds.wait(reply);
        rounds.ended(1);
        rounds.answer(1);
        assert!(told.try_recv().is_err(), "that round had begun before");
        assert!(begin(&mut rounds, 1, 1000));
        rounds.ended(2);
        rounds.answer(2);
        assert_eq!(told.try_recv(), Ok(Ok(Reply::Done)));
    }
}
