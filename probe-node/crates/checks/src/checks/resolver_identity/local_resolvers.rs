//! The resolvers of the local network, asked past the tunnel.
//!
//! These are the default gateway's port 53 and the resolvers that DHCP offered. Hosts outside the
//! tunnel see the questions, so nothing is asked unless the user allows it ([`PastTunnel::Full`]).

use crate::{
    context::Context,
    dns::{
        name,
        udp::{self, InterfaceBinding},
        whoami,
    },
    platform::PacketKind,
    reason,
    reporter::Reporter,
    settings::{PastTunnel, WhoamiZone},
};
use futures::future::{join, join_all};
use sentinel_model::{
    Attributed, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverSeen, is_link_local,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The most destinations whose routes are searched for a gateway.
const MAX_DESTINATIONS: usize = 64;
/// The most resolvers asked, of gateways and of DHCP each.
const MAX_RESOLVERS: usize = 4;
/// Stands for a resolver whose address is undetermined.
const UNDETERMINED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A resolver of the local network and the interface it is reached by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LocalResolver {
    path: ResolverPath,
    address: IpAddr,
    interface: String,
}

/// Asks each of them, all at once.
///
/// The question is asked under the first of the user's own zones or, where consented, at a public
/// name. Where no resolver is found, the reason is reported with the unspecified address.
pub(super) async fn run(context: &Context, own: &[WhoamiZone], reporter: &Reporter) {
    let Some(zone) = own.first().or(context.public_whoami.first()) else { return };
    if context.past_tunnel != PastTunnel::Full {
        return;
    }
    let (gateways, offered) = join(gateways(context), offered(context)).await;
    let report = async |path, resolvers| {
        let seen = ResolverSeen { path, zone: zone.name.clone(), resolvers };
        reporter.send(Fact::Resolver(seen)).await;
    };
    let mut resolvers = BTreeSet::new();
    for (found, undetermined) in
        [(gateways, ResolverPath::Gateway(UNDETERMINED)), (offered, ResolverPath::Dhcp(UNDETERMINED))]
    {
        match found {
            Ok(found) => resolvers.extend(found.into_iter().take(MAX_RESOLVERS)),
            Err(reason) => report(undetermined, Outcome::Unknown(reason)).await,
        }
    }
    let report = &report;
    join_all(resolvers.into_iter().map(|resolver| async move {
        let seen = reason::outcome(ask(context, &resolver, zone).await);
        report(resolver.path, seen).await;
    }))
    .await;
}

async fn ask(
    context: &Context,
    resolver: &LocalResolver,
    zone: &WhoamiZone,
) -> Result<Vec<Attributed>, Reason> {
    let name = whoami::question(zone)?;
    let server = SocketAddr::new(resolver.address, name::DNS_PORT);
    let binding = InterfaceBinding { platform: &*context.platform, interface: &resolver.interface };
    let exchange = udp::ask(server, Some(binding), &name, context.budget, Duration::ZERO).await?;
    Ok(context.attribute_all(whoami::parse_answer(&name, exchange.answer)?))
}

/// Returns the gateways of the physical interfaces.
///
/// While a tunnel holds the default route, they still appear in the routes to the tunnel's far end.
async fn gateways(context: &Context) -> Result<BTreeSet<LocalResolver>, Reason> {
    let far_ends = context.platform.find_far_ends().await.measured().cloned().unwrap_or_default();
    let far_ends = far_ends.iter().map(|far_end| far_end.address);
    let destinations = far_ends.chain(context.spread.iter().copied()).take(MAX_DESTINATIONS);
    let packets: Vec<PacketKind> = destinations.map(PacketKind::web).collect();
    let routes = context.platform.find_routes(&packets).await;
    let gateways: BTreeSet<_> = routes
        .iter()
        .filter_map(Outcome::measured)
        .filter(|taken| taken.kind == InterfaceKind::Physical)
        .filter_map(|taken| {
            // A question to a link-local address would need the link in the address.
            let address = taken.gateway.filter(|gateway| !is_link_local(*gateway))?;
            let interface = taken.interface.clone();
            Some(LocalResolver { path: ResolverPath::Gateway(address), address, interface })
        })
        .collect();
    if gateways.is_empty() {
        return Err(Reason::Failed("no route names the gateway of a physical interface".into()));
    }
    Ok(gateways)
}

/// Returns the resolvers that DHCP offered, whether or not the system uses them.
///
/// One without an interface is reached by the only physical interface that is up.
async fn offered(context: &Context) -> Result<BTreeSet<LocalResolver>, Reason> {
    let offered = match context.platform.list_dhcp_resolvers().await {
        Outcome::Measured(offered) => offered,
        Outcome::Unknown(reason) => return Err(reason),
    };
    let interfaces = context.platform.list_interfaces().await.measured().cloned().unwrap_or_default();
    let mut physical = interfaces
        .into_iter()
        .filter(|interface| interface.up && interface.kind == InterfaceKind::Physical)
        .map(|interface| interface.name);
    let only = physical.next().filter(|_| physical.next().is_none());
    let no_interface = || Reason::Failed("the interface of DHCP's resolvers is undetermined".into());
    offered
        .into_iter()
        .filter(|resolver| !is_link_local(resolver.address))
        .map(|resolver| {
            let (address, path) = (resolver.address, ResolverPath::Dhcp(resolver.address));
            let interface = resolver.interface.or_else(|| only.clone()).ok_or_else(no_interface)?;
            Ok(LocalResolver { path, address, interface })
        })
        .collect()
}
