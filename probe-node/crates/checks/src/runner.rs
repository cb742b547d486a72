//! Runs the checks.
//!
//! All checks of a round run at once, each within its own budget, so a slow or dead service delays
//! only its own result.
//!
//! ```text
//! beacon   one STUN exchange per witness and family
//! round    local facts, captive portal | kill switch | underlay | resolver identity | interception
//!          | answers | public STUN | HTTPS echo
//! local    interfaces, resolver config -> far ends, routes, IPsec policies -> connectivity
//!          | sockets | kill switch
//! sockets  the socket table alone
//! ```
//!
//! In `local`, only the kill switch check sends packets.

use crate::{
    checks::{
        answers,
        connectivity::{self, portal},
        exit, interception, kill_switch, resolver_config, resolver_identity, routes, sockets, underlay,
        uplinks,
    },
    context::Context,
    dns::stub::{self, SystemResolver},
    error::CheckError,
    own_lookups::{OwnResolver, ServiceNames},
    ownership::Ownership,
    plan::{RoundPlan, WitnessTarget},
    platform::{FarEnd, Platform},
    reporter::Reporter,
    services::public_resolver::PublicResolver,
    settings::Settings,
};
use futures::future::{BoxFuture, FutureExt, Shared, join, join3};
use sentinel_model::{Clock, ConfiguredResolver, Connectivity, Epoch, Fact, Observation, PerFamily};
use std::{sync::Arc, time::Instant};
use tokio::sync::mpsc;

/// All checks of this machine. A handle: cloning it is cheap.
#[derive(Clone)]
pub struct Checks {
    context: Arc<Context>,
}

impl Checks {
    /// Parses the settings; a service's address or a name that cannot be used is an error.
    ///
    /// `resolver` locates public services; the checks that measure a resolver do not use it.
    pub fn new(
        settings: Settings,
        platform: Arc<dyn Platform>,
        ownership: Ownership,
        resolver: OwnResolver,
        clock: Clock,
    ) -> Result<Self, CheckError> {
        Ok(Self { context: Arc::new(Context::new(settings, platform, ownership, resolver, clock)?) })
    }

    /// Runs one beacon: a STUN exchange with every target in each family it has an address in.
    ///
    /// All exchanges run at once, each on a fresh socket. They yield exits and round trips, or
    /// reasons. Takes at most one budget.
    pub async fn beacon(&self, epoch: Epoch, targets: &[WitnessTarget], out: mpsc::Sender<Observation>) {
        exit::stun::ask_witnesses(&self.context, targets, &self.reporter(epoch, out)).await;
    }

    /// Runs a full round: everything but the beacons.
    ///
    /// Each observation is sent as soon as it exists. The operators of unknown addresses seen in
    /// beacons and in the round are asked for in the background and known in the next round.
    pub async fn round(&self, epoch: Epoch, plan: &RoundPlan, out: mpsc::Sender<Observation>) {
        let context = &*self.context;
        let reporter = &self.reporter(epoch, out);
        let configured = resolver_config::run(context, reporter).await;
        let resolver = &SystemResolver {
            servers: stub::system_servers(&configured),
            service: context.platform.find_name_service().await,
        };
        let system = &resolver.stub_with_hosts_file(context.budget);
        let names = &context.resolver.service_names(&configured, context.budget).await;
        self.learn_operators(names);
        let far_ends = &underlay::find_far_ends(context).boxed().shared();
        let now = Instant::now();
        let may_ask = |resolver: &&PublicResolver| context.rate_limiter.may_ask(&resolver.name, now);
        let resolvers: &Vec<_> = &context.public_resolvers.iter().filter(may_ask).collect();
        tokio::join!(
            report_local_facts_and_portal(context, plan, &configured, names, far_ends, reporter),
            sockets::look_twice(context, &plan.tunnels, epoch, reporter),
            kill_switch::run(context, reporter),
            async { underlay::run(context, &far_ends.clone().await, reporter).await },
            resolver_identity::run(context, &configured, resolver, &plan.canary_zones, reporter),
            interception::run(context, resolvers, &plan.canary_zones, reporter),
            answers::run(context, system, resolvers, reporter),
            exit::stun::ask_public_servers(context, names, reporter),
            exit::https_echo::run(context, names, reporter),
        );
        self.learn_operators(names);
    }

    /// Asks who operates the networks seen since, if any resolver may be asked.
    fn learn_operators(&self, names: &ServiceNames) {
        let (ownership, budget) = (self.context.ownership.clone(), self.context.budget);
        if let Ok(resolver) = names.resolver().cloned() {
            tokio::spawn(async move { ownership.learn(&resolver, budget).await });
        }
    }

    /// Reports what the machine itself knows: interfaces, resolver config, routes, connectivity.
    ///
    /// Where the plan allows it, the kill switch is probed as well; no packet travels beyond the
    /// first routers. This takes a few milliseconds, so it runs at once when the network changes.
    pub async fn local(&self, epoch: Epoch, plan: &RoundPlan, out: mpsc::Sender<Observation>) {
        let reporter = &self.reporter(epoch, out);
        let configured = resolver_config::run(&self.context, reporter).await;
        let facts = async {
            let far_ends = underlay::find_far_ends(&self.context);
            let connectivity = report_local_facts(&self.context, plan, &configured, far_ends, reporter).await;
            reporter.send(Fact::Connectivity(connectivity)).await;
        };
        let kill_switch = async {
            if plan.probe_kill_switch {
                kill_switch::run(&self.context, reporter).await;
            }
        };
        join3(facts, sockets::look(&self.context, &plan.tunnels, epoch, reporter), kill_switch).await;
    }

    /// Reports the connected sockets that may be outside these tunnels.
    ///
    /// This takes a few milliseconds and sends nothing, so it runs between rounds too.
    pub async fn sockets(
        &self,
        epoch: Epoch,
        tunnels: &PerFamily<Option<String>>,
        out: mpsc::Sender<Observation>,
    ) {
        sockets::look(&self.context, tunnels, epoch, &self.reporter(epoch, out)).await;
    }

    /// Does the same, and again a second later if there are such sockets, as a round does.
    pub async fn sockets_twice(
        &self,
        epoch: Epoch,
        tunnels: &PerFamily<Option<String>>,
        out: mpsc::Sender<Observation>,
    ) {
        sockets::look_twice(&self.context, tunnels, epoch, &self.reporter(epoch, out)).await;
    }

    fn reporter(&self, epoch: Epoch, out: mpsc::Sender<Observation>) -> Reporter {
        Reporter::new(epoch, self.context.clock.clone(), out)
    }
}

/// Reports the local facts and then connectivity, at most once per round.
///
/// - Where a portal is asked for, the result of that check is reported. If nothing responded, there
///   is no report, and the previous one remains valid.
/// - Otherwise, and always when offline, the kernel's view is reported.
async fn report_local_facts_and_portal(
    context: &Context,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    names: &ServiceNames,
    far_ends: &Shared<BoxFuture<'_, Vec<FarEnd>>>,
    reporter: &Reporter,
) {
    let local = report_local_facts(context, plan, configured, far_ends.clone(), reporter).await;
    let connectivity = if local == Connectivity::Routed && plan.ask_portal && portal::can_ask(context) {
        portal::ask(context, names).await
    } else {
        Some(local)
    };
    if let Some(connectivity) = connectivity {
        reporter.send(Fact::Connectivity(connectivity)).await;
    }
}

/// Reports interfaces, far ends, routes and IPsec policies, and returns the connectivity that
/// follows from them.
async fn report_local_facts(
    context: &Context,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    far_ends: impl Future<Output = Vec<FarEnd>>,
    reporter: &Reporter,
) -> Connectivity {
    let interfaces = async {
        let interfaces = context.platform.list_interfaces().await;
        reporter.send(Fact::Interfaces(interfaces.clone())).await;
        reporter.send(Fact::Uplinks(uplinks::find(context, &interfaces).await)).await;
        interfaces
    };
    let routes = async {
        let (far_ends, found) = join(far_ends, routes::find(context, plan, configured)).await;
        underlay::report_far_ends(context, &far_ends, reporter).await;
        routes::report(found, reporter).await
    };
    let policies = async {
        let policies = context.platform.list_ipsec_policies().await;
        reporter.send(Fact::IpsecPolicies(policies)).await;
    };
    let (interfaces, routes, ()) = join3(interfaces, routes, policies).await;
    connectivity::from_kernel(&interfaces, &routes)
}
