//! Waits for the next input and acts on it.

use super::{commands::CommandRequest, measuring::TaskOutcome, state::Actor};
use crate::storage::LedgerChange;
use sentinel_checks::Change;
use sentinel_model::{Monotonic, Observation};
use sentinel_swarm::Event;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The longest wait for a timer. It stands for "never": the loop wakes every second anyway.
const MAX_WAIT_MS: u64 = 86_400_000;

/// What arrives from outside the loop.
pub(super) struct LoopInputs {
    pub(super) requests: mpsc::Receiver<CommandRequest>,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) swarm: mpsc::Receiver<Event>,
    pub(super) observations: mpsc::Receiver<Observation>,
    pub(super) cancel: CancellationToken,
}

impl Actor {
    /// Runs until cancelled, then stores what is waiting, says goodbye to the other nodes and
    /// closes the store.
    pub(super) async fn run(mut self, mut inputs: LoopInputs) {
        let mut second = interval(Duration::from_secs(1));
        let mut witnesses = self.swarm.witnesses();
        let mut storage = self.ledger.watch_view();
        let mut platform_reports = true;
        loop {
            let mut reply = None;
            let due = self.instant_of(self.cadence.next_due());
            tokio::select! {
                biased;
                () = inputs.cancel.cancelled() => break,
                change = inputs.changes.recv(), if platform_reports => {
                    let mut changes = Vec::from_iter(change);
                    while let Ok(queued) = inputs.changes.try_recv() {
                        changes.push(queued);
                    }
                    if changes.is_empty() {
                        platform_reports = false;
                        tracing::error!(
                            "the system no longer reports network changes; scheduled checks continue"
                        );
                    } else {
                        self.change_network(&changes).await;
                    }
                }
                Some(observation) = inputs.observations.recv() => {
                    self.observe(&observation);
                    while let Ok(queued) = inputs.observations.try_recv() {
                        self.observe(&queued);
                    }
                }
                Some(outcome) = self.measuring.tasks.join_next() => self.finish_task(outcome).await,
                Some(request) = inputs.requests.recv() => reply = self.carry_out(request).await,
                Some(event) = inputs.swarm.recv() => self.handle_swarm_event(event),
                Ok(()) = witnesses.changed() => self.measure_with_new_witnesses(),
                Ok(()) = storage.changed() => {}
                () = sleep_until(due) => self.start_due_checks(),
                _ = second.tick() => self.do_every_second(),
            }
            self.assess().await;
            if let Some(reply) = reply {
                reply.send();
            }
            if let Some(ended) = self.measuring.just_ended.take() {
                self.measuring.rounds.reply_to_waiting(ended);
            }
        }
        self.shut_down().await;
    }

    /// Converts an instant of this crate's clock to one of tokio's.
    fn instant_of(&self, due: Monotonic) -> Instant {
        let wait = due.since(self.now().boot).0.min(MAX_WAIT_MS);
        Instant::now() + Duration::from_millis(wait)
    }

    /// Begins a new epoch, since the network changed, and measures at once.
    async fn change_network(&mut self, changes: &[Change]) {
        self.begin_epoch().await;
        let now = self.now();
        if changes.iter().any(|change| matches!(change, Change::Woke(_))) {
            self.judge.handle_wake(now);
        }
        tracing::debug!(epoch = self.network.epoch.0, ?changes, "the network changed");
    }

    /// Begins a new epoch and measures at once: what was measured before no longer counts.
    pub(super) async fn begin_epoch(&mut self) {
        let now = self.now();
        self.network.change(now);
        self.judge.begin_epoch(self.network.epoch, now);
        self.measuring.abort_beacons();
        self.system_answers.clear();
        self.resolver.start_over();
        self.start_local_checks();
        self.cadence.request_burst(now.boot);
        self.swarm.network_changed().await;
    }

    /// Starts over with the witnesses that are known now: a running round lacks the new ones.
    fn measure_with_new_witnesses(&mut self) {
        self.measuring.rounds.abort();
        let now = self.now().boot;
        self.cadence.request(now);
    }

    fn do_every_second(&mut self) {
        self.end_pause_when_due();
        self.request_portal_check_when_silent();
        self.maintain_store_when_due();
    }

    fn maintain_store_when_due(&mut self) {
        let now = self.now();
        if self.recorder.take_due_maintenance(now.boot) {
            let store = self.store.clone();
            self.measuring.tasks.spawn(async move {
                if let Err(error) = store.maintain().await {
                    tracing::warn!(%error, "could not prune old samples; trying again in an hour");
                }
                TaskOutcome::Maintenance
            });
        }
    }

    fn handle_swarm_event(&mut self, event: Event) {
        match event {
            Event::MembershipEntry(entry) => {
                self.ledger.enqueue([LedgerChange::Membership(entry)]);
            }
            Event::PairingRequested { name, fingerprint, .. } => {
                tracing::info!(%name, %fingerprint, "a node asks to join; \
                     confirm it with `vpnsentinel-node pair confirm`");
            }
            Event::Admitted { name, .. } => tracing::info!(%name, "admitted to the swarm"),
            Event::Announced { .. } => {}
            Event::AwaitingConfirmation { fingerprint } => {
                tracing::info!(%fingerprint, "waiting for the owner to confirm this fingerprint");
            }
            Event::PairingFailed { reason } => tracing::warn!("{reason}"),
        }
    }

    async fn shut_down(mut self) {
        self.measuring.tasks.abort_all();
        let now = self.now();
        self.announce_if_due(now, true).await;
        let Self { ledger, recorder, store, swarm, .. } = self;
        tokio::join!(ledger.drain(), recorder.finish(), swarm.shutdown());
        drop(ledger);
        store.close().await;
    }
}
