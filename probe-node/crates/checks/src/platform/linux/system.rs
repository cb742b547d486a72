//! The [`Platform`] implementation: passes each request on to the module that answers it.

use super::{
    bus::Bus,
    changes,
    far_ends::FarEndFinder,
    interfaces::{assemble_interfaces, link_name},
    ipsec,
    kernel_socket::KernelSocket,
    leases::{self, Leases},
    netlink, probe,
    resolver_config::ResolverConfig,
    route_samples, routes,
    sockets::SocketWatcher,
    uplinks,
};
use crate::{
    clock,
    error::CheckError,
    platform::{
        api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample, SocketQuery},
        name_service::NameService,
    },
    reason,
};
use async_trait::async_trait;
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{ConfiguredResolver, Interface, IpsecPolicy, Outcome, Reason, RouteTaken, SocketTable};
use socket2::Socket;
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// The longest wait for the kernel, which normally answers in microseconds.
const BUDGET: Duration = Duration::from_secs(1);

/// The Linux platform.
pub(crate) struct Linux {
    far_ends: FarEndFinder,
    bus: Arc<Bus>,
    resolver_config: ResolverConfig,
    leases: Leases,
    sockets: SocketWatcher,
}

impl Linux {
    /// Creates the platform, if the kernel can be asked at all. Requires a running Tokio runtime.
    pub(crate) fn new() -> Result<Self, CheckError> {
        KernelSocket::open(NETLINK_ROUTE)
            .map_err(|source| CheckError::System { doing: "open a netlink socket", source })?;
        let bus = Arc::new(Bus::system());
        let resolver_config = ResolverConfig::system(Arc::clone(&bus));
        Ok(Self {
            far_ends: FarEndFinder::default(),
            bus,
            resolver_config,
            leases: Leases::system(),
            sockets: SocketWatcher::default(),
        })
    }

    async fn dhcp_resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let links = netlink::list_links().await?;
        let addresses = netlink::list_addresses().await?;
        let others = leases::read_network_manager(&self.bus).await;
        let leases = self.leases.clone();
        // Many files may be read, on a disk that may be slow.
        let reading = tokio::task::spawn_blocking(move || {
            let names = links.iter().map(|link| (link.header.index, link_name(link))).collect();
            let interfaces = assemble_interfaces(&links, &addresses);
            leases.list_resolvers(&interfaces, &names, others, clock::now().wall)
        });
        reading.await.unwrap_or_else(|error| Err(Reason::Failed(format!("reading leases failed: {error}"))))
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
        reason::outcome(self.resolver_config.read().await)
    }

    async fn find_name_service(&self) -> Option<Arc<dyn NameService>> {
        self.resolver_config.find_name_service().await
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

    async fn list_uplinks(&self) -> Outcome<Vec<String>> {
        within_budget(uplinks::list()).await
    }

    async fn list_dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        within_budget(self.dhcp_resolvers()).await
    }

    async fn list_outside_sockets(&self, query: &SocketQuery) -> Outcome<SocketTable> {
        within_budget(self.sockets.list(query)).await
    }

    async fn send_probe(&self, probe: &Probe) -> Outcome<ProbeReply> {
        reason::outcome(probe::send(probe).await)
    }

    fn bind_to_interface(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        probe::bind_to_interface(socket, interface)
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        changes::watch(self.resolver_config.clone())
    }
}

async fn list_interfaces() -> Result<Vec<Interface>, Reason> {
    let links = netlink::list_links().await?;
    let addresses = netlink::list_addresses().await?;
    Ok(assemble_interfaces(&links, &addresses))
}

async fn within_budget<T>(request: impl Future<Output = Result<T, Reason>>) -> Outcome<T> {
    reason::outcome(timeout(BUDGET, request).await.unwrap_or(Err(Reason::TimedOut)))
}
