//! The VPN: WireGuard servers of two providers, and the laptop's end of the tunnel.

use crate::{
    host::{Host, output},
    internet::DEVICE,
    plan,
    process::Process,
};
use anyhow::{Context, Result, ensure};
use std::{
    net::Ipv4Addr,
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
}

pub(crate) const EXAMPLE_VPN: Provider = Provider {
    host: "vpn",
    endpoint: plan::VPN_ENDPOINT,
    exit: plan::VPN_EXIT,
    inside: plan::VPN_RESOLVER,
    client: plan::TUNNEL,
};

pub(crate) const OTHER_VPN: Provider = Provider {
    host: "other-vpn",
    endpoint: plan::OTHER_VPN_ENDPOINT,
    exit: plan::OTHER_VPN_EXIT,
    inside: plan::OTHER_VPN_RESOLVER,
    client: plan::OTHER_TUNNEL,
};

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
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = {}\n[Peer]\nPublicKey = {}\nAllowedIPs = {}/32\n",
            keys.private,
            plan::WIREGUARD_PORT,
            client.public,
            provider.client
        );
        host.output("wg", &["setconf", "wgs0", "/dev/stdin"], &configuration).await?;
        host.ip(&format!("address add {}/24 dev wgs0\nlink set wgs0 mtu 1420 up\n", provider.inside)).await?;
        host.sysctl(&[("net/ipv4/ip_forward", "1")])?;
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

/// The laptop's end.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) keys: Keys,
    laptop: Host,
    up: Option<(Device, Provider)>,
}

impl Tunnel {
    pub(crate) fn new(laptop: &Host, keys: Keys) -> Self {
        Self { keys, laptop: laptop.clone(), up: None }
    }

    /// Brings the tunnel up the way wg-quick does without a firewall mark: a host route to the endpoint, and two routes
    /// that together are more specific than the default route. Names are resolved inside from then on.
    pub(crate) async fn establish(&mut self, server: &Server) -> Result<()> {
        ensure!(self.up.is_none(), "the tunnel is up already");
        let device = Device::create(&self.laptop, INTERFACE).await?;
        self.connect(server).await?;
        let halves = format!("route add 0.0.0.0/1 dev {INTERFACE}\nroute add 128.0.0.0/1 dev {INTERFACE}\n");
        self.laptop.ip(&halves).await?;
        self.laptop.set_resolvers(&[server.provider.inside.into()])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// Moves the standing tunnel to another server, as a client does when its user picks another location: the interface
    /// and its routes stay.
    pub(crate) async fn move_to(&mut self, server: &Server) -> Result<()> {
        let (device, old) = self.up.take().context("the tunnel is down")?;
        self.connect(server).await?;
        let lines =
            format!("address delete {}/32 dev {INTERFACE}\nroute delete {}/32\n", old.client, old.endpoint);
        self.laptop.ip(&lines).await?;
        self.laptop.set_resolvers(&[server.provider.inside.into()])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// The server as the only peer, the address it gave us, and a way to it past the tunnel.
    async fn connect(&self, server: &Server) -> Result<()> {
        let Provider { endpoint, client, .. } = server.provider;
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nEndpoint = {endpoint}:{}\nAllowedIPs = 0.0.0.0/0\n",
            self.keys.private,
            server.public,
            plan::WIREGUARD_PORT
        );
        let lines = format!(
            "route replace {endpoint}/32 via {} dev eth0\naddress add {client}/32 dev {INTERFACE}\nlink set {INTERFACE} mtu 1420 up\n",
            plan::ROUTER
        );
        self.laptop.ip(&lines).await?;
        self.laptop.output("wg", &["setconf", INTERFACE, "/dev/stdin"], &configuration).await.map(drop)
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
        let (_, provider) = self.up.as_ref()?;
        Some(format!("route replace {}/32 via {} dev eth0\n", provider.endpoint, plan::ROUTER))
    }
}
