//! Starts the checks that are due, each in a task of its own.

use super::{
    measuring::{FinishedRound, TaskOutcome},
    state::Actor,
};
use crate::{
    attestations::AttestationCollector,
    cadence::{BURST_REPEATS, ROUND_FLOOR},
    local_time,
    witnesses::choose_witnesses,
};
use sentinel_checks::{RoundPlan, WitnessTarget};
use sentinel_judge::Policy;
use sentinel_model::{Source, Timestamp};
use tokio::time::timeout;

/// The time limit of a round, in time limits of a single check.
///
/// Names whose answers differ are asked several times, and then a certificate is requested. A round
/// that takes longer hangs.
const ROUND_TIMEOUTS: u32 = 6;

impl Actor {
    /// Starts the checks that are due.
    pub(super) fn start_due_checks(&mut self) {
        let now = self.now();
        if self.cadence.beacon.due() <= now.boot {
            self.cadence.beacon.record_start(now.boot, jitter());
            self.start_beacon();
        }
        if self.cadence.round.due() <= now.boot {
            if self.measuring.rounds.make_room(self.network.epoch, now.boot) {
                self.cadence.round.record_start(now.boot, jitter());
                self.start_round();
            } else {
                self.cadence.round.skip(now.boot);
            }
        }
        if self.cadence.sockets.due() <= now.boot {
            // Nothing is sent, so that nodes may fall into step.
            self.cadence.sockets.record_start(now.boot, 0);
            self.start_socket_look();
        }
        self.cadence.hold_if_paused();
    }

    /// Starts the checks that ask only the system, in place of those still running, which are
    /// outdated.
    ///
    /// They also test the kill switch, which sends a few packets, but not more often than rounds
    /// may start and not while paused.
    pub(super) fn start_local_checks(&mut self) {
        let now = self.now().boot;
        let tested = self.measuring.kill_switch_tested;
        let probe_kill_switch =
            !self.cadence.is_paused() && tested.is_none_or(|tested| now.since(tested) >= ROUND_FLOOR);
        if probe_kill_switch {
            self.measuring.kill_switch_tested = Some(now);
        }
        let plan = RoundPlan { probe_kill_switch, ..self.plan() };
        let (checks, epoch, observations) =
            (self.measuring.checks.clone(), self.network.epoch, self.measuring.observations.clone());
        let started = self.measuring.tasks.spawn(async move {
            checks.local(epoch, &plan, observations).await;
            TaskOutcome::LocalChecks
        });
        if let Some(outdated) = self.measuring.local_checks.replace(started) {
            outdated.abort();
        }
    }

    /// Looks at the socket table, unless the last look has not ended.
    fn start_socket_look(&mut self) {
        if self.measuring.socket_look.as_ref().is_some_and(|look| !look.is_finished()) {
            return;
        }
        let tunnels = self.judge.tunnel_names();
        let (checks, epoch, observations) =
            (self.measuring.checks.clone(), self.network.epoch, self.measuring.observations.clone());
        let look = self.measuring.tasks.spawn(async move {
            checks.sockets(epoch, &tunnels, observations).await;
            TaskOutcome::LocalChecks
        });
        self.measuring.socket_look = Some(look);
    }

    fn start_beacon(&mut self) {
        let targets = self.targets();
        if targets.is_empty() || self.measuring.running_beacons() >= self.max_running_beacons() {
            return;
        }
        let (checks, epoch, observations) =
            (self.measuring.checks.clone(), self.network.epoch, self.measuring.observations.clone());
        let beacon = self.measuring.tasks.spawn(async move {
            checks.beacon(epoch, &targets, observations).await;
            TaskOutcome::Beacon
        });
        self.measuring.beacons.push(beacon);
    }

    /// Returns how many beacons may be under way: those that start within one time limit, and a
    /// burst.
    ///
    /// A beacon that is not answered lasts for its whole time limit and must not delay the next
    /// ones.
    fn max_running_beacons(&self) -> usize {
        let cadence = &self.config.cadence;
        let regular = cadence.timeout.0.0.div_ceil(cadence.beacon.0.0.max(1));
        usize::try_from(regular).unwrap_or(usize::MAX).saturating_add(1 + BURST_REPEATS)
    }

    fn start_round(&mut self) {
        let now = self.now();
        self.update_utc_offset(now.wall);
        let (checks, epoch, observations) =
            (self.measuring.checks.clone(), self.network.epoch, self.measuring.observations.clone());
        let plan = self.plan();
        self.measuring.portal_asked_in = plan.ask_portal.then_some(epoch);
        let clock = self.clock.clone();
        let number = self.measuring.rounds.next_number();
        let limit = self.config.cadence.timeout.0.duration() * ROUND_TIMEOUTS;
        let task = self.measuring.tasks.spawn(async move {
            let started = clock().boot;
            if timeout(limit, checks.round(epoch, &plan, observations)).await.is_err() {
                tracing::error!(
                    "a round did not finish within {limit:?}; checks without a result are undetermined"
                );
            }
            TaskOutcome::Round(FinishedRound { number, epoch, took: clock().boot.since(started) })
        });
        self.measuring.rounds.record_start(epoch, now.boot, task);
        self.request_attestations();
    }

    /// Follows a change of the local time zone or of daylight saving time.
    fn update_utc_offset(&mut self, now: Timestamp) {
        let offset = local_time::utc_offset(now);
        if offset != self.judge.policy().offset {
            let policy = Policy { offset, ..self.judge.policy().clone() };
            self.judge.set_policy(policy);
        }
    }

    /// Asks every witness to sign what it last saw of this node, and what names resolve to for it.
    ///
    /// An attestation can prove an incident later. It counts as the same voice as the witness's
    /// beacon.
    fn request_attestations(&mut self) {
        let witnesses: Vec<_> = self
            .targets()
            .into_iter()
            .filter_map(|target| match &target.voice.source {
                Source::Node(node) => Some((node.clone(), target)),
                Source::Service(_) => None,
            })
            .collect();
        let collector = AttestationCollector {
            clock: self.clock.clone(),
            ownership: self.measuring.ownership.clone(),
            panel: self.config.panel.clone(),
            max_answer_age: self.judge.policy().thresholds.round_ttl,
            epoch: self.network.epoch,
            epoch_began: self.network.since,
        };
        let swarm = self.swarm.clone();
        self.measuring
            .tasks
            .spawn(async move { TaskOutcome::Attestations(collector.collect(&swarm, &witnesses).await) });
    }

    fn targets(&self) -> Vec<WitnessTarget> {
        choose_witnesses(&self.swarm.witnesses().borrow(), &self.measuring.ownership)
    }

    fn plan(&self) -> RoundPlan {
        let witnesses = self.swarm.witnesses();
        let canary_zones =
            witnesses.borrow().iter().filter_map(|witness| witness.canary_zone.clone()).collect();
        RoundPlan {
            witnesses: self.targets(),
            canary_zones,
            ask_portal: self.is_silent(),
            tunnels: self.judge.tunnel_names(),
            probe_kill_switch: true,
        }
    }

    /// Returns true if no voice answers. Where none is asked, silence is not evidence.
    fn is_silent(&self) -> bool {
        if !self.config.services.consent && self.targets().is_empty() {
            return false;
        }
        let ttl = self.judge.policy().thresholds.voice_ttl;
        self.voices.is_silent(self.now().boot, self.network.since.boot, ttl)
    }

    /// Requests a round that looks for a captive portal, once per epoch, as soon as no voice
    /// answers.
    pub(super) fn request_portal_check_when_silent(&mut self) {
        if !self.is_silent() {
            self.measuring.portal_asked_in = None;
        } else if self.measuring.portal_asked_in != Some(self.network.epoch) && !self.cadence.is_paused() {
            let now = self.now().boot;
            self.cadence.round.request(now);
        }
    }
}

/// Returns any number; zero if the system has no randomness.
fn jitter() -> u32 {
    getrandom::u32().unwrap_or(0)
}
