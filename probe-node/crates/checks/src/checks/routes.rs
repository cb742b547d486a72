//! Check "routes": the path the kernel would choose, per destination. Nothing is sent.
//!
//! The destinations:
//!
//! - the witnesses;
//! - the configured resolvers, where one that is asked bound to a link uses that link, whatever the
//!   kernel's route is;
//! - addresses spread over the address space;
//! - one address in every network that has a route of its own past the tunnel.

use crate::{context::Context, plan::RoundPlan, reporter::Reporter};
use futures::future::join_all;
use sentinel_model::{
    ConfiguredResolver, Fact, Interface, Outcome, Reason, RoutePurpose, RouteSeen, RouteTaken,
};
use std::{collections::BTreeSet, net::IpAddr};

/// The most destinations looked up.
const MAX_DESTINATIONS: usize = 256;

/// Looks up and reports the route to every destination, and returns them.
pub(crate) async fn run(
    context: &Context,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    reporter: &Reporter,
) -> Vec<(RoutePurpose, Outcome<RouteTaken>)> {
    let mut destinations = destinations(context, plan, configured);
    match context.platform.find_outside_destinations().await {
        Outcome::Measured(specific) => {
            destinations.extend(specific.into_iter().map(|address| (RoutePurpose::Specific, address, None)));
        }
        // The spread still finds routes for wide networks.
        Outcome::Unknown(reason) => tracing::debug!(%reason, "the routing table could not be read"),
    }
    join_all(destinations.into_iter().take(MAX_DESTINATIONS).map(|(purpose, destination, link)| async move {
        let taken = route_to(context, destination, link).await;
        reporter
            .send(Fact::Route(RouteSeen { destination, purpose, taken: taken.clone(), origin: None }))
            .await;
        (purpose, taken)
    }))
    .await
}

/// Returns the route to a destination: over the given link, or as the routing table says.
pub(super) async fn route_to(
    context: &Context,
    destination: IpAddr,
    link: Option<&str>,
) -> Outcome<RouteTaken> {
    let Some(link) = link else { return context.platform.find_route(destination).await };
    let interfaces = match context.platform.list_interfaces().await {
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

/// Returns each destination once per purpose and per link it is bound to.
fn destinations<'a>(
    context: &Context,
    plan: &RoundPlan,
    configured: &'a [ConfiguredResolver],
) -> BTreeSet<(RoutePurpose, IpAddr, Option<&'a str>)> {
    let witnesses = plan.witnesses.iter().flat_map(|target| &target.addresses);
    let witnesses = witnesses.map(|address| (RoutePurpose::Witness, address.ip().to_canonical(), None));
    let resolvers =
        configured.iter().map(|resolver| (RoutePurpose::Resolver, resolver.address, resolver.bound_to()));
    let spread = context.spread.iter().map(|address| (RoutePurpose::Spread, *address, None));
    witnesses.chain(resolvers).chain(spread).collect()
}
