//! The [`Platform`] implementation: passes each request on to the module that answers it.

use super::{
    changes,
    far_ends::FarEndFinder,
    interfaces::{self, assemble_interfaces, link_name},
    ipsec,
    kernel_socket::KernelSocket,
    leases::Leases,
    netlink, probe,
    resolv_conf::{ResolvConf, names_local_listener},
    resolved::ResolvedClient,
    route_samples, routes,
};
use crate::{
    error::CheckError,
    platform::api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample},
    reason,
};
use async_trait::async_trait;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{ConfiguredResolver, Interface, IpsecPolicy, Outcome, Reason, RouteTaken};
use socket2::Socket;
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// The longest wait for the kernel, which normally answers in microseconds.
const BUDGET: Duration = Duration::from_secs(1);

/// The Linux platform.
pub(crate) struct Linux {
    far_ends: FarEndFinder,
    resolv_conf: ResolvConf,
    resolved: Arc<ResolvedClient>,
    leases: Leases,
}

impl Linux {
    /// Creates the platform, if the kernel can be asked at all. Requires a running Tokio runtime.
    pub(crate) fn new() -> Result<Self, CheckError> {
        KernelSocket::open(NETLINK_ROUTE)
            .map_err(|source| CheckError::System { doing: "open a netlink socket", source })?;
        Ok(Self {
            far_ends: FarEndFinder::default(),
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
        let mut found = self.find_routes(&[packet]).await;
        found.pop().unwrap_or(Outcome::Unknown(Reason::TimedOut))
    }

    async fn find_routes(&self, packets: &[PacketKind]) -> Vec<Outcome<RouteTaken>> {
        let found = timeout(BUDGET, routes::find_routes(packets)).await;
        found.unwrap_or_else(|_| vec![Outcome::Unknown(Reason::TimedOut); packets.len()])
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
        within_budget(self.far_ends.find()).await
    }

    async fn sample_routes(&self) -> Outcome<Vec<RouteSample>> {
        within_budget(route_samples::sample_routes()).await
    }

    async fn list_ipsec_policies(&self) -> Outcome<Vec<IpsecPolicy>> {
        within_budget(ipsec::list_policies()).await
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

fn find_link_name(links: &[LinkMessage], index: u32) -> Option<String> {
    links.iter().find(|link| link.header.index == index).map(link_name)
}

async fn within_budget<T>(request: impl Future<Output = Result<T, Reason>>) -> Outcome<T> {
    reason::outcome(timeout(BUDGET, request).await.unwrap_or(Err(Reason::TimedOut)))
}
