//! The course of a scenario: the world settles, then the faults are injected at their times.

use super::scenario_run::{ControlOutcome, InjectedFault, ScenarioRun, whole_millis};
use crate::{
    faults::{Fault, PositiveControl},
    node_api::ReceivedSnapshot,
    scenario::Step,
};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout_at},
};

/// The snapshots of the laptop's node.
pub(super) type SnapshotStream = mpsc::Receiver<Result<ReceivedSnapshot>>;

/// Longest time until a full round has begun and ended after the last fault of a calm scenario.
///
/// The rounds of a node are half a minute apart.
const ROUND_PATIENCE: Duration = Duration::from_mins(1);

impl ScenarioRun<'_> {
    /// Waits until the world has settled for the required time. Returns false if it does not
    /// settle.
    pub(super) async fn settle(&mut self, snapshots: &mut SnapshotStream) -> Result<bool> {
        let deadline = Instant::now() + Duration::from_millis(self.scenario.settle.within_ms);
        let lasting = Duration::from_millis(self.scenario.settle.for_ms);
        let mut since = None;
        let mut missing = "no snapshot has arrived".to_owned();
        loop {
            let until = since.map_or(deadline, |since: Instant| since + lasting);
            match timeout_at(until.into(), snapshots.recv()).await {
                Ok(received) => {
                    let received = received.context("the laptop's node has ended")??;
                    self.observe(&received);
                    since = match self.scenario.check_settled(&received.snapshot) {
                        Ok(()) => Some(since.unwrap_or(received.at)),
                        Err(reason) => {
                            missing = reason;
                            None
                        }
                    };
                }
                Err(_) if since.is_some() => {
                    self.settled = true;
                    self.log("settled", json!({}));
                    return Ok(true);
                }
                Err(_) => {
                    self.spoil("missed", format!("the world does not settle: {missing}"));
                    return Ok(false);
                }
            }
        }
    }

    /// Injects the faults at their times, and watches until all expectations are decided.
    pub(super) async fn play_faults(
        &mut self,
        snapshots: &mut SnapshotStream,
        mut inject: impl AsyncFnMut(&Fault) -> Result<(Instant, PositiveControl)>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut steps = self.scenario.steps().into_iter().peekable();
        let watch_until = start + Duration::from_millis(self.scenario.watch_ms);
        let (outcomes, mut observed) = mpsc::channel(64);
        let mut unobserved = 0u32;
        let mut last_fault = None;
        loop {
            let next_fault = steps.peek().map(|step| start + step.at);
            let now = Instant::now();
            // A calm scenario proves something only if a full round has followed its last fault.
            let awaited = last_fault.filter(|last| self.scenario.calm && !self.rounds.has_round_since(*last));
            if awaited.is_some_and(|last| now >= last + ROUND_PATIENCE) {
                self.spoil("missed", "no full round after the last fault".to_owned());
                return Ok(());
            }
            let round = awaited.map(|last| last + ROUND_PATIENCE);
            let next = next_fault.into_iter().chain(self.next_decision()).chain(round).min();
            if next.is_none() && now >= watch_until && unobserved == 0 {
                return Ok(());
            }
            // If only the effect of a fault is missing, its own deadline ends the wait.
            let wake = next.unwrap_or(if now < watch_until { watch_until } else { now + ROUND_PATIENCE });
            tokio::select! {
                biased;
                received = snapshots.recv() => {
                    let received = received.context("the laptop's node has ended")??;
                    self.observe(&received);
                }
                Some(outcome) = observed.recv() => {
                    unobserved -= 1;
                    self.record_control(outcome);
                }
                () = sleep_until(wake.into()) => {
                    self.decide(Instant::now());
                    if let Some(step) = steps.next_if(|step| start + step.at <= Instant::now()) {
                        unobserved += self.inject_step(step, &mut inject, &outcomes).await?;
                        last_fault = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Injects one fault and starts to look for its effect.
    ///
    /// Returns the number of outcomes that will be sent to `outcomes`.
    async fn inject_step(
        &mut self,
        step: Step<'_>,
        inject: &mut impl AsyncFnMut(&Fault) -> Result<(Instant, PositiveControl)>,
        outcomes: &mpsc::Sender<ControlOutcome>,
    ) -> Result<u32> {
        let (id, fault) = (step.id, format!("{:?}", step.fault));
        self.log("fault", json!({ "id": id, "do": fault }));
        let met_before = self.list_met();
        let (at, control) = inject(step.fault).await?;
        let observed = matches!(control, PositiveControl::NotNeeded(_));
        self.injected.extend(id.clone().map(|id| (id, InjectedFault { at, observed, met_before })));
        let effect = match control {
            PositiveControl::NotNeeded(reason) => {
                self.log("control", json!({ "do": fault, "needless": reason }));
                return Ok(0);
            }
            PositiveControl::Effect(effect) => effect,
        };
        let outcomes = outcomes.clone();
        tokio::spawn(async move {
            let result = effect.wait().await;
            // The receiver is gone if the scenario has ended with an error.
            let _ = outcomes.send(ControlOutcome { id, fault, effect: effect.description, result }).await;
        });
        Ok(1)
    }

    /// Records whether the effect of a fault was observed.
    fn record_control(&mut self, outcome: ControlOutcome) {
        match outcome.result {
            Ok(took) => {
                let detail = json!({
                    "do": outcome.fault, "seen": outcome.effect, "after_ms": whole_millis(took),
                });
                self.log("control", detail);
                if let Some(injected) = outcome.id.and_then(|id| self.injected.get_mut(&id)) {
                    injected.observed = true;
                }
            }
            Err(error) => self.spoil("uncontrolled", format!("uncontrolled: {}: {error:#}", outcome.fault)),
        }
    }
}
