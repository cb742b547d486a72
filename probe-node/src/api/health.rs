//! `GET /healthz`: whether the node does its work, not merely whether the process runs.

use super::error::ApiError;
use axum::{extract::State, http::StatusCode};
use sentinel_engine::Engine;
use sentinel_model::{Schedule, Snapshot, StorageView, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// The number of round intervals that may pass without a finished round.
const MISSED_ROUNDS: u32 = 3;

/// The last activity of the engine, measured on the monotonic clock.
#[derive(Clone, Copy)]
pub(super) struct EngineActivity {
    last_snapshot: Instant,
    /// The last round: its wall time, which identifies it, and when it was first seen here.
    last_round: Option<(Timestamp, Instant)>,
    round_interval: Duration,
    paused: bool,
    /// Whether incidents and notices are only in memory, because the disk refuses them.
    storing_fails: bool,
}

impl EngineActivity {
    fn first(snapshot: &Snapshot, now: Instant) -> Self {
        Self {
            last_snapshot: now,
            last_round: snapshot.schedule.last_round.map(|at| (at, now)),
            round_interval: snapshot.schedule.round_every.duration(),
            paused: snapshot.schedule.paused.is_some(),
            storing_fails: snapshot.storage.failing_since.is_some(),
        }
    }

    fn next(self, schedule: &Schedule, storage: &StorageView, now: Instant) -> Self {
        let last_round = match (self.last_round, schedule.last_round) {
            (Some((known, since)), Some(at)) if known == at => Some((known, since)),
            (_, last) => last.map(|at| (at, now)),
        };
        Self {
            last_snapshot: now,
            last_round,
            round_interval: schedule.round_every.duration(),
            paused: schedule.paused.is_some(),
            storing_fails: storage.failing_since.is_some(),
        }
    }

    /// Returns the text for a healthy node, or the sentence that says what is wrong.
    ///
    /// A node that cannot store still measures and alarms, and a restart would lose what it holds
    /// in memory, so it counts as healthy and says so.
    fn assess(self, now: Instant) -> Result<&'static str, &'static str> {
        if now.duration_since(self.last_snapshot) > Engine::ALIVE_WITHIN.duration() {
            return Err("The node's loop has stopped. Restart it, and report its log.");
        }
        if self.paused {
            return Ok("well, and paused on request\n");
        }
        match self.last_round {
            None => Err("The node is starting; its first round has not finished yet."),
            Some((_, ended)) if now.duration_since(ended) > self.round_interval * MISSED_ROUNDS => {
                Err("No round has finished for three intervals. Look at the node's log.")
            }
            Some(_) if self.storing_fails => {
                Ok("well, but nothing can be stored: see `vpnsentinel-node status`\n")
            }
            Some(_) => Ok("well\n"),
        }
    }
}

/// Tracks the engine's activity until the returned receiver is dropped or the engine stops.
pub(super) fn track_activity(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) -> watch::Receiver<EngineActivity> {
    let first = EngineActivity::first(&snapshots.borrow_and_update(), Instant::now());
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while !sender.is_closed() && snapshots.changed().await.is_ok() {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            sender.send_modify(|activity| {
                *activity = activity.next(&snapshot.schedule, &snapshot.storage, Instant::now());
            });
        }
    });
    receiver
}

/// Responds with 200 while the node measures, otherwise with 503 and the reason.
pub(super) async fn health(
    State(activity): State<watch::Receiver<EngineActivity>>,
) -> Result<&'static str, ApiError> {
    let activity = *activity.borrow();
    activity.assess(Instant::now()).map_err(|reason| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason))
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
    fn health_requires_finished_rounds_and_a_running_loop() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let activity = EngineActivity {
            last_snapshot: start,
            last_round: None,
            round_interval: Duration::from_secs(30),
            paused: false,
            storing_fails: false,
        };
        let stored = StorageView::default();
        assert!(activity.assess(start).is_err(), "not before the first round");
        let activity = activity.next(&schedule(Some(1)), &stored, after(5));
        assert!(activity.assess(after(6)).is_ok());
        let without_rounds = (6..120)
            .fold(activity, |activity, second| activity.next(&schedule(Some(1)), &stored, after(second)));
        assert!(without_rounds.assess(after(120)).is_err());
        assert!(without_rounds.next(&schedule(Some(2)), &stored, after(121)).assess(after(122)).is_ok());
        assert!(activity.assess(after(60)).is_err(), "the loop has stopped");
        let paused = Schedule { paused: Some(Pause { until: None }), ..schedule(Some(1)) };
        assert!(without_rounds.next(&paused, &stored, after(120)).assess(after(121)).is_ok());
        let failing = StorageView { failing_since: Some(Timestamp(1)), ..StorageView::default() };
        let text = activity.next(&schedule(Some(1)), &failing, after(6)).assess(after(7)).unwrap();
        assert!(text.contains("nothing can be stored"), "{text}");
    }
}
