//! Linux: routes, interfaces and addresses over rtnetlink, the resolver configuration from `resolv.conf` and, behind
//! systemd-resolved's listener, from that over D-Bus, DHCP's offers from lease files, ICMP's answers from sockets' error queues. Nothing here needs privileges, and all of it is about
//! the network and mount namespaces of this process.

mod bypass;
mod changes;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod interfaces;
mod leases;
mod probe;
mod resolv_conf;
mod resolved;

use super::{Change, Echo, Platform, Probe};
use crate::{error::CheckError, reason};
use async_trait::async_trait;
use futures::{Stream, TryStreamExt};
use leases::Leases;
use netlink_packet_route::{
    AddressFamily,
    link::LinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};
use resolv_conf::ResolvConf;
use resolved::Resolved;
use rtnetlink::Handle;
use sentinel_model::{ConfiguredResolver, Interface, InterfaceKind, Outcome, Reason, RouteTaken};
use socket2::Socket;
use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// The kernel answers in microseconds; a second means that something is very wrong.
const BUDGET: Duration = Duration::from_secs(1);
/// More interfaces, and addresses, than any machine of a person has; containers' hosts come closest.
const MAX_MESSAGES: usize = 4096;

/// The Linux platform: one netlink connection, kept open.
pub(crate) struct Linux {
    netlink: Mutex<Netlink>,
    resolv_conf: ResolvConf,
    resolved: Arc<Resolved>,
    leases: Leases,
}

/// A netlink connection and the task that drives it, which ends with it.
struct Netlink {
    handle: Handle,
    driver: AbortOnDropHandle<()>,
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (connection, handle, unsolicited) = rtnetlink::new_connection()?;
        drop(unsolicited); // this connection joins no multicast group
        Ok(Self { handle, driver: AbortOnDropHandle::new(runtime.spawn(connection)) })
    }
}

impl Linux {
    pub(crate) fn new() -> Result<Self, CheckError> {
        let netlink = Netlink::open()
            .map_err(|source| CheckError::System { doing: "open a netlink socket", source })?;
        Ok(Self {
            netlink: Mutex::new(netlink),
            resolv_conf: ResolvConf::system(),
            resolved: Arc::new(Resolved::system()),
            leases: Leases::system(),
        })
    }

    /// The connection, opened anew if the old one has died.
    fn handle(&self) -> Result<Handle, Reason> {
        let mut netlink = self.netlink.lock().unwrap_or_else(PoisonError::into_inner);
        if netlink.driver.is_finished() {
            *netlink = Netlink::open().map_err(|error| reason::of_io(&error))?;
        }
        Ok(netlink.handle.clone())
    }

    async fn route(&self, destination: IpAddr) -> Result<RouteTaken, Reason> {
        let handle = self.handle()?;
        let route = first(handle.route().get(question(destination)).execute()).await?;
        let unreachable =
            [RouteType::Unreachable, RouteType::BlackHole, RouteType::Prohibit, RouteType::Throw];
        if unreachable.contains(&route.header.kind) {
            return Err(Reason::Unreachable);
        }
        let index = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let index = index.ok_or_else(|| Reason::Malformed("the kernel named no interface".into()))?;
        let link = first(handle.link().get().match_index(index).execute()).await?;
        let others = if interfaces::is_bridge(&link) { self.links().await? } else { Vec::new() };
        Ok(RouteTaken {
            interface: interfaces::name(&link),
            kind: interfaces::kind(&link, &others),
            gateway: route.attributes.iter().find_map(gateway),
            source: route.attributes.iter().find_map(source),
        })
    }

    async fn links(&self) -> Result<Vec<LinkMessage>, Reason> {
        dump(|netlink| netlink.link().get().execute()).await
    }

    async fn all_interfaces(&self) -> Result<Vec<Interface>, Reason> {
        let links = self.links().await?;
        let addresses = dump(|netlink| netlink.address().get().execute()).await?;
        Ok(interfaces::assemble(&links, &addresses))
    }

    /// What `find` makes of the routing tables, the physical interfaces' indices and the interfaces.
    async fn bypasses(
        &self,
        find: impl FnOnce(&[RouteMessage], &[u32], &[Interface]) -> Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, Reason> {
        let links = self.links().await?;
        let physical: Vec<u32> = links
            .iter()
            .filter(|link| interfaces::kind(link, &links) == InterfaceKind::Physical)
            .map(|link| link.header.index)
            .collect();
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut all_of_family = RouteMessage::default();
            all_of_family.header.address_family = family;
            routes.extend(dump(|netlink| netlink.route().get(all_of_family).execute()).await?);
        }
        Ok(find(&routes, &physical, &interfaces::assemble(&links, &[])))
    }

    async fn endpoints(&self) -> Result<Vec<IpAddr>, Reason> {
        let found = self.bypasses(bypass::endpoints).await?;
        if found.is_empty() {
            return Err(Reason::Failed("no host route past a tunnel names its far end".into()));
        }
        Ok(found)
    }

    /// The servers systemd-resolved asks, and for what; where it does not say, those of its file, to be shown.
    async fn behind_resolved(&self) -> Vec<ConfiguredResolver> {
        let Some(state) = self.resolved.state().await else { return self.resolv_conf.uplinks() };
        let links = timeout(BUDGET, self.links()).await;
        let links = links.unwrap_or(Err(Reason::TimedOut)).unwrap_or_default();
        state.resolvers(|index| links.iter().find(|link| link.header.index == index).map(interfaces::name))
    }

    async fn offered_resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let links = self.links().await?;
        let up =
            |name: &str| links.iter().any(|link| interfaces::is_up(link) && interfaces::name(link) == name);
        let name_of = |index| links.iter().find(|link| link.header.index == index).map(interfaces::name);
        let found = self.leases.resolvers(up, name_of);
        if found.is_empty() {
            return Err(Reason::Failed("no DHCP lease could be read that offers a resolver".into()));
        }
        Ok(found)
    }
}

#[async_trait]
impl Platform for Linux {
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken> {
        bounded(self.route(destination)).await
    }

    async fn interfaces(&self) -> Outcome<Vec<Interface>> {
        bounded(self.all_interfaces()).await
    }

    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        let mut resolvers = match self.resolv_conf.resolvers() {
            Ok(resolvers) => resolvers,
            Err(reason) => return Outcome::Unknown(reason),
        };
        if resolv_conf::has_local_listener(&resolvers) {
            resolvers.extend(self.behind_resolved().await);
        }
        Outcome::Measured(resolvers)
    }

    async fn tunnel_endpoints(&self) -> Outcome<Vec<IpAddr>> {
        bounded(self.endpoints()).await
    }

    async fn specific_destinations(&self) -> Outcome<Vec<IpAddr>> {
        bounded(self.bypasses(bypass::destinations)).await
    }

    async fn dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        bounded(self.offered_resolvers()).await
    }

    async fn probe(&self, probe: &Probe) -> Outcome<Echo> {
        reason::outcome(probe::send(probe).await)
    }

    fn bind(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        probe::bind(socket, interface)
    }

    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        changes::watch(self.resolv_conf.clone(), Arc::clone(&self.resolved))
    }
}

/// The destination and its family alone: neither a table nor an interface nor a mark, so that the policy rules decide
/// as they would for an ordinary packet of this process.
fn question(destination: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    (message.header.address_family, message.header.destination_prefix_length) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    message
}

fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(gateway) => address(gateway),
        // An IPv4 route with an IPv6 next hop (RFC 5549).
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        _ => None,
    }
}

fn source(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::PrefSource(source) => address(source),
        _ => None,
    }
}

async fn first<T>(answers: impl Stream<Item = Result<T, rtnetlink::Error>>) -> Result<T, Reason> {
    let answer = pin!(answers).try_next().await.map_err(|error| describe(&error))?;
    answer.ok_or_else(|| Reason::Failed("the kernel did not answer".into()))
}

/// Everything of a kind, over a connection of its own: the kernel makes one list per socket at a time and refuses a second
/// one with EBUSY while the first has not been read to its end.
async fn dump<T, S: Stream<Item = Result<T, rtnetlink::Error>>>(
    ask: impl FnOnce(&Handle) -> S,
) -> Result<Vec<T>, Reason> {
    let netlink = Netlink::open().map_err(|error| reason::of_io(&error))?;
    let mut answers = pin!(ask(&netlink.handle));
    let mut found = Vec::new();
    while let Some(answer) = answers.try_next().await.map_err(|error| describe(&error))? {
        if found.len() == MAX_MESSAGES {
            return Err(Reason::Failed(format!("the kernel listed more than {MAX_MESSAGES} entries")));
        }
        found.push(answer);
    }
    Ok(found)
}

async fn bounded<T>(answer: impl Future<Output = Result<T, Reason>>) -> Outcome<T> {
    reason::outcome(timeout(BUDGET, answer).await.unwrap_or(Err(Reason::TimedOut)))
}

/// The kernel refuses a route with the error a `connect` would get: no route (`ENETUNREACH`, `EHOSTUNREACH`), a
/// prohibiting one (`EACCES`), a black hole (`EINVAL`; the question itself is well-formed), or `ENETDOWN`.
fn describe(error: &rtnetlink::Error) -> Reason {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            let error = message.to_io();
            match error.kind() {
                io::ErrorKind::InvalidInput => Reason::Unreachable,
                _ => reason::of_io(&error),
            }
        }
        error => Reason::Failed(error.to_string()),
    }
}
