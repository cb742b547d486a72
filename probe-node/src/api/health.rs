//! `GET /healthz`: whether the node does its work, not merely whether it runs.

use super::{Node, problem::Problem};
use axum::{extract::State, http::StatusCode};
use sentinel_engine::Engine;
use sentinel_model::{Schedule, Snapshot, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// So many round intervals may pass without a round.
const MISSED_ROUNDS: u32 = 3;

/// What was last felt of the engine, on a clock that nobody sets.
#[derive(Clone, Copy)]
pub(super) struct Pulse {
    published: Instant,
    round: Option<(Timestamp, Instant)>,
    every: Duration,
    paused: bool,
}

impl Pulse {
    fn first(snapshot: &Snapshot, now: Instant) -> Self {
        Self {
            published: now,
            round: snapshot.schedule.last_round.map(|at| (at, now)),
            every: snapshot.schedule.round_every.duration(),
            paused: snapshot.schedule.paused.is_some(),
        }
    }

    fn next(self, schedule: &Schedule, now: Instant) -> Self {
        let round = match (self.round, schedule.last_round) {
            (Some((before, since)), Some(at)) if before == at => Some((before, since)),
            (_, last) => last.map(|at| (at, now)),
        };
        Self {
            published: now,
            round,
            every: schedule.round_every.duration(),
            paused: schedule.paused.is_some(),
        }
    }

    fn judge(self, now: Instant) -> Result<&'static str, &'static str> {
        if now.duration_since(self.published) > Engine::ALIVE_WITHIN.duration() {
            return Err("The node's loop has stopped. Restart it, and report its log.");
        }
        if self.paused {
            return Ok("well, and paused on request\n");
        }
        match self.round {
            None => Err("The node is starting; its first round has not ended yet."),
            Some((_, ended)) if now.duration_since(ended) > self.every * MISSED_ROUNDS => {
                Err("No round has ended for three intervals. Look at the node's log.")
            }
            Some(_) => Ok("well\n"),
        }
    }
}

/// Feels the engine's pulse for as long as anybody may ask.
pub(super) fn feel(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> watch::Receiver<Pulse> {
    let first = Pulse::first(&snapshots.borrow_and_update(), Instant::now());
    let (felt, pulse) = watch::channel(first);
    tokio::spawn(async move {
        while !felt.is_closed() && snapshots.changed().await.is_ok() {
            let schedule = snapshots.borrow_and_update().schedule.clone();
            felt.send_modify(|pulse| *pulse = pulse.next(&schedule, Instant::now()));
        }
    });
    pulse
}

/// 200 while the node measures, else 503 with the reason.
pub(super) async fn health(State(node): State<Node>) -> Result<&'static str, Problem> {
    let pulse = *node.pulse.borrow();
    pulse.judge(Instant::now()).map_err(|reason| Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Millis, Pause};

    fn schedule(last_round: Option<i64>) -> Schedule {
        Schedule {
            last_round: last_round.map(Timestamp),
            round_every: Millis::secs(30),
            ..Schedule::default()
        }
    }

    #[test]
    fn health_needs_rounds_that_end_and_a_loop_that_turns() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse { published: start, round: None, every: Duration::from_secs(30), paused: false };
        assert!(pulse.judge(start).is_err(), "not before the first round");
        let pulse = pulse.next(&schedule(Some(1)), after(5));
        assert!(pulse.judge(after(6)).is_ok());
        let without_rounds =
            (6..120).fold(pulse, |pulse, second| pulse.next(&schedule(Some(1)), after(second)));
        assert!(without_rounds.judge(after(120)).is_err());
        assert!(without_rounds.next(&schedule(Some(2)), after(121)).judge(after(122)).is_ok());
        assert!(pulse.judge(after(60)).is_err(), "the loop has stopped");
        let paused = Schedule { paused: Some(Pause { until: None }), ..schedule(Some(1)) };
        assert!(without_rounds.next(&paused, after(120)).judge(after(121)).is_ok());
    }
}
