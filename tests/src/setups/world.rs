//! A running world that is composed from parts.

use super::{
    client::{ClientKind, Place},
    dhcp::DhcpKind,
    dhcp_part::{DhcpLink, DhcpPart, LeaseServers},
    dhcp_server::DhcpServer,
    part::ResolverPart,
    resolvers::ResolverKind,
    setup::Setup,
    site::{Site, VpnClient},
    uplink::{Line, Uplink},
};
use crate::{
    host::Host,
    nodes, plan,
    plan::{Extra, Extras},
    process::require_programs,
    world::{World, WorldSpec},
};
use anyhow::{Context, Result};
use std::net::{IpAddr, SocketAddr};

/// The host that has the line where the node runs in a namespace.
const MACHINE: &str = "machine";

/// The metric of the default route on Ethernet.
const METRIC: u32 = 100;

/// A world with the parts of a setup.
pub(super) struct SetupWorld {
    pub(super) setup: Setup,
    pub(super) world: World,
    /// The host that has the line, on which the VPN client runs.
    pub(super) machine: Host,
    /// The host on which the node runs; the same unless the setup has a namespace.
    pub(super) laptop: Host,
    pub(super) line: Line,
    /// The connection by which something leaks, and the host that has it.
    pub(super) uplink: Uplink,
    pub(super) leaking: Host,
    pub(super) resolver: Box<dyn ResolverPart>,
    pub(super) client: Box<dyn VpnClient>,
    pub(super) dhcp: Option<Dhcp>,
}

/// The DHCP client and its server.
pub(super) struct Dhcp {
    pub(super) client: Box<dyn DhcpPart>,
    pub(super) server: DhcpServer,
}

impl SetupWorld {
    /// Builds the world, connects the VPN, and starts the nodes of the laptop and of a VPS.
    pub(super) async fn start(setup: Setup) -> Result<Self> {
        for part in setup.parts() {
            require_programs(part.programs)?;
        }
        let with = Extras::from([Extra::Services]);
        let mut world = World::start(WorldSpec { fresh: true, with, ..WorldSpec::default() }).await?;
        let laptop = world.laptop()?.clone();
        laptop.run_ip("address flush dev eth0\n").await?;
        laptop.set_resolvers(&[])?;
        let machine = match setup.client.place() {
            Place::Machine => laptop.clone(),
            Place::Namespace => move_cable(&mut world, &laptop).await?,
        };
        let mut resolver = setup.resolver.create();
        resolver
            .start(&laptop)
            .await
            .with_context(|| format!("the resolver {}", setup.resolver.info().name))?;
        let line = setup.line.install(&world, &machine).await.context("the line")?;
        let uplink = line.uplink.clone();
        let (dhcp, servers) = if setup.dhcp == DhcpKind::Fixed {
            if setup.line.has_dhcp() {
                let (own, router) = (plan::LAPTOP, plan::ROUTER);
                let lines = format!(
                    "address add {own}/24 dev eth0\nroute add default via {router} dev eth0 metric {METRIC}\n"
                );
                machine.run_ip(&lines).await?;
            }
            (None, LeaseServers::HandOver(vec![uplink.resolver.into()]))
        } else {
            let (dhcp, servers) = lease(setup, &world, &machine, &uplink).await.context("the DHCP client")?;
            (Some(dhcp), servers)
        };
        if let LeaseServers::HandOver(servers) = servers {
            resolver.set_line_servers(&laptop, &uplink.device, &servers).await?;
        }
        let client = setup.client.create();
        let leaking = machine.clone();
        let mut started =
            Self { setup, world, machine, laptop, line, uplink, leaking, resolver, client, dhcp };
        started.connect().await.with_context(|| format!("the client {}", setup.client.info().name))?;
        if let Some(inner) = started.client.inner_uplink(&started.line.uplink) {
            started.uplink = inner;
            started.leaking = started.laptop.clone();
        }
        started.start_nodes().await?;
        Ok(started)
    }

    /// Connects the VPN and its resolvers.
    pub(super) async fn connect(&mut self) -> Result<()> {
        let Self { world, machine, laptop, line, client, resolver, .. } = self;
        client.connect(Site { world, machine, laptop, uplink: &line.uplink }).await?;
        let servers = client.resolvers();
        if servers.is_empty() {
            return Ok(());
        }
        let device = client.device().unwrap_or(&line.uplink.device);
        resolver.set_tunnel_servers(laptop, device, &servers).await
    }

    /// Ends the VPN client as a crash does.
    pub(super) async fn crash(&mut self) -> Result<()> {
        let Self { world, machine, laptop, line, client, .. } = self;
        client.crash(Site { world, machine, laptop, uplink: &line.uplink }).await
    }

    /// Takes IPv6 out of the tunnel, or puts it back.
    pub(super) async fn set_tunnel_ipv6(&mut self, carried: bool) -> Result<()> {
        let Self { world, machine, laptop, line, client, .. } = self;
        client.set_ipv6(Site { world, machine, laptop, uplink: &line.uplink }, carried).await
    }

    /// Offers a route by DHCP, or withdraws it, and lets the client ask again.
    pub(super) async fn offer_route(&mut self, prefix: Option<&str>) -> Result<()> {
        let dhcp = self.dhcp.as_mut().context("no DHCP client runs")?;
        let router = self.world.host("home-router")?;
        dhcp.server.restart(router, prefix).await?;
        dhcp.client.renew(&self.machine).await
    }

    /// Makes names be asked past the tunnel, or mends it.
    pub(super) async fn set_resolver_leak(&mut self, leaks: bool) -> Result<()> {
        let Self { world, machine, laptop, line, client, .. } = self;
        let site = Site { world, machine, laptop, uplink: &line.uplink };
        if let Some(changed) = client.set_names_past(site, leaks) {
            return changed.await;
        }
        let servers = [IpAddr::from(self.uplink.resolver)];
        if leaks {
            self.resolver.leak(&self.laptop, &self.uplink.device, &servers).await
        } else {
            self.resolver.mend_leak(&self.laptop).await
        }
    }

    async fn start_nodes(&mut self) -> Result<()> {
        self.world.spec.config = toml::from_str(&self.user_configuration()).context("the configuration")?;
        self.world.spec.nodes = vec!["vps".to_owned(), "laptop".to_owned()];
        nodes::start_all(&mut self.world).await
    }

    /// Returns what the user of this setup writes, besides the services of the lab.
    ///
    /// One STUN server of the lab is left out, so that a leak towards it shows in no answer.
    pub(super) fn user_configuration(&self) -> String {
        let servers: &[(&str, IpAddr)] = &[
            ("stun.example", plan::STUN.into()),
            ("stun.example", plan::STUN_V6.into()),
            ("stun-2.example", plan::SECOND_STUN.into()),
        ];
        // Behind a proxy with fake addresses a service is reached by its name alone.
        let by_name = self.setup.client == ClientKind::FakeIp;
        let mut stun = String::new();
        for (name, address) in servers.iter().filter(|(_, address)| !by_name || address.is_ipv4()) {
            let address = if by_name {
                format!("{name}:{}", plan::STUN_PORT)
            } else {
                SocketAddr::new(*address, plan::STUN_PORT).to_string()
            };
            stun.extend(["[[services.stun]]\nname = \"", name, "\"\naddress = \"", &address, "\"\n"]);
        }
        format!("{stun}{}", self.setup.advice().text())
    }
}

/// Moves the laptop's cable to a machine of its own, so that the laptop becomes a namespace of it.
async fn move_cable(world: &mut World, laptop: &Host) -> Result<Host> {
    let mut command = tokio::process::Command::new("ip");
    command.args(["netns", "add", MACHINE]);
    crate::host::run_to_end(command, "").await?;
    let machine = Host::open(MACHINE)?;
    world.hosts.insert(MACHINE.to_owned(), machine.clone());
    machine.set_sysctl(&[("net/ipv4/conf/all/rp_filter", "0"), ("net/ipv4/conf/default/rp_filter", "0")])?;
    machine.run_ip("link set lo up\n").await?;
    laptop.run_ip(&format!("link set eth0 netns {MACHINE}\n")).await?;
    Ok(machine)
}

/// Starts the DHCP server and the client, which configures the line's device.
async fn lease(setup: Setup, world: &World, machine: &Host, uplink: &Uplink) -> Result<(Dhcp, LeaseServers)> {
    let server = DhcpServer::start(world.host("home-router")?).await?;
    let mut client = setup.dhcp.create().context("the setup has no DHCP client")?;
    let link = DhcpLink { device: uplink.device.clone(), metric: METRIC };
    // The machine's own resolver file is not the namespace's.
    let resolver = if setup.client.place() == Place::Machine { setup.resolver } else { ResolverKind::File };
    let servers = client.start(machine, &link, resolver).await?;
    Ok((Dhcp { client, server }, servers))
}
