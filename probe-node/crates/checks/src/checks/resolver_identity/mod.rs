//! Who actually resolves for us. A name is asked whose authoritative server answers with the address it was asked
//! from: of the system's resolver, of each configured one directly, and, where the user allows it, of those of the
//! local network past the tunnel. A configured one that only a question past the tunnel would reach is among the
//! latter, unless the system itself asks it.

use crate::{
    checks::Inner,
    local_resolvers,
    names::{self, Servers},
    reason,
    report::Report,
    routes,
    settings::{PastTunnel, WhoamiZone},
    whoami::{self, MAX_ZONES},
};
use futures::future::{join, join_all, join3};
use sentinel_model::{ConfiguredResolver, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverSeen};
use std::{net::SocketAddr, time::Duration};

/// More resolvers than any machine has configured in earnest.
const MAX_RESOLVERS: usize = 8;

/// Asks every path, all at once. The user's own zones are asked; the public ones, where consented, only if none of
/// the user's own told anything.
pub(crate) async fn run(
    inner: &Inner,
    configured: &[ConfiguredResolver],
    canaries: &[String],
    report: &Report,
) {
    let own = &whoami::own_zones(inner, canaries);
    let public = inner.public_whoami.as_slice();
    let attempts = [own.as_slice(), public].iter().filter(|zones| !zones.is_empty()).count();
    let budget = whoami::share(inner, attempts);
    let system = &names::system(configured);
    let ask = async |path: ResolverPath, servers: &[SocketAddr]| {
        if !ask_all(inner, (&path, servers), own, budget, report).await {
            ask_all(inner, (&path, servers), public, budget, report).await;
        }
    };
    let directly = join_all(configured.iter().take(MAX_RESOLVERS).map(|resolver| async {
        let (path, server) = (ResolverPath::Configured(resolver.address), names::at(resolver));
        let refusal = if system.contains(&server) { None } else { past_tunnel(inner, resolver).await };
        match refusal {
            None => ask(path, &[server]).await,
            Some(reason) => {
                let Some(zone) = own.first().or(public.first()) else { return };
                let (zone, resolvers) = (zone.name.clone(), Outcome::Unknown(reason));
                report.fact(Fact::Resolver(ResolverSeen { path, zone, resolvers })).await;
            }
        }
    }));
    join3(ask(ResolverPath::System, system), directly, local_resolvers::run(inner, own, report)).await;
}

/// Why a resolver is not asked: a question would leave by a physical interface, ours as the routes say or a
/// forwarder's by the resolver's link, and the user has not allowed that.
async fn past_tunnel(inner: &Inner, resolver: &ConfiguredResolver) -> Option<Reason> {
    if inner.past_tunnel == PastTunnel::Full {
        return None;
    }
    let routed = routes::way_to(inner, resolver.address, None);
    let (routed, bound) = join(routed, routes::way_to(inner, resolver.address, resolver.bound_to())).await;
    let mut taken = [routed, bound].into_iter().filter_map(|way| way.measured().cloned());
    let physical = taken.find(|taken| taken.kind == InterfaceKind::Physical)?;
    Some(Reason::Failed(format!(
        "it is reached past the tunnel by {}, and past_tunnel is not \"full\"",
        physical.interface
    )))
}

/// Whether any of the zones told something.
async fn ask_all(
    inner: &Inner,
    (path, servers): (&ResolverPath, &[SocketAddr]),
    zones: &[WhoamiZone],
    budget: Duration,
    report: &Report,
) -> bool {
    let told = join_all(zones.iter().take(MAX_ZONES).map(|zone| async move {
        let asked = async {
            let heard = whoami::hear(inner, &Servers::new(servers, budget)?, zone, report.epoch()).await?;
            inner.cached.unless_old(path, servers, zone, heard)
        };
        let resolvers = reason::outcome(asked.await);
        let told = matches!(resolvers, Outcome::Measured(_));
        let seen = ResolverSeen { path: path.clone(), zone: zone.name.clone(), resolvers };
        report.fact(Fact::Resolver(seen)).await;
        told
    }))
    .await;
    told.contains(&true)
}
