//! The [`Platform`] implementation: passes each request on to the module that answers it.

use super::{
    bus::Bus,
    changes,
    interfaces::{assemble_interfaces, classify_link, link_name},
    leases::{self, Leases},
    netlink::{self, NetlinkClient},
    outside_routes, probe,
    resolver_config::ResolverConfig,
    routes, uplinks,
};
use crate::{
    clock,
    error::CheckError,
    platform::{
        api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample},
        name_service::NameService,
    },
    reason,
};
use async_trait::async_trait;
use netlink_packet_route::route::RouteMessage;
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
    bus: Arc<Bus>,
    resolver_config: ResolverConfig,
    leases: Leases,
}

impl Linux {
    /// Opens the connection to the kernel. Requires a running Tokio runtime.
    pub(crate) fn new() -> Result<Self, CheckError> {
        let netlink = NetlinkClient::open()
            .map_err(|source| CheckError::System { doing: "open a netlink socket", source })?;
        let bus = Arc::new(Bus::system());
        let resolver_config = ResolverConfig::system(Arc::clone(&bus));
        Ok(Self { netlink, bus, resolver_config, leases: Leases::system() })
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
        within_budget(routes::find_route(&self.netlink, packet)).await
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
        changes::watch(self.resolver_config.clone())
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

async fn within_budget<T>(request: impl Future<Output = Result<T, Reason>>) -> Outcome<T> {
    reason::outcome(timeout(BUDGET, request).await.unwrap_or(Err(Reason::TimedOut)))
}
