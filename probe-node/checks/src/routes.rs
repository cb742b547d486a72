//! The kernel's own answer, per destination, to "which way would this go": for the witnesses, for the configured
//! resolvers, for addresses spread over the space, and for every network with a route of its own past the tunnel. Nothing
//! is sent.

use crate::{checks::Inner, plan::RoundPlan, report::Report};
use futures::future::join_all;
use sentinel_model::{ConfiguredResolver, Fact, Outcome, RoutePurpose, RouteSeen, RouteTaken};
use std::{collections::BTreeSet, net::IpAddr};

/// More destinations than any plan has in earnest.
const MAX_DESTINATIONS: usize = 256;

/// Looks every destination up and reports it; the answers are also handed back.
pub(crate) async fn run(
    inner: &Inner,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    report: &Report,
) -> Vec<(RoutePurpose, Outcome<RouteTaken>)> {
    let mut destinations = destinations(inner, plan, configured);
    // A system that does not list its routes leaves the spread to find the wide ones.
    let specific = inner.platform.specific_destinations().await.measured().cloned().unwrap_or_default();
    destinations.extend(specific.into_iter().map(|address| (RoutePurpose::Specific, address)));
    join_all(destinations.into_iter().take(MAX_DESTINATIONS).map(|(purpose, destination)| async move {
        let taken = inner.platform.route_to(destination).await;
        report.fact(Fact::Route(RouteSeen { destination, purpose, taken: taken.clone() })).await;
        (purpose, taken)
    }))
    .await
}

/// Each destination once per purpose.
fn destinations(
    inner: &Inner,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
) -> BTreeSet<(RoutePurpose, IpAddr)> {
    let witnesses = plan.witnesses.iter().flat_map(|target| &target.addresses);
    let witnesses = witnesses.map(|address| (RoutePurpose::Witness, address.ip().to_canonical()));
    let resolvers = configured.iter().map(|resolver| (RoutePurpose::Resolver, resolver.address));
    let spread = inner.spread.iter().map(|address| (RoutePurpose::Spread, *address));
    witnesses.chain(resolvers).chain(spread).collect()
}
