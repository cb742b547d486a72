//! Check "routes": the path the kernel would choose, per destination. Nothing is sent.
//!
//! The destinations:
//!
//! - the witnesses;
//! - the configured resolvers, where one that is asked bound to a link uses that link, whatever the
//!   kernel's route is;
//! - addresses spread over the address space;
//! - one address in every network that has a route of its own past the tunnel.

use crate::{
    context::Context,
    plan::RoundPlan,
    platform::{PacketKind, RouteSample},
    reporter::Reporter,
};
use sentinel_model::{
    ConfiguredResolver, Fact, Interface, Outcome, Reason, ResolverRole, RouteOrigin, RoutePurpose, RouteSeen,
    RouteTaken, Traffic,
};
use std::collections::BTreeSet;

/// The most destinations looked up.
const MAX_DESTINATIONS: usize = 256;

/// Looks up the route to every destination.
pub(crate) async fn find(
    context: &Context,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
) -> Vec<RouteSeen> {
    let mut lookups = destinations(context, plan, configured);
    match context.platform.sample_routes().await {
        Outcome::Measured(samples) => lookups.extend(samples.into_iter().map(Lookup::of_sample)),
        // The spread still finds routes for wide networks.
        Outcome::Unknown(reason) => tracing::debug!(%reason, "the routing table could not be read"),
    }
    let lookups: Vec<Lookup<'_>> = lookups.into_iter().take(MAX_DESTINATIONS).collect();
    let packets: Vec<PacketKind> =
        lookups.iter().filter(|lookup| lookup.link.is_none()).map(|lookup| lookup.packet).collect();
    let mut routed = context.platform.find_routes(&packets).await.into_iter();
    let mut found = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        let taken = match lookup.link {
            None => routed.next().unwrap_or(Outcome::Unknown(Reason::Unsupported)),
            link => route_to(context, lookup.packet, link).await,
        };
        found.push(lookup.answered(taken));
    }
    found
}

/// Reports the routes, and returns the purpose of each.
pub(crate) async fn report(
    found: Vec<RouteSeen>,
    reporter: &Reporter,
) -> Vec<(RoutePurpose, Outcome<RouteTaken>)> {
    let mut routes = Vec::with_capacity(found.len());
    for seen in found {
        routes.push((seen.purpose, seen.taken.clone()));
        reporter.send(Fact::Route(seen)).await;
    }
    routes
}

/// A route to look up, and what is reported with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lookup<'a> {
    purpose: RoutePurpose,
    packet: PacketKind,
    /// The link that the packet is bound to.
    link: Option<&'a str>,
    origin: Option<RouteOrigin>,
    traffic: Option<Traffic>,
}

impl Lookup<'_> {
    fn new(purpose: RoutePurpose, packet: PacketKind) -> Self {
        Self { purpose, packet, link: None, origin: None, traffic: None }
    }

    fn answered(self, taken: Outcome<RouteTaken>) -> RouteSeen {
        let Self { purpose, packet, origin, traffic, .. } = self;
        RouteSeen { destination: packet.destination, purpose, taken, origin, traffic }
    }

    fn of_sample(sample: RouteSample) -> Self {
        let traffic = sample.depends_on_traffic.then(|| sample.packet.traffic());
        Self { origin: sample.origin, traffic, ..Self::new(RoutePurpose::Specific, sample.packet) }
    }
}

/// Returns the route of a packet: over the given link, or as the routing table says.
pub(super) async fn route_to(
    context: &Context,
    packet: PacketKind,
    link: Option<&str>,
) -> Outcome<RouteTaken> {
    let Some(link) = link else { return context.platform.find_route(packet).await };
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
) -> BTreeSet<Lookup<'a>> {
    let witnesses = plan.witnesses.iter().flat_map(|target| &target.addresses);
    let witnesses = witnesses.map(|address| Lookup::new(RoutePurpose::Witness, PacketKind::udp(*address)));
    // The routes of another network namespace are not this one's.
    let here = configured.iter().filter(|resolver| resolver.role != ResolverRole::ForwardedElsewhere);
    let resolvers = here.map(|resolver| Lookup {
        link: resolver.bound_to(),
        ..Lookup::new(RoutePurpose::Resolver, PacketKind::dns(resolver.address))
    });
    let spread =
        context.spread.iter().map(|address| Lookup::new(RoutePurpose::Spread, PacketKind::web(*address)));
    witnesses.chain(resolvers).chain(spread).collect()
}
