//! Who actually resolves for us. A name is asked whose authoritative server answers with the address it was asked
//! from: of the system's resolver, of each configured one directly, and, where the user allows it, of those of the
//! local network past the tunnel.

use crate::{
    checks::Inner,
    local_resolvers,
    names::{self, Servers},
    reason,
    report::Report,
    settings::WhoamiZone,
    whoami::{self, MAX_ZONES},
};
use futures::future::{join, join_all};
use sentinel_model::{ConfiguredResolver, Fact, Outcome, ResolverPath, ResolverSeen};
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
    let mut paths = vec![(ResolverPath::System, names::system(configured))];
    paths.extend(configured.iter().take(MAX_RESOLVERS).map(|resolver| {
        (ResolverPath::Configured(resolver.address), vec![SocketAddr::new(resolver.address, names::PORT)])
    }));
    let public = inner.public_whoami.as_slice();
    let attempts = [own.as_slice(), public].iter().filter(|zones| !zones.is_empty()).count();
    let budget = whoami::share(inner, attempts);
    let through_the_tunnel = join_all(paths.into_iter().map(|(path, servers)| async move {
        if !ask_all(inner, (&path, &servers), own, budget, report).await {
            ask_all(inner, (&path, &servers), public, budget, report).await;
        }
    }));
    join(through_the_tunnel, local_resolvers::run(inner, own, report)).await;
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
