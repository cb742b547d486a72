//! The VPN: WireGuard servers of two providers, and the laptop's end of the tunnel.

use crate::{
    host::{Host, output},
    internet::DEVICE,
    place::Ipv6,
    plan,
    process::Process,
    wiring::add_address,
};
use anyhow::{Context, Result, ensure};
use sentinel_model::{Family, IpNet};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{process::Command, time::sleep};

/// The laptop's tunnel interface.
pub const INTERFACE: &str = "wg0";

/// A WireGuard key pair.
#[derive(Debug)]
pub(crate) struct Keys {
    private: String,
    public: String,
}

impl Keys {
    pub(crate) async fn generate() -> Result<Self> {
        let mut command = Command::new("wg");
        command.arg("genkey");
        let private = output(command, "").await?.trim().to_owned();
        let mut command = Command::new("wg");
        command.arg("pubkey");
        let public = output(command, &private).await?.trim().to_owned();
        Ok(Self { private, public })
    }
}

/// Where a provider's things are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) host: &'static str,
    pub(crate) endpoint: Ipv4Addr,
    pub(crate) exit: Ipv4Addr,
    /// Inside the tunnel: the server and its resolver.
    pub(crate) inside: Ipv4Addr,
    /// Inside the tunnel: the laptop.
    pub(crate) client: Ipv4Addr,
    /// The same over IPv6, where the provider has it. Inside are unique local addresses, and IPv6 is translated at the
    /// exit like IPv4.
    pub(crate) v6: Option<ProviderV6>,
}

/// A provider's IPv6.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProviderV6 {
    pub(crate) endpoint: Ipv6Addr,
    pub(crate) exit: Ipv6Addr,
    /// Inside the tunnel: the server and its resolver.
    pub(crate) inside: Ipv6Addr,
    /// Inside the tunnel: the laptop.
    pub(crate) client: Ipv6Addr,
}

pub(crate) const EXAMPLE_VPN: Provider = Provider {
    host: "vpn",
    endpoint: plan::VPN_ENDPOINT,
    exit: plan::VPN_EXIT,
    inside: plan::VPN_RESOLVER,
    client: plan::TUNNEL,
    v6: Some(ProviderV6 {
        endpoint: plan::VPN_ENDPOINT_V6,
        exit: plan::VPN_EXIT_V6,
        inside: plan::VPN_RESOLVER_V6,
        client: plan::TUNNEL_V6,
    }),
};

pub(crate) const OTHER_VPN: Provider = Provider {
    host: "other-vpn",
    endpoint: plan::OTHER_VPN_ENDPOINT,
    exit: plan::OTHER_VPN_EXIT,
    inside: plan::OTHER_VPN_RESOLVER,
    client: plan::OTHER_TUNNEL,
    v6: None,
};

impl Provider {
    fn v6(&self) -> Result<ProviderV6> {
        self.v6.with_context(|| format!("{} has no IPv6", self.host))
    }

    /// The address the laptop's tunnel ends at.
    fn endpoint(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.endpoint.into()),
            Family::V6 => Ok(self.v6()?.endpoint.into()),
        }
    }

    /// The laptop's address inside.
    fn client(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.client.into()),
            Family::V6 => Ok(self.v6()?.client.into()),
        }
    }

    /// The resolver inside.
    fn resolver(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.inside.into()),
            Family::V6 => Ok(self.v6()?.inside.into()),
        }
    }
}

/// The two routes that together are more specific than a family's default route, for the tunnel.
const fn halves(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["0.0.0.0/1", "128.0.0.0/1"],
        Family::V6 => ["::/1", "8000::/1"],
    }
}

/// A running WireGuard device. In user space it lives as long as its process.
#[derive(Debug)]
struct Device {
    process: Option<Process>,
}

impl Device {
    /// By the kernel where it can, else by wireguard-go.
    async fn create(host: &Host, name: &str) -> Result<Self> {
        if host.ip(&format!("link add {name} type wireguard")).await.is_ok() {
            return Ok(Self { process: None });
        }
        let mut command = host.command("wireguard-go");
        command.arg("-f").arg(name).env("LOG_LEVEL", "error");
        let mut process = host.daemon("wireguard-go", command)?;
        let socket = host.directory().join("wireguard").join(format!("{name}.sock"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !socket.exists() {
            let waited = Instant::now() < deadline && process.is_running();
            process.explain(if waited {
                Ok(())
            } else {
                Err(anyhow::anyhow!("no WireGuard device on {}", host.name()))
            })?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { process: Some(process) })
    }
}

/// A provider's running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) provider: Provider,
    public: String,
    host: Host,
    _device: Device,
}

impl Server {
    pub(crate) async fn start(host: &Host, provider: Provider, client: &Keys) -> Result<Self> {
        let keys = Keys::generate().await?;
        let device = Device::create(host, "wgs0").await?;
        let v6_client = provider.v6.map(|v6| format!(", {}/128", v6.client)).unwrap_or_default();
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = {}\n[Peer]\nPublicKey = {}\nAllowedIPs = {}/32{v6_client}\n",
            keys.private,
            plan::WIREGUARD_PORT,
            client.public,
            provider.client
        );
        host.output("wg", &["setconf", "wgs0", "/dev/stdin"], &configuration).await?;
        host.ip(&format!("address add {}/24 dev wgs0\nlink set wgs0 mtu 1420 up\n", provider.inside)).await?;
        host.sysctl(&[("net/ipv4/ip_forward", "1")])?;
        if let Some(v6) = provider.v6 {
            translate_v6(host, v6).await?;
        }
        let server = Self { provider, public: keys.public, host: host.clone(), _device: device };
        server.exit_by(provider.exit).await?;
        Ok(server)
    }

    /// Lets what comes out of the tunnel leave by this address; flows already under way keep theirs.
    pub(crate) async fn exit_by(&self, exit: Ipv4Addr) -> Result<()> {
        let rules = format!(
            "table ip exit {{}}
            flush table ip exit
            table ip exit {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    ip saddr {}/24 oifname {DEVICE} snat to {exit}
                }}
            }}",
            self.provider.inside
        );
        self.host.output("nft", &["-f", "-"], &rules).await.map(drop)
    }
}

/// What comes out of the tunnel over IPv6 leaves by the provider's exit.
async fn translate_v6(host: &Host, v6: ProviderV6) -> Result<()> {
    host.ip(&format!("address add {}/64 dev wgs0 nodad\n", v6.inside)).await?;
    host.sysctl(&[("net/ipv6/conf/all/forwarding", "1")])?;
    let rules = format!(
        "table ip6 exit {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                ip6 saddr {}/64 oifname {DEVICE} snat to {}
            }}
        }}",
        v6.inside, v6.exit
    );
    host.output("nft", &["-f", "-"], &rules).await.map(drop)
}

/// The laptop's end.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) keys: Keys,
    ipv6: Ipv6,
    /// The way to the server past the tunnel.
    pub(crate) gateway: IpAddr,
    laptop: Host,
    up: Option<(Device, Provider)>,
}

impl Tunnel {
    pub(crate) fn new(laptop: &Host, keys: Keys, ipv6: Ipv6, gateway: IpAddr) -> Self {
        Self { keys, ipv6, gateway, laptop: laptop.clone(), up: None }
    }

    /// Brings the tunnel up the way wg-quick does without a firewall mark: a host route to the endpoint, and two routes
    /// that together are more specific than the default route, per family. Names are resolved inside from then on.
    pub(crate) async fn establish(&mut self, server: &Server) -> Result<()> {
        ensure!(self.up.is_none(), "the tunnel is up already");
        let device = Device::create(&self.laptop, INTERFACE).await?;
        self.connect(server).await?;
        let halves = self.families().flat_map(halves);
        let lines =
            halves.map(|half| format!("route add {half} dev {INTERFACE}\n")).collect::<Vec<_>>().concat();
        self.laptop.ip(&lines).await?;
        self.laptop.set_resolvers(&[server.provider.resolver(self.ipv6.main_family())?])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// Moves the standing tunnel to another server, as a client does when its user picks another location: the interface
    /// and its routes stay.
    pub(crate) async fn move_to(&mut self, server: &Server) -> Result<()> {
        ensure!(self.ipv6 == Ipv6::None, "only one of the providers has IPv6");
        let (device, old) = self.up.take().context("the tunnel is down")?;
        self.connect(server).await?;
        let lines =
            format!("address delete {}/32 dev {INTERFACE}\nroute delete {}/32\n", old.client, old.endpoint);
        self.laptop.ip(&lines).await?;
        self.laptop.set_resolvers(&[server.provider.inside.into()])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// The server as the only peer, the addresses it gave us, and a way to it past the tunnel.
    async fn connect(&self, server: &Server) -> Result<()> {
        let endpoint = server.provider.endpoint(self.ipv6.main_family())?;
        let everything = self.families().map(everything).collect::<Vec<_>>().join(", ");
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nEndpoint = {}\nAllowedIPs = {everything}\n",
            self.keys.private,
            server.public,
            SocketAddr::new(endpoint, plan::WIREGUARD_PORT)
        );
        let mut lines = self.route_to(endpoint);
        for family in self.families() {
            lines += &add_address(server.provider.client(family)?.into(), INTERFACE);
        }
        lines.extend(["link set ", INTERFACE, " mtu 1420 up\n"]);
        self.laptop.ip(&lines).await?;
        self.laptop.output("wg", &["setconf", INTERFACE, "/dev/stdin"], &configuration).await.map(drop)
    }

    /// What the tunnel carries.
    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let ipv6 = self.ipv6;
        [Family::V4, Family::V6].into_iter().filter(move |family| ipv6.has(*family))
    }

    /// The IPv6 half of a standing tunnel goes, with its address and routes, or comes back; IPv4 stays inside.
    pub(crate) async fn carry_ipv6(&self, carried: bool) -> Result<()> {
        let (_, provider) = self.up.as_ref().context("the tunnel is down")?;
        ensure!(self.ipv6 == Ipv6::Tunnel, "the tunnel carries no IPv6 beside IPv4: say ipv6 = \"tunnel\"");
        let address = add_address(provider.client(Family::V6)?.into(), INTERFACE);
        let routes = |verb: &str| {
            halves(Family::V6).map(|half| format!("route {verb} {half} dev {INTERFACE}\n")).concat()
        };
        let lines = if carried {
            format!("{address}{}", routes("add"))
        } else {
            format!("{}{}", routes("delete"), address.replacen(" add ", " delete ", 1).replace(" nodad", ""))
        };
        self.laptop.ip(&lines).await
    }

    fn route_to(&self, endpoint: IpAddr) -> String {
        format!("route replace {} via {} dev eth0\n", IpNet::from(endpoint), self.gateway)
    }

    /// The interface goes, and the kernel takes its routes with it. The resolver configuration and the host route to the
    /// endpoint stay, as they do when a VPN client crashes.
    pub(crate) async fn remove(&mut self) -> Result<()> {
        let (mut device, _) = self.up.take().context("the tunnel is down already")?;
        self.laptop.ip(&format!("link delete {INTERFACE}\n")).await?;
        match &mut device.process {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// The host route to the endpoint, which goes when the physical link does.
    pub(crate) fn endpoint_route(&self) -> Option<String> {
        Some(self.route_to(self.endpoint()?))
    }

    /// Tells WireGuard its server's endpoint again, as VPN clients do when the network changes. wireguard-go keeps the
    /// source address it last sent from, and where that is gone its packets go nowhere.
    pub(crate) async fn refresh(&self) -> Result<()> {
        if self.up.is_none() {
            return Ok(());
        }
        let known = self.laptop.output("wg", &["show", INTERFACE, "endpoints"], "").await?;
        let (peer, endpoint) = known.trim().split_once('\t').context("the tunnel has no server")?;
        self.laptop.output("wg", &["set", INTERFACE, "peer", peer, "endpoint", endpoint], "").await.map(drop)
    }

    /// Where the tunnel ends, while it is up.
    pub(crate) fn endpoint(&self) -> Option<IpAddr> {
        let (_, provider) = self.up.as_ref()?;
        provider.endpoint(self.ipv6.main_family()).ok()
    }
}

const fn everything(family: Family) -> &'static str {
    match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    }
}
