//! A whole running world, and what can be done with it.

use crate::{
    api::NodeApi,
    faults::{self, Change, Control, Fault},
    host::Host,
    internet::{Conditions, Internet},
    meter,
    nodes::{self, Node},
    place::{Ipv6, Place},
    plan::{self, Extra, Extras},
    process::{Process, require},
    sandbox, services,
    tunnel::{EXAMPLE_VPN, Keys, OTHER_VPN, Server, Tunnel},
    wiring::{self, Hosts},
};
use anyhow::{Context, Result, ensure};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What the lab cannot do without, with the Debian package of each.
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

/// What a world is like, where it differs from the standard one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSpec {
    /// Fixes everything random about the links.
    pub seed: u64,
    /// Links that differ, by host.
    pub links: BTreeMap<String, LinkSpec>,
    /// Whether the laptop is fresh: its VPN is off, and its user has said nothing of the home line yet.
    pub fresh: bool,
    /// What IPv6 the laptop has.
    pub ipv6: Ipv6,
    /// Whether the wall clock of the laptop's node can be made to jump (libfaketime).
    pub fake_clock: bool,
    /// What it has beyond the standard world.
    pub with: Extras,
    /// Whether the laptop's kill switch is closed from the beginning.
    pub kill_switch: bool,
    /// Networks the laptop reaches past the tunnel from the beginning.
    pub bypass: Vec<IpNet>,
    /// The hosts that run a node: `laptop`, `vps`, `home-server`. `vps` owns the swarm; the others join it.
    #[serde(skip)]
    pub nodes: Vec<String>,
    /// Merged into the laptop's configuration.
    #[serde(skip)]
    pub config: toml::Table,
    /// Hosts of which is counted what the laptop sends them, see [`World::packets_to`].
    #[serde(skip)]
    pub counted: Vec<String>,
}

/// One link's conditions, alike in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSpec {
    /// One way, in milliseconds.
    pub delay_ms: f64,
    /// In milliseconds.
    pub jitter_ms: f64,
    /// From 0 to 1.
    pub loss: f64,
}

impl LinkSpec {
    pub(crate) fn conditions(self) -> Result<Conditions> {
        ensure!((0.0..=1.0).contains(&self.loss), "a loss of {} is outside 0 to 1", self.loss);
        let delay = millis(self.delay_ms)?;
        Ok(Conditions { delay, jitter: millis(self.jitter_ms)?, loss: self.loss, silent: false })
    }
}

/// A span given in milliseconds with a fraction.
pub(crate) fn millis(value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value / 1000.0).with_context(|| format!("{value} ms is no duration"))
}

/// A whole running world. There can be one at a time in a sandbox; dropping it ends everything in it.
#[derive(Debug)]
pub struct World {
    pub(crate) spec: WorldSpec,
    pub(crate) hosts: Hosts,
    pub(crate) internet: Internet,
    pub(crate) vpn: Server,
    pub(crate) other_vpn: Server,
    pub(crate) tunnel: Tunnel,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// The network the laptop is in.
    pub(crate) place: Place,
    /// What faults have started, until they are undone.
    pub(crate) started: BTreeMap<&'static str, Process>,
    /// Kept so that they run.
    pub(crate) services: Vec<Process>,
}

impl World {
    /// Builds a world, starts its servers, its tunnel and the nodes asked for, and pairs them.
    ///
    /// # Errors
    /// Outside a [sandbox]; a program is missing; a server does not start, in which case the error carries its log.
    pub async fn start(spec: WorldSpec) -> Result<Self> {
        ensure!(
            sandbox::is_inside(),
            "a world needs the lab's sandbox: call vpnsentinel_tests::enter() first in main"
        );
        require(&TOOLS)?;
        if !kernel_has_wireguard().await {
            require(&[("wireguard-go", "wireguard-go")])?;
        }
        let mut world = Self::wire(spec).await?;
        if world.spec.fresh {
            world.laptop()?.set_resolvers(&[plan::ROUTER.into()])?;
        } else {
            world.tunnel.establish(&world.vpn).await?;
        }
        for network in &world.spec.bypass {
            world.laptop()?.ip(&format!("route add {network} via {} dev eth0\n", plan::ROUTER)).await?;
        }
        if world.spec.with.contains(&Extra::SecondTable) {
            faults::second_table(&world, world.spec.ipv6.main_family()).await?;
        }
        if world.spec.kill_switch {
            faults::kill_switch(&world, Change::Add).await?;
        }
        nodes::start_all(&mut world).await?;
        Ok(world)
    }

    async fn wire(spec: WorldSpec) -> Result<Self> {
        let links = spec.links.iter().map(|(host, link)| Ok((host.clone(), link.conditions()?)));
        let place = Place::home(spec.ipv6)?;
        let (hosts, internet) =
            wiring::build(spec.seed, &spec.with, &links.collect::<Result<_>>()?, &place).await?;
        for name in ["vps", "home-server"] {
            let resolver = plan::resolver_of(name, &spec.with);
            wiring::host(&hosts, name)?.set_resolvers(&[resolver.into()])?;
        }
        meter::install(wiring::host(&hosts, "laptop")?, &spec).await?;
        let gateway = place.gateway(spec.ipv6.main_family())?;
        let tunnel =
            Tunnel::new(wiring::host(&hosts, "laptop")?, Keys::generate().await?, spec.ipv6, gateway);
        let (vpn, other_vpn, mut services) = futures::try_join!(
            Server::start(wiring::host(&hosts, EXAMPLE_VPN.host)?, EXAMPLE_VPN, &tunnel.keys),
            Server::start(wiring::host(&hosts, OTHER_VPN.host)?, OTHER_VPN, &tunnel.keys),
            services::start(&hosts, &spec.with),
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
            place,
            started: BTreeMap::new(),
            services,
        })
    }

    /// A host by its name, see [`plan`].
    pub fn host(&self, name: &str) -> Result<&Host> {
        wiring::host(&self.hosts, name)
    }

    /// The laptop.
    pub fn laptop(&self) -> Result<&Host> {
        self.host("laptop")
    }

    /// Every host's name.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// The links between the hosts.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// Makes something happen. Returns when it has happened, without waiting for anybody to notice.
    pub async fn inject(&mut self, fault: &Fault) -> Result<()> {
        faults::inject(self, fault).await.with_context(|| format!("cannot inject {fault:?}"))
    }

    /// What will prove that a fault took effect; to be asked for before it is injected.
    pub(crate) async fn control(&self, fault: &Fault) -> Result<Control> {
        faults::control(self, fault).await.with_context(|| format!("cannot control {fault:?}"))
    }

    /// The HTTP API of the node on a host.
    pub fn node_api(&self, host: &str) -> Result<NodeApi> {
        Ok(NodeApi::new(self.host(host)?.clone()))
    }

    /// Writes the configuration of a host's node and returns its path; for programs that embed a node themselves.
    pub fn node_config(&self, host: &str) -> Result<PathBuf> {
        nodes::write_config(self, host)
    }

    /// How many packets the laptop has sent to a host that is [counted](WorldSpec::counted), by whichever way.
    pub async fn packets_to(&self, host: &str) -> Result<u64> {
        meter::read(self.laptop()?, host).await
    }

    /// A certificate authority that signed all that speaks TLS; put it into `SSL_CERT_FILE`.
    pub fn authority(&self) -> Result<PathBuf> {
        services::certificates::authority(&self.hosts)
    }

    /// The running node of a host.
    pub fn node(&mut self, host: &str) -> Result<&mut Node> {
        let known = self.nodes.keys().cloned().collect::<Vec<_>>().join(", ");
        self.nodes.get_mut(host).with_context(|| format!("no node runs on {host}; nodes run on: {known}"))
    }

    /// Starts the node of a host and waits for its API; it is not paired with anybody yet.
    pub async fn start_node(&mut self, host: &str) -> Result<()> {
        nodes::start(self, host).await
    }

    /// Brings the node of a host into the swarm of the VPS node, the way a person would.
    pub async fn pair(&mut self, host: &str) -> Result<()> {
        nodes::pair(self, host).await
    }

    /// An invitation of the VPS node, for a program that embeds a node itself.
    pub async fn invite(&self) -> Result<String> {
        nodes::invite(self).await
    }

    /// Confirms, at the VPS node, who has taken up an invitation.
    pub async fn confirm(&self, fingerprint: &str) -> Result<()> {
        nodes::confirm(self, fingerprint).await
    }

    /// The last lines every node has logged.
    pub fn logs(&self, lines: usize) -> String {
        let logs = self.nodes.iter().map(|(host, node)| format!("--- {host}\n{}\n", node.log_tail(lines)));
        logs.collect::<Vec<_>>().concat()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        wiring::remove(&self.hosts);
    }
}

async fn kernel_has_wireguard() -> bool {
    let ip = |line: &'static str| async move {
        let mut command = tokio::process::Command::new("ip");
        command.args(line.split(' '));
        crate::host::output(command, "").await
    };
    let made = ip("link add wgprobe type wireguard").await.is_ok();
    made && ip("link delete wgprobe").await.is_ok()
}
