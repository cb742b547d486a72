//! The kernel's own answer, per destination, to "which way would this go": for the witnesses, for the configured
//! resolvers, for addresses spread over the space, and for every network with a route of its own past the tunnel. Nothing
//! is sent. A resolver that is asked bound to a link is reached by that link, whatever the kernel would say of its address.

use crate::{checks::Inner, plan::RoundPlan, report::Report};
use futures::future::join_all;
use sentinel_model::{
    ConfiguredResolver, Fact, Interface, Outcome, Reason, RoutePurpose, RouteSeen, RouteTaken,
};
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
    match inner.platform.specific_destinations().await {
        Outcome::Measured(specific) => {
            destinations.extend(specific.into_iter().map(|address| (RoutePurpose::Specific, address, None)));
        }
        // What is left is the spread, which finds the wide ones.
        Outcome::Unknown(reason) => tracing::debug!(%reason, "the routing table could not be read"),
    }
    join_all(destinations.into_iter().take(MAX_DESTINATIONS).map(|(purpose, destination, link)| async move {
        let taken = way_to(inner, destination, link).await;
        report.fact(Fact::Route(RouteSeen { destination, purpose, taken: taken.clone() })).await;
        (purpose, taken)
    }))
    .await
}

/// The way to a destination: by the link it is bound to, if it is, else as the routes say.
pub(crate) async fn way_to(inner: &Inner, destination: IpAddr, link: Option<&str>) -> Outcome<RouteTaken> {
    let Some(link) = link else { return inner.platform.route_to(destination).await };
    let interfaces = match inner.platform.interfaces().await {
        Outcome::Measured(interfaces) => interfaces,
        Outcome::Unknown(reason) => return Outcome::Unknown(reason),
    };
    match interfaces.into_iter().find(|interface| interface.name == link && interface.up) {
        Some(Interface { name, kind, .. }) => {
            Outcome::Measured(RouteTaken { interface: name, kind, gateway: None, source: None })
        }
        None => Outcome::Unknown(Reason::Unreachable),
    }
}

/// Each destination once per purpose, and per link it is bound to.
fn destinations<'a>(
    inner: &Inner,
    plan: &RoundPlan,
    configured: &'a [ConfiguredResolver],
) -> BTreeSet<(RoutePurpose, IpAddr, Option<&'a str>)> {
    let witnesses = plan.witnesses.iter().flat_map(|target| &target.addresses);
    let witnesses = witnesses.map(|address| (RoutePurpose::Witness, address.ip().to_canonical(), None));
    let resolvers =
        configured.iter().map(|resolver| (RoutePurpose::Resolver, resolver.address, resolver.bound_to()));
    let spread = inner.spread.iter().map(|address| (RoutePurpose::Spread, *address, None));
    witnesses.chain(resolvers).chain(spread).collect()
}
