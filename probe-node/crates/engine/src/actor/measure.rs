//! Starting checks and taking in what they found.

use super::{Actor, Finished, Round};
use crate::{
    answers::{Listener, earlier},
    cadence::{REPEATS, ROUND_FLOOR},
    settings, witnesses,
};
use futures::future::join_all;
use sentinel_checks::{Ownership, RoundPlan, WitnessTarget};
use sentinel_judge::Policy;
use sentinel_model::{
    Clock, Epoch, ExitPath, ExitSeen, Fact, Family, Millis, Moment, NodeId, Observation, Outcome, Source,
};
use sentinel_swarm::{Attestation, Swarm};
use tokio::{task::JoinError, time::timeout};

/// What one round may take at the most, in budgets of a single check: names that differ are asked again and again, and
/// then have to prove themselves. Whatever takes longer hangs.
const ROUND_BUDGETS: u32 = 6;

impl Actor {
    pub(super) fn measure_what_is_due(&mut self) {
        let now = (self.clock)();
        if self.beacon.due() <= now.boot {
            self.beacon.started(now.boot, jitter());
            self.send_beacon();
        }
        if self.round.due() <= now.boot {
            if self.rounds.make_way(self.epoch, now.boot) {
                self.round.started(now.boot, jitter());
                self.start_round();
            } else {
                self.round.skipped(now.boot);
            }
        }
        if self.pause.is_some() {
            self.beacon.hold();
            self.round.hold();
        }
    }

    /// The facts that cost no packet, at once. What an earlier look has not told yet is out of date.
    pub(super) fn look_at_local_facts(&mut self) {
        let now = (self.clock)().boot;
        // The few packets that try the ways out are spared while a network flaps.
        let try_ways_out =
            self.pause.is_none() && self.ways_out_tried.is_none_or(|at| now.since(at) >= ROUND_FLOOR);
        if try_ways_out {
            self.ways_out_tried = Some(now);
        }
        let plan = RoundPlan { try_ways_out, ..self.plan() };
        let (checks, epoch, out) = (self.checks.clone(), self.epoch, self.observations.clone());
        let look = self.tasks.spawn(async move {
            checks.local(epoch, &plan, out).await;
            Finished::Local
        });
        if let Some(earlier) = self.local_in_flight.replace(look) {
            earlier.abort();
        }
    }

    fn send_beacon(&mut self) {
        let targets = self.targets();
        self.beacons_in_flight.retain(|beacon| !beacon.is_finished());
        if targets.is_empty() || self.beacons_in_flight.len() >= self.beacons_at_once() {
            return;
        }
        let (checks, epoch, out) = (self.checks.clone(), self.epoch, self.observations.clone());
        let beacon = self.tasks.spawn(async move {
            checks.beacon(epoch, &targets, out).await;
            Finished::Beacon
        });
        self.beacons_in_flight.push(beacon);
    }

    /// One that nobody answers lasts its whole budget, and must not keep the next ones from being sent: as many as begin
    /// within a budget, and a burst.
    fn beacons_at_once(&self) -> usize {
        let cadence = &self.config.cadence;
        let regular = cadence.timeout.0.0.div_ceil(cadence.beacon.0.0.max(1));
        usize::try_from(regular).unwrap_or(usize::MAX).saturating_add(1 + REPEATS)
    }

    fn start_round(&mut self) {
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
        let number = self.rounds.next();
        let most = self.config.cadence.timeout.0.duration() * ROUND_BUDGETS;
        let task = self.tasks.spawn(async move {
            let began = clock().boot;
            if timeout(most, checks.round(epoch, &plan, out)).await.is_err() {
                tracing::error!("a round was given up after {most:?}; what it did not tell is unknown");
            }
            Finished::Round(Round { number, epoch, took: clock().boot.since(began) })
        });
        self.rounds.begun(epoch, now.boot, task);
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
        RoundPlan {
            witnesses: self.targets(),
            canary_zones,
            ask_portal: self.is_silent(),
            try_ways_out: true,
        }
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
            self.rounds.suspect();
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
            Ok(Finished::Round(round)) => self.round_ended(round).await,
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

    async fn round_ended(&mut self, round: Round) {
        if self.rounds.ended(round.number) {
            self.measure_soon();
        }
        if round.epoch == self.epoch {
            let now = (self.clock)();
            self.judge.finish_round(round.epoch, now);
            self.last_round = Some((now.wall, round.took));
            self.round_just_ended = Some(round.number);
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
            Observation { at: earlier(now, seen.age), epoch: self.epoch, fact }
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
