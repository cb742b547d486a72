//! What the judge knows: hands each observation to the part it concerns.

use crate::{
    alerts::IncidentTracker,
    dns::{Interceptions, NameAnswers, Resolvers},
    exit::FamilyExit,
    latency::{Floor, Targets},
    nodes::Nodes,
    part_result::JudgeContext,
    policy::Policy,
    tunnel::{KillSwitchTests, RouteTable},
};
use sentinel_model::{
    Connectivity, Epoch, Fact, Family, FindingKind, Incident, IncidentId, Moment, Monotonic, NodeView,
    Observation, Verdict, VerdictView,
};
use std::{collections::BTreeSet, sync::Arc};

/// Turns observations into assessments.
#[derive(Clone, Debug)]
pub struct Judge {
    pub(crate) policy: Arc<Policy>,
    pub(crate) epoch_state: EpochState,
    pub(crate) started: Moment,
    pub(crate) paused: bool,
    pub(crate) fresh: bool,
    pub(crate) lines: [FamilyExit; 2],
    pub(crate) dns: Resolvers,
    pub(crate) answers: NameAnswers,
    pub(crate) interceptions: Interceptions,
    pub(crate) targets: Targets,
    pub(crate) floor: Floor,
    pub(crate) kill_switch: KillSwitchTests,
    pub(crate) paths: RouteTable,
    pub(crate) nodes: Nodes,
    pub(crate) connectivity: Option<(Connectivity, Moment)>,
    pub(crate) alerts: IncidentTracker,
    pub(crate) suspicions: BTreeSet<(FindingKind, Option<Family>)>,
    pub(crate) verdict: VerdictView,
}

/// Where the judge stands in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EpochState {
    pub epoch: Epoch,
    pub grace_until: Monotonic,
}

impl EpochState {
    pub fn at(self, now: Moment, policy: &Policy) -> JudgeContext<'_> {
        JudgeContext { now, epoch: self.epoch, grace_until: self.grace_until, policy }
    }
}

impl Judge {
    /// A judge that has seen nothing yet, in epoch 0.
    pub fn new(policy: Policy, now: Moment) -> Self {
        Self {
            policy: Arc::new(policy),
            epoch_state: EpochState::default(),
            started: now,
            paused: false,
            fresh: false,
            lines: [FamilyExit::new(Family::V4), FamilyExit::new(Family::V6)],
            dns: Resolvers::default(),
            answers: NameAnswers::default(),
            interceptions: Interceptions::default(),
            targets: Targets::default(),
            floor: Floor::default(),
            kill_switch: KillSwitchTests::default(),
            paths: RouteTable::default(),
            nodes: Nodes::default(),
            connectivity: None,
            alerts: IncidentTracker::default(),
            suspicions: BTreeSet::new(),
            verdict: VerdictView {
                verdict: Verdict::Unverified,
                assurance: None,
                sentence: "Nobody has been asked yet.".to_owned(),
                since: now.wall,
                verified_at: None,
            },
        }
    }

    /// What the judge goes by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Goes by something else from now on. What was observed is kept and judged anew. Where home is another, what was
    /// vouched for by comparison with the one before no longer counts.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.home != self.policy.home {
            self.lines.iter_mut().for_each(|line| line.vouched_in = None);
        }
        if policy.thresholds.latency() != self.policy.thresholds.latency() {
            self.targets.forget();
        }
        self.policy = Arc::new(policy);
    }

    /// The person said that this is the home line: the VPN is off on purpose. Goes by the new policy, and expects no
    /// tunnel that was in use before.
    pub fn home_learned(&mut self, policy: Policy) {
        self.paths.forget_tunnels();
        self.set_policy(Policy { own_tunnel_known: false, ..policy });
        self.lines.iter_mut().for_each(|line| line.vouched_in = None);
    }

    /// Goes on with the incidents an earlier run left open. They stay open until the judge can tell.
    pub fn restore(&mut self, open: Vec<Incident>) {
        self.alerts.restore(open, &self.policy, self.started);
    }

    /// The local network changed: what was measured before no longer proves anything, but the voices from before may
    /// uphold the verdict for a moment. A network that keeps changing does not prolong it, unless somebody has spoken
    /// since the change before.
    pub fn epoch_changed(&mut self, epoch: Epoch, now: Moment) {
        let running = now.boot < self.epoch_state.grace_until;
        let heard = self.lines.iter().any(|line| line.heard_in(self.epoch_state.epoch));
        self.epoch_state.epoch = epoch;
        self.floor.forget();
        if heard || !running {
            self.epoch_state.grace_until = now.boot.after(self.policy.thresholds.epoch_grace);
        }
    }

    /// The machine slept: suspicion is dropped, and baselines are frozen until a full round has run.
    pub fn woke(&mut self, now: Moment) {
        self.alerts.interrupt();
        self.nodes.woke();
        self.targets.freeze(true);
        self.floor.forget();
        self.lines.iter_mut().for_each(FamilyExit::forget);
        self.epoch_state.grace_until = now.boot;
    }

    /// The person paused judging, or resumed it.
    pub fn paused(&mut self, paused: bool, now: Moment) {
        if paused != self.paused {
            self.alerts.interrupt();
            self.epoch_state.grace_until = now.boot;
        }
        self.paused = paused;
    }

    /// Takes in one observation. One that belongs to another epoch is discarded.
    pub fn observe(&mut self, observation: &Observation) {
        let Observation { at, epoch, fact } = observation;
        let (at, epoch) = (*at, *epoch);
        if epoch != self.epoch_state.epoch {
            return;
        }
        self.fresh = true;
        let context = self.epoch_state.at(at, &self.policy);
        match fact {
            Fact::Exit(seen) => {
                let [v4, v6] = &mut self.lines;
                let line = if seen.family == Family::V4 { v4 } else { v6 };
                line.observe(seen, at, epoch, &context);
            }
            Fact::RoundTrip(trip) => {
                let [v4, v6] = &mut self.lines;
                let line = if trip.family == Family::V4 { v4 } else { v6 };
                line.round_trip(trip);
                self.targets.observe(trip, at, self.paths.fingerprint(), &context);
                self.floor.trip(trip, at, &context);
            }
            Fact::Resolver(seen) => self.dns.observe(seen, at, epoch, &context),
            Fact::Answers(seen) => self.answers.observe(seen, at, epoch),
            Fact::Route(route) => self.paths.route(route, at, epoch),
            Fact::ResolverConfig(configured) => self.dns.configure(configured, at, epoch),
            Fact::Interfaces(interfaces) => self.paths.interfaces(interfaces, at, epoch),
            Fact::Connectivity(connectivity) => self.connectivity = Some((*connectivity, at)),
            Fact::Interception(seen) => self.interceptions.observe(seen, at, epoch, &context),
            Fact::KillSwitch(seen) => self.kill_switch.observe(seen, at, epoch),
            Fact::Underlay(seen) => {
                self.targets.underlay(seen, at, self.paths.fingerprint());
                self.paths.far_end_named(seen, at, epoch);
                self.floor.underlay(seen, at);
            }
        }
    }

    /// A full round has ended: after a wake, baselines may move again.
    pub fn round_finished(&mut self, epoch: Epoch, now: Moment) {
        if epoch == self.epoch_state.epoch && now.boot >= self.started.boot {
            self.targets.freeze(false);
        }
    }

    /// Takes in the list of nodes as the swarm knows them.
    pub fn node_heard(&mut self, nodes: &[NodeView]) {
        self.nodes.hear(nodes);
    }

    /// Notes that the person knows of an incident; says whether there is such an open one.
    pub fn acknowledge(&mut self, incident: &IncidentId, now: Moment) -> bool {
        let Some(known) = self.alerts.acknowledge(incident, now) else { return false };
        if known.kind == FindingKind::ExitOperatorChanged {
            let moved = self.lines.iter_mut().filter(|line| Some(line.family) == known.family);
            moved.for_each(FamilyExit::accept_move);
        }
        true
    }
}
