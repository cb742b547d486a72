//! Check "resolver identity": which resolvers query authoritative servers for this machine.
//!
//! A whoami question is asked through
//!
//! - the system's resolver: the service that the C library asks, or else the configured resolvers
//!   in their order,
//! - each configured resolver directly, unless the question would leave past the tunnel,
//! - and, where the user allows it, the resolvers of the local network past the tunnel.

mod local_resolvers;

use super::routes;
use crate::{
    context::{Context, MAX_ZONES},
    dns::{
        stub::{self, SystemResolver},
        whoami,
    },
    platform::PacketKind,
    reason,
    reporter::Reporter,
    settings::{PastTunnel, WhoamiZone},
};
use futures::future::{join, join_all, join3};
use sentinel_model::{
    ConfiguredResolver, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverRole, ResolverSeen,
};
use std::time::Duration;

/// The most configured resolvers asked directly.
const MAX_RESOLVERS: usize = 8;

/// Asks on every path, all at once.
///
/// The user's own zones are asked first. The public ones, where consented, are asked only if none
/// of the user's own yields an answer.
pub(crate) async fn run(
    context: &Context,
    configured: &[ConfiguredResolver],
    system: &SystemResolver,
    canary_zones: &[String],
    reporter: &Reporter,
) {
    let own = &context.own_zones(canary_zones);
    let public = context.public_whoami.as_slice();
    let attempts = [own.as_slice(), public].iter().filter(|zones| !zones.is_empty()).count();
    let budget = context.share(attempts);
    let ask = async |path: ResolverPath, asked: SystemResolver| {
        let is_local = asked.is_local() || is_on_this_machine(context, &asked).await;
        let asked = &Asked { path, resolver: asked, is_local };
        if !ask_zones(context, asked, own, budget, reporter).await {
            ask_zones(context, asked, public, budget, reporter).await;
        }
    };
    let directly = join_all(configured.iter().take(MAX_RESOLVERS).map(|resolver| async {
        let (path, server) = (ResolverPath::Configured(resolver.address), stub::server_address(resolver));
        let is_asked = system.servers.contains(&server);
        let allowed = if is_asked { Ok(()) } else { may_ask(context, resolver).await };
        match allowed {
            Ok(()) => ask(path, SystemResolver { servers: vec![server], service: None }).await,
            Err(reason) => {
                let Some(zone) = own.first().or(public.first()) else { return };
                let (zone, resolvers) = (zone.name.clone(), Outcome::Unknown(reason));
                reporter.send(Fact::Resolver(ResolverSeen { path, zone, resolvers })).await;
            }
        }
    }));
    let local = local_resolvers::run(context, own, reporter);
    join3(ask(ResolverPath::System, system.clone()), directly, local).await;
}

/// A resolver in the way in which it is asked.
struct Asked {
    path: ResolverPath,
    resolver: SystemResolver,
    /// Whether it is on this machine, so that its cache outlives a network.
    is_local: bool,
}

/// Returns true if the first server has an address of this machine, though not a loopback one.
async fn is_on_this_machine(context: &Context, resolver: &SystemResolver) -> bool {
    let Some(first) = resolver.servers.first() else { return false };
    let route = context.platform.find_route(PacketKind::udp(*first)).await;
    route.measured().is_some_and(|route| route.kind == InterfaceKind::Loopback)
}

/// Returns an error for a resolver whose questions would leave by a physical interface, or that a
/// forwarder asks from elsewhere.
///
/// Both paths are checked: the one the routes choose for this node's question, and the link to
/// which a forwarder binds its own. The user may allow such questions.
async fn may_ask(context: &Context, resolver: &ConfiguredResolver) -> Result<(), Reason> {
    if resolver.role == ResolverRole::ForwardedElsewhere {
        let reason = "systemd-resolved asks it from another network namespace";
        return Err(Reason::Failed(reason.into()));
    }
    if context.past_tunnel == PastTunnel::Full {
        return Ok(());
    }
    let query = PacketKind::dns(resolver.address);
    let routed = routes::route_to(context, query, None);
    let bound = routes::route_to(context, query, resolver.bound_to());
    let (routed, bound) = join(routed, bound).await;
    let mut taken = [routed, bound].into_iter().filter_map(|route| route.measured().cloned());
    match taken.find(|taken| taken.kind == InterfaceKind::Physical) {
        None => Ok(()),
        Some(physical) => Err(Reason::Failed(format!(
            "it is reached past the tunnel by {}, and past_tunnel is not \"full\"",
            physical.interface
        ))),
    }
}

/// Asks under each zone and returns true if any yields an answer.
async fn ask_zones(
    context: &Context,
    asked: &Asked,
    zones: &[WhoamiZone],
    budget: Duration,
    reporter: &Reporter,
) -> bool {
    let answered = join_all(zones.iter().take(MAX_ZONES).map(|zone| async move {
        let addresses = async {
            let stub = asked.resolver.stub(budget)?;
            let answer = whoami::ask_with_ttl(&stub, zone, reporter.epoch()).await?;
            context.past_answers.reject_stale(&asked.path, asked.is_local, zone, answer)
        };
        let resolvers = reason::outcome(addresses.await.map(|addresses| context.attribute_all(addresses)));
        let answered = matches!(resolvers, Outcome::Measured(_));
        let seen = ResolverSeen { path: asked.path.clone(), zone: zone.name.clone(), resolvers };
        reporter.send(Fact::Resolver(seen)).await;
        answered
    }))
    .await;
    answered.contains(&true)
}
