//! Building a world.

use super::{World, WorldSpec};
use crate::{
    access_network::AccessNetwork,
    faults::{Change, create_second_table, open_early_connection, set_kill_switch},
    nodes, packet_counters,
    plan::{self, Extra},
    process::require_programs,
    sandbox, services,
    vpn::{EXAMPLE_VPN, KeyPair, OTHER_VPN, Tunnel, VpnServer},
    wiring::{self, find_host},
};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// The programs that the lab needs, each with its Debian package.
const TOOLS: [(&str, &str); 12] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("wg", "wireguard-tools"),
    ("unbound", "unbound"),
    ("unbound-control", "unbound"),
    ("nsd", "nsd"),
    ("turnserver", "coturn"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("dnsmasq", "dnsmasq-base"),
    ("udhcpc", "udhcpc"),
    ("ping", "iputils-ping"),
];

impl World {
    /// Builds a world, starts its servers, its tunnel and its nodes, and pairs the nodes.
    ///
    /// # Errors
    /// Fails outside a [sandbox](crate::enter), if a program is missing, or if a server does not
    /// start; the error then contains the server's log.
    pub async fn start(spec: WorldSpec) -> Result<Self> {
        ensure!(
            sandbox::is_inside(),
            "a world needs the lab's sandbox: call vpnsentinel_tests::enter() first in main"
        );
        require_programs(&TOOLS)?;
        if !kernel_has_wireguard().await {
            require_programs(&[("wireguard-go", "wireguard-go")])?;
        }
        let mut world = Self::build(spec).await?;
        if world.spec.fresh {
            world.laptop()?.set_resolvers(&[plan::ROUTER.into()])?;
        } else {
            if world.spec.with.contains(&Extra::EarlyConnection) {
                open_early_connection(&mut world).await?;
            }
            world.tunnel.establish(&world.vpn).await?;
        }
        for network in &world.spec.bypass {
            world.laptop()?.run_ip(&format!("route add {network} via {} dev eth0\n", plan::ROUTER)).await?;
        }
        if world.spec.with.contains(&Extra::SecondTable) {
            create_second_table(&world, world.spec.ipv6.main_family()).await?;
        }
        if world.spec.kill_switch {
            set_kill_switch(&world, Change::Add).await?;
        }
        nodes::start_all(&mut world).await?;
        Ok(world)
    }

    /// Builds the hosts, the links between them, and the servers.
    async fn build(spec: WorldSpec) -> Result<Self> {
        let links = spec.links.iter().map(|(host, link)| Ok((host.clone(), link.conditions()?)));
        let network = AccessNetwork::home(spec.ipv6)?;
        let (hosts, internet) =
            wiring::build_network(spec.seed, &spec.with, &links.collect::<Result<_>>()?, &network).await?;
        for name in ["vps", "home-server"] {
            let resolver = plan::resolver_of(name, &spec.with);
            find_host(&hosts, name)?.set_resolvers(&[resolver.into()])?;
        }
        let laptop = find_host(&hosts, "laptop")?;
        packet_counters::install_counters(laptop, &spec).await?;
        let gateway = network.gateway(spec.ipv6.main_family())?;
        let tunnel = Tunnel::new(laptop, KeyPair::generate().await?, spec.ipv6, gateway);
        let (vpn, other_vpn, mut services) = futures::try_join!(
            VpnServer::start(find_host(&hosts, EXAMPLE_VPN.host)?, EXAMPLE_VPN, &tunnel.keys),
            VpnServer::start(find_host(&hosts, OTHER_VPN.host)?, OTHER_VPN, &tunnel.keys),
            services::start_servers(&hosts, &spec.with),
        )?;
        services.extend(services::start_resolvers(&hosts, &spec.with, spec.ipv6).await?);
        Ok(Self {
            spec,
            hosts,
            internet,
            vpn,
            other_vpn,
            tunnel,
            nodes: BTreeMap::new(),
            network,
            started: BTreeMap::new(),
            services,
        })
    }
}

/// Returns true if the kernel can create a WireGuard device.
async fn kernel_has_wireguard() -> bool {
    let ip = |line: &'static str| async move {
        let mut command = tokio::process::Command::new("ip");
        command.args(line.split(' '));
        crate::host::run_to_end(command, "").await
    };
    let created = ip("link add wgprobe type wireguard").await.is_ok();
    created && ip("link delete wgprobe").await.is_ok()
}
