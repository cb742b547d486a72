//! Check "resolver identity": which resolvers query authoritative servers for this machine.
//!
//! A whoami question is asked through
//!
//! - the system's resolver,
//! - each configured resolver directly, unless the question would leave past the tunnel,
//! - and, where the user allows it, the resolvers of the local network past the tunnel.

mod local_resolvers;

use super::routes;
use crate::{
    context::{Context, MAX_ZONES},
    dns::{
        stub::{self, StubResolver},
        whoami,
    },
    platform::PacketKind,
    reason,
    reporter::Reporter,
    settings::{PastTunnel, WhoamiZone},
};
use futures::future::{join, join_all, join3};
use sentinel_model::{ConfiguredResolver, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverSeen};
use std::{net::SocketAddr, time::Duration};

/// The most configured resolvers asked directly.
const MAX_RESOLVERS: usize = 8;

/// Asks on every path, all at once.
///
/// The user's own zones are asked first. The public ones, where consented, are asked only if none
/// of the user's own yields an answer.
pub(crate) async fn run(
    context: &Context,
    configured: &[ConfiguredResolver],
    canary_zones: &[String],
    reporter: &Reporter,
) {
    let own = &context.own_zones(canary_zones);
    let public = context.public_whoami.as_slice();
    let attempts = [own.as_slice(), public].iter().filter(|zones| !zones.is_empty()).count();
    let budget = context.share(attempts);
    let system = &stub::system_servers(configured);
    let ask = async |path: ResolverPath, servers: &[SocketAddr]| {
        if !ask_zones(context, (&path, servers), own, budget, reporter).await {
            ask_zones(context, (&path, servers), public, budget, reporter).await;
        }
    };
    let directly = join_all(configured.iter().take(MAX_RESOLVERS).map(|resolver| async {
        let (path, server) = (ResolverPath::Configured(resolver.address), stub::server_address(resolver));
        let allowed = if system.contains(&server) { Ok(()) } else { may_ask(context, resolver).await };
        match allowed {
            Ok(()) => ask(path, &[server]).await,
            Err(reason) => {
                let Some(zone) = own.first().or(public.first()) else { return };
                let (zone, resolvers) = (zone.name.clone(), Outcome::Unknown(reason));
                reporter.send(Fact::Resolver(ResolverSeen { path, zone, resolvers })).await;
            }
        }
    }));
    let local = local_resolvers::run(context, own, reporter);
    join3(ask(ResolverPath::System, system), directly, local).await;
}

/// Returns an error for a resolver whose questions would leave by a physical interface.
///
/// Both paths are checked: the one the routes choose for this node's question, and the link to
/// which a forwarder binds its own. The user may allow such questions.
async fn may_ask(context: &Context, resolver: &ConfiguredResolver) -> Result<(), Reason> {
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
    (path, servers): (&ResolverPath, &[SocketAddr]),
    zones: &[WhoamiZone],
    budget: Duration,
    reporter: &Reporter,
) -> bool {
    let answered = join_all(zones.iter().take(MAX_ZONES).map(|zone| async move {
        let addresses = async {
            let stub = StubResolver::new(servers, budget)?;
            let answer = whoami::ask_with_ttl(&stub, zone, reporter.epoch()).await?;
            context.past_answers.reject_stale(path, servers, zone, answer)
        };
        let resolvers = reason::outcome(addresses.await.map(|addresses| context.attribute_all(addresses)));
        let answered = matches!(resolvers, Outcome::Measured(_));
        let seen = ResolverSeen { path: path.clone(), zone: zone.name.clone(), resolvers };
        reporter.send(Fact::Resolver(seen)).await;
        answered
    }))
    .await;
    answered.contains(&true)
}
