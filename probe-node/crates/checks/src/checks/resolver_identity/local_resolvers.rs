//! The resolvers of the local network, asked past the tunnel: the default gateway's port 53 and those DHCP offered.
//! Real questions leave by a physical interface here, so all of it waits for the user's word ([`PastTunnel::Full`]).

use crate::{
    checks::Inner,
    names, reason,
    report::Report,
    settings::{PastTunnel, WhoamiZone},
    udp::{self, Bound},
    whoami,
};
use futures::future::{join, join_all};
use sentinel_model::{Attributed, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverSeen};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Destinations whose routes are looked at for the gateway.
const MAX_DESTINATIONS: usize = 64;
/// More resolvers than a local network offers in earnest.
const MAX_RESOLVERS: usize = 4;
/// Stands for a resolver whose address could not be told.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A resolver of the local network and the interface it is reached by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LocalResolver {
    path: ResolverPath,
    address: IpAddr,
    interface: String,
}

/// Asks each of them, all at once, under the first of the user's own zones, or at a public name where consented.
/// What could not be found is reported under the unspecified address.
pub(crate) async fn run(inner: &Inner, own: &[WhoamiZone], report: &Report) {
    let Some(zone) = own.first().or(inner.public_whoami.first()) else { return };
    if inner.past_tunnel != PastTunnel::Full {
        return;
    }
    let (gateways, offered) = join(gateways(inner), offered(inner)).await;
    let tell = async |path, resolvers| {
        let seen = ResolverSeen { path, zone: zone.name.clone(), resolvers };
        report.fact(Fact::Resolver(seen)).await;
    };
    let mut resolvers = BTreeSet::new();
    for (found, unknown) in [(gateways, ResolverPath::Gateway(NOBODY)), (offered, ResolverPath::Dhcp(NOBODY))]
    {
        match found {
            Ok(found) => resolvers.extend(found.into_iter().take(MAX_RESOLVERS)),
            Err(reason) => tell(unknown, Outcome::Unknown(reason)).await,
        }
    }
    let tell = &tell;
    join_all(resolvers.into_iter().map(|resolver| async move {
        let seen = reason::outcome(ask(inner, &resolver, zone).await);
        tell(resolver.path, seen).await;
    }))
    .await;
}

async fn ask(inner: &Inner, resolver: &LocalResolver, zone: &WhoamiZone) -> Result<Vec<Attributed>, Reason> {
    let name = whoami::question(zone)?;
    let server = SocketAddr::new(resolver.address, names::PORT);
    let by = Bound { platform: &*inner.platform, interface: &resolver.interface };
    let exchange = udp::ask(server, Some(by), &name, inner.budget, Duration::ZERO).await?;
    whoami::told(inner, &name, exchange.told)
}

/// The gateways of the physical interfaces. Behind a tunnel the default route is the tunnel's, but the packets to its
/// far end still leave by the physical interface's gateway.
async fn gateways(inner: &Inner) -> Result<BTreeSet<LocalResolver>, Reason> {
    let endpoints = inner.platform.tunnel_endpoints().await.measured().cloned().unwrap_or_default();
    let destinations = endpoints.iter().chain(&inner.spread).take(MAX_DESTINATIONS);
    let routes = join_all(destinations.map(|destination| inner.platform.route_to(*destination))).await;
    let gateways: BTreeSet<_> = routes
        .iter()
        .filter_map(Outcome::measured)
        .filter(|taken| taken.kind == InterfaceKind::Physical)
        .filter_map(|taken| {
            // A link-local gateway has no address that is good for a question.
            let address = taken.gateway.filter(|gateway| !is_link_local(*gateway))?;
            let interface = taken.interface.clone();
            Some(LocalResolver { path: ResolverPath::Gateway(address), address, interface })
        })
        .collect();
    if gateways.is_empty() {
        return Err(Reason::Failed("no route tells of a physical interface's gateway".into()));
    }
    Ok(gateways)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// What DHCP offered, whether or not the system uses it. One whose interface is not told is reached by the only
/// physical interface that is up.
async fn offered(inner: &Inner) -> Result<BTreeSet<LocalResolver>, Reason> {
    let offered = match inner.platform.dhcp_resolvers().await {
        Outcome::Measured(offered) => offered,
        Outcome::Unknown(reason) => return Err(reason),
    };
    let interfaces = inner.platform.interfaces().await.measured().cloned().unwrap_or_default();
    let mut physical = interfaces
        .into_iter()
        .filter(|interface| interface.up && interface.kind == InterfaceKind::Physical)
        .map(|interface| interface.name);
    let only = physical.next().filter(|_| physical.next().is_none());
    let unplaced = || Reason::Failed("DHCP's resolvers are of no interface in particular".into());
    offered
        .into_iter()
        .filter(|resolver| !is_link_local(resolver.address))
        .map(|resolver| {
            let (address, path) = (resolver.address, ResolverPath::Dhcp(resolver.address));
            let interface = resolver.interface.or_else(|| only.clone()).ok_or_else(unplaced)?;
            Ok(LocalResolver { path, address, interface })
        })
        .collect()
}
