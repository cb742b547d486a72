//! Starting checks and taking in what they found.

use super::{Actor, Finished};
use crate::{answers::Listener, settings, witnesses};
use futures::future::join_all;
use sentinel_checks::{Ownership, RoundPlan, WitnessTarget};
use sentinel_judge::Policy;
use sentinel_model::{
    Clock, Epoch, ExitPath, ExitSeen, Fact, Family, Millis, Moment, NodeId, Observation, Outcome, Source,
};
use sentinel_swarm::{Attestation, Swarm};
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
        self.beacons_in_flight.retain(|beacon| !beacon.is_finished());
        if targets.is_empty() || self.beacons_in_flight.len() >= BEACONS_IN_FLIGHT {
            return;
        }
        let (checks, epoch, out) = (self.checks.clone(), self.epoch, self.observations.clone());
        let beacon = self.tasks.spawn(async move {
            checks.beacon(epoch, &targets, out).await;
            Finished::Beacon
        });
        self.beacons_in_flight.push(beacon);
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
        self.portal_sought = plan.ask_portal.then_some(epoch);
        let clock = self.clock.clone();
        let handle = self.tasks.spawn(async move {
            let began = clock().boot;
            checks.round(epoch, &plan, out).await;
            Finished::Round(epoch, clock().boot.since(began))
        });
        self.round_in_flight = Some((epoch, handle));
        self.ask_for_attestations();
    }

    /// Asks every witness to sign what it last saw of us and what names resolve to where it sits. What it saw is what an
    /// incident can be proven with later; it counts as the same voice as the beacon.
    fn ask_for_attestations(&mut self) {
        let witnesses: Vec<_> = self
            .targets()
            .into_iter()
            .filter_map(|target| match &target.voice.source {
                Source::Node(node) => Some((node.clone(), target)),
                Source::Service(_) => None,
            })
            .collect();
        let hearing = Hearing {
            panel: self.config.panel.clone(),
            oldest: self.judge.policy().thresholds.round_ttl,
            ownership: self.ownership.clone(),
            clock: self.clock.clone(),
            epoch: self.epoch,
            began: self.epoch_began,
        };
        let swarm = self.swarm.clone();
        self.tasks.spawn(async move { Finished::Attested(hearing.of(&swarm, &witnesses).await) });
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
        RoundPlan { witnesses: self.targets(), canary_zones, ask_portal: self.is_silent() }
    }

    /// Whether those who were asked do not answer. Where nobody is asked, silence says nothing.
    fn is_silent(&self) -> bool {
        if !self.config.services.consent && self.targets().is_empty() {
            return false;
        }
        let ttl = self.judge.policy().thresholds.voice_ttl;
        self.sightings.silent((self.clock)().boot, self.epoch_began.boot, ttl)
    }

    /// Once everybody has fallen silent, a round looks for a captive portal without waiting for its turn.
    pub(super) fn look_for_a_portal_when_silent(&mut self) {
        if !self.is_silent() {
            self.portal_sought = None;
        } else if self.portal_sought != Some(self.epoch) && self.pause.is_none() {
            self.round.soon((self.clock)().boot);
        }
    }

    pub(super) async fn observed(&mut self, observation: Observation) {
        self.recorder.sample(&self.store, &observation).await;
        self.judge.observe(&observation);
        if observation.epoch == self.epoch {
            self.own_answers.take(&observation);
        }
        if self.sightings.moved(&observation) {
            self.measure_soon();
        }
    }

    pub(super) async fn finished(&mut self, finished: Result<Finished, JoinError>) {
        match finished {
            Ok(Finished::Beacon | Finished::Local | Finished::Maintenance) => {}
            Ok(Finished::Attested(observations)) => {
                for observation in observations {
                    if self.crossed_the_internet(&observation) {
                        self.observed(observation).await;
                    }
                }
            }
            Ok(Finished::Round(epoch, took)) => self.round_ended(epoch, took).await,
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "a check crashed; it will run again with the next round"),
        }
    }

    /// A witness that saw a private address was reached without crossing the internet, so it is no voice.
    fn crossed_the_internet(&self, observation: &Observation) -> bool {
        match &observation.fact {
            Fact::Exit(ExitSeen { address: Outcome::Measured(seen), .. }) => {
                !self.judge.policy().is_bogon(seen.address)
            }
            _ => true,
        }
    }

    async fn round_ended(&mut self, epoch: Epoch, took: Millis) {
        if self.round_in_flight.as_ref().is_some_and(|(current, _)| *current == epoch) {
            self.round_in_flight = None;
            if std::mem::take(&mut self.round_again) {
                self.measure_soon();
            }
        }
        if epoch == self.epoch {
            let now = (self.clock)();
            self.judge.round_finished(epoch, now);
            self.last_round = Some((now.wall, took));
            self.round_just_ended = true;
            self.swarm.set_answers(self.own_answers.told(now.boot)).await;
        }
    }
}

/// What makes the words of witnesses observations of this node.
struct Hearing {
    panel: Vec<String>,
    oldest: Millis,
    ownership: Ownership,
    clock: Clock,
    epoch: Epoch,
    began: Moment,
}

impl Hearing {
    /// Asks all witnesses at once.
    async fn of(&self, swarm: &Swarm, witnesses: &[(NodeId, WitnessTarget)]) -> Vec<Observation> {
        let asked = witnesses.iter().map(|(node, target)| async move {
            match swarm.attest(node).await {
                Ok(attestation) => self.observations(target, &attestation),
                Err(error) => {
                    tracing::debug!(node = %target.voice.name, %error, "no attestation");
                    Vec::new()
                }
            }
        });
        join_all(asked).await.concat()
    }

    fn observations(&self, target: &WitnessTarget, attestation: &Attestation) -> Vec<Observation> {
        let now = (self.clock)();
        // A sighting from before the network changed says nothing about this one.
        let seen = attestation.seen.iter().filter(|seen| seen.age < now.boot.since(self.began.boot));
        let seen = seen.map(|seen| {
            let address = self.ownership.attribute(seen.address);
            let fact = Fact::Exit(ExitSeen {
                family: Family::of(address.address),
                voice: target.voice.clone(),
                path: ExitPath::Attested,
                address: Outcome::Measured(address),
            });
            Observation { at: now, epoch: self.epoch, fact }
        });
        let listener = Listener {
            panel: &self.panel,
            oldest: self.oldest,
            ownership: &self.ownership,
            epoch: self.epoch,
            now,
        };
        seen.chain(listener.hear(&attestation.node, &attestation.answers)).collect()
    }
}

/// Any number; without randomness no jitter.
fn jitter() -> u32 {
    getrandom::u32().unwrap_or(0)
}
