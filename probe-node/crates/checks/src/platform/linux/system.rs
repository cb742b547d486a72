//! The [`Platform`] implementation: passes each request on to the module that answers it.

use super::{
    changes,
    interfaces::{self, assemble_interfaces, classify_link, link_name},
    leases::Leases,
    netlink::{self, NetlinkClient},
    outside_routes, probe,
    resolv_conf::{ResolvConf, names_local_listener},
    resolved::ResolvedClient,
    routes, uplinks,
};
use crate::{
    error::CheckError,
    platform::api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample},
    reason,
};
use async_trait::async_trait;
use netlink_packet_route::{link::LinkMessage, route::RouteMessage};
use sentinel_model::{
    ConfiguredResolver, FarEndEvidence, Interface, InterfaceKind, Outcome, Reason, RouteTaken,
};
use socket2::Socket;
use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// The longest wait for the kernel, which normally answers in microseconds.
const BUDGET: Duration = Duration::from_secs(1);

/// The Linux platform.
pub(crate) struct Linux {
    netlink: NetlinkClient,
    resolv_conf: ResolvConf,
    resolved: Arc<ResolvedClient>,
    leases: Leases,
}

impl Linux {
    /// Opens the connection to the kernel. Requires a running Tokio runtime.
    pub(crate) fn new() -> Result<Self, CheckError> {
        let netlink = NetlinkClient::open()
            .map_err(|source| CheckError::System { doing: "open a netlink socket", source })?;
        Ok(Self {
            netlink,
            resolv_conf: ResolvConf::system(),
            resolved: Arc::new(ResolvedClient::system()),
            leases: Leases::system(),
        })
    }

    /// Lists the servers behind systemd-resolved's listener.
    ///
    /// If systemd-resolved does not answer, these are the servers in its file, whose roles are
    /// unknown.
    async fn resolved_servers(&self) -> Vec<ConfiguredResolver> {
        let Some(state) = self.resolved.read_state().await else {
            return self.resolv_conf.upstream_servers();
        };
        let links = timeout(BUDGET, netlink::list_links()).await;
        let links = links.unwrap_or(Err(Reason::TimedOut)).unwrap_or_default();
        state.list_resolvers(|index| find_link_name(&links, index))
    }

    async fn dhcp_resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let links = netlink::list_links().await?;
        let is_up = |name: &str| links.iter().any(|link| interfaces::is_up(link) && link_name(link) == name);
        let resolvers = self.leases.list_resolvers(is_up, |index| find_link_name(&links, index));
        if resolvers.is_empty() {
            return Err(Reason::Failed("no readable DHCP lease offers a resolver".into()));
        }
        Ok(resolvers)
    }
}

#[async_trait]
impl Platform for Linux {
    async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken> {
        within_budget(routes::find_route(&self.netlink, packet)).await
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        within_budget(list_interfaces()).await
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        let mut resolvers = match self.resolv_conf.list_resolvers() {
            Ok(resolvers) => resolvers,
            Err(reason) => return Outcome::Unknown(reason),
        };
        if names_local_listener(&resolvers) {
            resolvers.extend(self.resolved_servers().await);
        }
        Outcome::Measured(resolvers)
    }

    async fn find_far_ends(&self) -> Outcome<Vec<FarEnd>> {
        within_budget(find_far_ends()).await
    }

    async fn sample_routes(&self) -> Outcome<Vec<RouteSample>> {
        let found = within_budget(search_routes(outside_routes::find_destinations)).await;
        found.map(|found| {
            let sample = |address| RouteSample {
                packet: PacketKind::web(address),
                origin: None,
                depends_on_traffic: false,
            };
            found.into_iter().map(sample).collect()
        })
    }

    async fn list_uplinks(&self) -> Outcome<Vec<String>> {
        within_budget(uplinks::list()).await
    }

    async fn list_dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        within_budget(self.dhcp_resolvers()).await
    }

    async fn send_probe(&self, probe: &Probe) -> Outcome<ProbeReply> {
        reason::outcome(probe::send(probe).await)
    }

    fn bind_to_interface(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        probe::bind_to_interface(socket, interface)
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        changes::watch(self.resolv_conf.clone(), Arc::clone(&self.resolved))
    }
}

async fn list_interfaces() -> Result<Vec<Interface>, Reason> {
    let links = netlink::list_links().await?;
    let addresses = netlink::list_addresses().await?;
    Ok(assemble_interfaces(&links, &addresses))
}

async fn find_far_ends() -> Result<Vec<FarEnd>, Reason> {
    let far_ends = search_routes(outside_routes::find_far_ends).await?;
    if far_ends.is_empty() {
        return Err(Reason::Failed("no host route outside a tunnel shows its far end".into()));
    }
    let host_route = |address| FarEnd { address, evidence: FarEndEvidence::HostRoute };
    Ok(far_ends.into_iter().map(host_route).collect())
}

/// Passes the routes, the indices of physical interfaces, and the interfaces to `search`.
async fn search_routes(
    search: impl FnOnce(&[RouteMessage], &[u32], &[Interface]) -> Vec<IpAddr>,
) -> Result<Vec<IpAddr>, Reason> {
    let links = netlink::list_links().await?;
    let physical: Vec<u32> = links
        .iter()
        .filter(|link| classify_link(link, &links) == InterfaceKind::Physical)
        .map(|link| link.header.index)
        .collect();
    let routes = netlink::list_routes().await?;
    Ok(search(&routes, &physical, &assemble_interfaces(&links, &[])))
}

fn find_link_name(links: &[LinkMessage], index: u32) -> Option<String> {
    links.iter().find(|link| link.header.index == index).map(link_name)
}

async fn within_budget<T>(request: impl Future<Output = Result<T, Reason>>) -> Outcome<T> {
    reason::outcome(timeout(BUDGET, request).await.unwrap_or(Err(Reason::TimedOut)))
}
