//! Starting checks and taking in what they found.

use super::{Actor, Finished};
use crate::{settings, witnesses};
use futures::future::join_all;
use sentinel_checks::{RoundPlan, WitnessTarget};
use sentinel_judge::Policy;
use sentinel_model::{ExitPath, ExitSeen, Fact, Observation, Outcome, Source};
use tokio::task::JoinError;

/// A beacon that found no answer yet overlaps with the next ones; more than this many at once would only add load.
const BEACONS_IN_FLIGHT: usize = 4;

impl Actor {
    pub(super) fn measure_what_is_due(&mut self) {
        let now = (self.clock)();
        if self.beacon.due() <= now.boot {
            self.beacon.started(now.boot, jitter());
            self.send_beacon();
        }
        if self.round.due() <= now.boot {
            self.round.started(now.boot, jitter());
            self.start_round();
        }
        if self.pause.is_some() {
            self.beacon.hold();
            self.round.hold();
        }
    }

    /// The facts that cost no packet, at once.
    pub(super) fn look_at_local_facts(&mut self) {
        let (checks, epoch, plan, out) =
            (self.checks.clone(), self.epoch, self.plan(), self.observations.clone());
        self.tasks.spawn(async move {
            checks.local(epoch, &plan, out).await;
            Finished::Local
        });
    }

    fn send_beacon(&mut self) {
        let targets = self.targets();
        if targets.is_empty() || self.beacons_in_flight >= BEACONS_IN_FLIGHT {
            return;
        }
        self.beacons_in_flight += 1;
        let (checks, epoch, out) = (self.checks.clone(), self.epoch, self.observations.clone());
        self.tasks.spawn(async move {
            checks.beacon(epoch, &targets, out).await;
            Finished::Beacon
        });
    }

    fn start_round(&mut self) {
        match &self.round_in_flight {
            Some((epoch, _)) if *epoch == self.epoch => {
                self.round_again = true;
                return;
            }
            Some((_, stale)) => stale.abort(),
            None => {}
        }
        let now = (self.clock)();
        let offset = settings::offset(now.wall);
        if offset != self.judge.policy().offset {
            let policy = Policy { offset, ..self.judge.policy().clone() };
            self.judge.set_policy(policy);
        }
        let (checks, epoch, plan, out) =
            (self.checks.clone(), self.epoch, self.plan(), self.observations.clone());
        let handle = self.tasks.spawn(async move {
            checks.round(epoch, &plan, out).await;
            Finished::Round(epoch)
        });
        self.round_in_flight = Some((epoch, handle));
        self.ask_for_attestations();
    }

    /// Asks every witness to sign what it last saw of us. The answer is what an incident can be proven with later; it
    /// counts as the same voice as the beacon.
    fn ask_for_attestations(&mut self) {
        let (swarm, clock, epoch, began) =
            (self.swarm.clone(), self.clock.clone(), self.epoch, self.epoch_began);
        let (targets, ownership) = (self.targets(), self.ownership.clone());
        self.tasks.spawn(async move {
            let swarm = &swarm;
            let asked = targets.iter().filter_map(|target| match &target.voice.source {
                Source::Node(node) => Some(async move { (target, swarm.attest(node).await) }),
                Source::Service(_) => None,
            });
            let mut observations = Vec::new();
            for (target, answer) in join_all(asked).await {
                let at = clock();
                match answer {
                    Ok(attestation) => observations.extend(
                        attestation
                            .seen
                            .iter()
                            .filter(|seen| seen.age < at.boot.since(began.boot))
                            .map(|seen| attested(target, at, epoch, ownership.attribute(seen.address))),
                    ),
                    Err(error) => tracing::debug!(node = %target.voice.name, %error, "no attestation"),
                }
            }
            Finished::Attested(observations)
        });
    }

    fn targets(&self) -> Vec<WitnessTarget> {
        witnesses::choose(&self.swarm.witnesses().borrow(), &self.ownership)
    }

    fn plan(&self) -> RoundPlan {
        let canary_zones = self
            .swarm
            .witnesses()
            .borrow()
            .iter()
            .filter_map(|witness| witness.canary_zone.clone())
            .collect();
        RoundPlan { witnesses: self.targets(), canary_zones, ..RoundPlan::default() }
    }

    pub(super) async fn observed(&mut self, observation: Observation) {
        self.recorder.sample(&self.store, &observation).await;
        self.judge.observe(&observation);
        if self.sightings.moved(&observation) {
            self.measure_soon();
        }
    }

    pub(super) async fn finished(&mut self, finished: Result<Finished, JoinError>) {
        match finished {
            Ok(Finished::Beacon) => self.beacons_in_flight = self.beacons_in_flight.saturating_sub(1),
            Ok(Finished::Local | Finished::Maintenance) => {}
            Ok(Finished::Attested(observations)) => {
                for observation in observations {
                    self.observed(observation).await;
                }
            }
            Ok(Finished::Round(epoch)) => self.round_ended(epoch),
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "a check crashed; it will run again with the next round"),
        }
    }

    fn round_ended(&mut self, epoch: sentinel_model::Epoch) {
        if self.round_in_flight.as_ref().is_some_and(|(current, _)| *current == epoch) {
            self.round_in_flight = None;
            if std::mem::take(&mut self.round_again) {
                self.measure_soon();
            }
        }
        if epoch == self.epoch {
            let now = (self.clock)();
            self.judge.round_finished(epoch, now);
            self.last_round = Some(now.wall);
            self.round_just_ended = true;
        }
    }
}

fn attested(
    target: &WitnessTarget,
    at: sentinel_model::Moment,
    epoch: sentinel_model::Epoch,
    address: sentinel_model::Attributed,
) -> Observation {
    let family = sentinel_model::Family::of(address.address);
    let exit = ExitSeen {
        family,
        voice: target.voice.clone(),
        path: ExitPath::Attested,
        address: Outcome::Measured(address),
    };
    Observation { at, epoch, fact: Fact::Exit(exit) }
}

/// Any number; without randomness no jitter.
fn jitter() -> u32 {
    getrandom::u32().unwrap_or(0)
}
