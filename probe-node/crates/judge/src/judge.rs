//! The judge's memory: hands each observation to the part it concerns.

use crate::{
    alerts::IncidentTracker,
    context::EpochState,
    dated::Dated,
    dns::{Interceptions, NameAnswers, Resolvers},
    exit::FamilyExit,
    latency::{LatencyFloor, Targets},
    nodes::Nodes,
    policy::Policy,
    tunnel::{Applications, KillSwitchTests, RouteTable},
};
use sentinel_model::{
    Connectivity, Epoch, Fact, Family, FindingKind, Incident, IncidentId, Moment, NodeView, Observation,
    PerFamily, Verdict, VerdictView,
};
use std::{collections::BTreeSet, sync::Arc};

/// Turns observations into assessments.
#[derive(Clone, Debug)]
pub struct Judge {
    pub(crate) policy: Arc<Policy>,
    pub(crate) epoch_state: EpochState,
    pub(crate) started: Moment,
    pub(crate) is_paused: bool,
    /// Whether anything was observed since the last assessment.
    pub(crate) is_fresh: bool,
    pub(crate) exits: PerFamily<FamilyExit>,
    pub(crate) resolvers: Resolvers,
    pub(crate) answers: NameAnswers,
    pub(crate) interceptions: Interceptions,
    pub(crate) targets: Targets,
    pub(crate) floor: LatencyFloor,
    pub(crate) kill_switch: KillSwitchTests,
    pub(crate) routes: RouteTable,
    pub(crate) applications: Applications,
    pub(crate) nodes: Nodes,
    pub(crate) connectivity: Option<Dated<Connectivity>>,
    pub(crate) incidents: IncidentTracker,
    /// What was suspicious at the last assessment.
    pub(crate) suspicions: BTreeSet<(FindingKind, Option<Family>)>,
    pub(crate) verdict: VerdictView,
}

impl Judge {
    /// Creates a judge that has observed nothing, in epoch 0.
    pub fn new(policy: Policy, now: Moment) -> Self {
        Self {
            policy: Arc::new(policy),
            epoch_state: EpochState::default(),
            started: now,
            is_paused: false,
            is_fresh: false,
            exits: PerFamily::from_fn(FamilyExit::new),
            resolvers: Resolvers::default(),
            answers: NameAnswers::default(),
            interceptions: Interceptions::default(),
            targets: Targets::default(),
            floor: LatencyFloor::default(),
            kill_switch: KillSwitchTests::default(),
            routes: RouteTable::default(),
            applications: Applications::default(),
            nodes: Nodes::default(),
            connectivity: None,
            incidents: IncidentTracker::default(),
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

    /// Returns the policy the judge follows.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Follows another policy from now on; what was observed is kept and judged anew.
    ///
    /// If home changed, exits that were accepted by comparison with the old one no longer are.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.home != self.policy.home {
            self.exits.iter_mut().for_each(|exit| exit.confirmed_in = None);
        }
        if policy.thresholds.latency() != self.policy.thresholds.latency() {
            self.targets.forget_paths();
        }
        self.policy = Arc::new(policy);
    }

    /// Follows a policy with a home the person has just stated: the VPN is off on purpose.
    ///
    /// Tunnels that were in use before are no longer expected.
    pub fn adopt_home(&mut self, policy: Policy) {
        self.routes.forget_tunnels();
        self.set_policy(Policy { own_tunnel_known: false, ..policy });
        self.exits.iter_mut().for_each(|exit| exit.confirmed_in = None);
    }

    /// Goes on with the incidents that an earlier run left open.
    ///
    /// They stay open until their findings are determined.
    pub fn restore_incidents(&mut self, open: Vec<Incident>) {
        self.incidents.restore(open, &self.policy);
    }

    /// Begins a new epoch, since the local network changed.
    ///
    /// What was measured before no longer proves anything, but the voices from before may uphold
    /// the verdict for the grace period. A network that keeps changing does not prolong it, unless
    /// a voice has answered since the change before.
    pub fn begin_epoch(&mut self, epoch: Epoch, now: Moment) {
        let is_running = now.boot < self.epoch_state.grace_until;
        let is_measured = self.exits.iter().any(|exit| exit.is_measured_in(self.epoch_state.epoch));
        self.epoch_state.epoch = epoch;
        self.floor.forget();
        if is_measured || !is_running {
            self.epoch_state.grace_until = now.boot.after(self.policy.thresholds.epoch_grace);
        }
    }

    /// Handles a wake: suspicions are dropped, and baselines frozen until a full round has run.
    pub fn handle_wake(&mut self, now: Moment) {
        self.incidents.interrupt();
        self.nodes.restart_silence();
        self.targets.freeze(true);
        self.floor.forget();
        self.exits.iter_mut().for_each(FamilyExit::forget_voices);
        self.epoch_state.grace_until = now.boot;
    }

    /// Pauses or resumes judging.
    pub fn set_paused(&mut self, is_paused: bool, now: Moment) {
        if is_paused != self.is_paused {
            self.incidents.interrupt();
            self.epoch_state.grace_until = now.boot;
        }
        self.is_paused = is_paused;
    }

    /// Records one observation; one of another epoch is discarded.
    pub fn observe(&mut self, observation: &Observation) {
        if observation.epoch != self.epoch_state.epoch {
            return;
        }
        self.is_fresh = true;
        let at = observation.at;
        let context = self.epoch_state.context(at, &self.policy);
        match &observation.fact {
            Fact::Exit(seen) => {
                let dated = Dated::from_observation(seen, observation);
                self.exits[seen.family].record(&dated, &context);
            }
            Fact::RoundTrip(trip) => {
                self.exits[trip.family].record_round_trip(trip);
                self.targets.record(trip, self.routes.network_name(), at, &context);
                self.floor.record(trip, at, &context);
            }
            Fact::Resolver(seen) => {
                self.resolvers.record_report(&Dated::from_observation(seen, observation), &context);
            }
            Fact::ResolverConfig(configured) => {
                self.resolvers.record_config(&Dated::from_observation(configured, observation));
            }
            Fact::Answers(seen) => self.answers.record(&Dated::from_observation(seen, observation)),
            Fact::Interception(seen) => {
                self.interceptions.record(&Dated::from_observation(seen, observation), &context);
            }
            Fact::Route(route) => self.routes.record_route(&Dated::from_observation(route, observation)),
            Fact::Interfaces(interfaces) => {
                self.routes.record_interfaces(&Dated::from_observation(interfaces, observation));
            }
            Fact::Uplinks(uplinks) => {
                self.routes.record_uplinks(&Dated::from_observation(uplinks, observation));
            }
            Fact::KillSwitch(seen) => self.kill_switch.record(&Dated::from_observation(seen, observation)),
            Fact::Underlay(seen) => {
                let dated = Dated::from_observation(seen, observation);
                self.targets.record_underlay(&dated, self.routes.network_name());
                self.routes.record_far_end(&dated, &context);
                self.floor.record_underlay(&dated);
            }
            Fact::IpsecPolicies(policies) => self.routes.record_ipsec(policies),
            Fact::Sockets(table) => {
                self.applications.record(&Dated::from_observation(table, observation));
            }
            Fact::Connectivity(connectivity) => {
                let dated = Dated::from_observation(*connectivity, observation);
                if !self.is_kept_out(&dated, &context) {
                    self.connectivity = Some(dated);
                }
            }
        }
    }

    /// Handles the end of a full round: after a wake, baselines may move again.
    pub fn finish_round(&mut self, epoch: Epoch, now: Moment) {
        if epoch == self.epoch_state.epoch && now.boot >= self.started.boot {
            self.targets.freeze(false);
        }
    }

    /// Returns the name of each family's tunnel, as far as it is known.
    pub fn tunnel_names(&self) -> PerFamily<Option<String>> {
        PerFamily::from_fn(|family| self.routes.tunnel_name(family, &self.policy).map(str::to_owned))
    }

    /// Returns true if another look at the socket table soon would decide about a program.
    pub fn awaits_sockets(&self) -> bool {
        self.applications.awaits_look()
    }

    /// Takes over the list of nodes from the swarm.
    pub fn update_nodes(&mut self, nodes: &[NodeView]) {
        self.nodes.update(nodes);
    }

    /// Records that the person knows of an incident; returns whether there is such an open one.
    pub fn acknowledge(&mut self, incident: &IncidentId, now: Moment) -> bool {
        let Some(known) = self.incidents.acknowledge(incident, now) else { return false };
        if known.kind == FindingKind::ExitOperatorChanged
            && let Some(family) = known.family
        {
            self.exits[family].accept_move();
        }
        true
    }
}
