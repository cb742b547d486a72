//! The laptop's end of the tunnel.

use super::{
    device::{KeyPair, WireGuardDevice},
    provider::Provider,
    server::VpnServer,
};
use crate::{access_network::Ipv6, host::Host, ip_commands::add_address, plan};
use anyhow::{Context, Result, ensure};
use sentinel_model::{Family, IpNet};
use std::net::{IpAddr, SocketAddr};

/// The laptop's tunnel interface.
pub const INTERFACE: &str = "wg0";

/// The laptop's end of the tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) keys: KeyPair,
    ipv6: Ipv6,
    /// The gateway through which the laptop reaches the server outside the tunnel.
    pub(crate) gateway: IpAddr,
    laptop: Host,
    /// The device and the provider, while the tunnel is up.
    up: Option<(WireGuardDevice, Provider)>,
}

impl Tunnel {
    /// Describes a tunnel that is down.
    pub(crate) fn new(laptop: &Host, keys: KeyPair, ipv6: Ipv6, gateway: IpAddr) -> Self {
        Self { keys, ipv6, gateway, laptop: laptop.clone(), up: None }
    }

    /// Brings the tunnel up, as wg-quick does without a firewall mark.
    ///
    /// That is a host route to the endpoint, and per family two routes that together cover the
    /// address space and are more specific than the default route. The laptop then uses the
    /// provider's resolver inside the tunnel.
    pub(crate) async fn establish(&mut self, server: &VpnServer) -> Result<()> {
        ensure!(self.up.is_none(), "the tunnel is up already");
        let device = WireGuardDevice::create(&self.laptop, INTERFACE).await?;
        self.connect(server).await?;
        let halves = self.families().flat_map(halves);
        let lines =
            halves.map(|half| format!("route add {half} dev {INTERFACE}\n")).collect::<Vec<_>>().concat();
        self.laptop.run_ip(&lines).await?;
        self.laptop.set_resolvers(&[server.provider.resolver(self.ipv6.main_family())?])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// Moves the tunnel to another server, as when the user picks another location.
    ///
    /// The interface and its routes stay.
    pub(crate) async fn move_to(&mut self, server: &VpnServer) -> Result<()> {
        ensure!(self.ipv6 == Ipv6::None, "only one of the providers has IPv6");
        let (device, old) = self.up.take().context("the tunnel is down")?;
        self.connect(server).await?;
        let lines =
            format!("address delete {}/32 dev {INTERFACE}\nroute delete {}/32\n", old.client, old.endpoint);
        self.laptop.run_ip(&lines).await?;
        self.laptop.set_resolvers(&[server.provider.inside.into()])?;
        self.up = Some((device, server.provider));
        Ok(())
    }

    /// Configures the server as the only peer, the laptop's addresses, and the route to the server.
    async fn connect(&self, server: &VpnServer) -> Result<()> {
        let endpoint = server.provider.endpoint(self.ipv6.main_family())?;
        let everything = self.families().map(everything).collect::<Vec<_>>().join(", ");
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nEndpoint = {}\nAllowedIPs = {everything}\n",
            self.keys.private,
            server.public_key,
            SocketAddr::new(endpoint, plan::WIREGUARD_PORT)
        );
        let mut lines = self.endpoint_line(endpoint);
        for family in self.families() {
            lines += &add_address(server.provider.client(family)?.into(), INTERFACE);
        }
        lines.extend(["link set ", INTERFACE, " mtu 1420 up\n"]);
        self.laptop.run_ip(&lines).await?;
        self.laptop.output("wg", &["setconf", INTERFACE, "/dev/stdin"], &configuration).await.map(drop)
    }

    /// Returns the families that the tunnel carries.
    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let ipv6 = self.ipv6;
        [Family::V4, Family::V6].into_iter().filter(move |family| ipv6.includes(*family))
    }

    /// Removes the tunnel's IPv6 address and routes, or restores them. IPv4 stays in the tunnel.
    pub(crate) async fn set_ipv6(&self, carried: bool) -> Result<()> {
        let (_, provider) = self.up.as_ref().context("the tunnel is down")?;
        ensure!(
            self.ipv6 == Ipv6::Tunnel,
            "the tunnel does not carry both families; set ipv6 = \"tunnel\" under [world]"
        );
        let address = add_address(provider.client(Family::V6)?.into(), INTERFACE);
        let routes = |verb: &str| {
            halves(Family::V6).map(|half| format!("route {verb} {half} dev {INTERFACE}\n")).concat()
        };
        let lines = if carried {
            format!("{address}{}", routes("add"))
        } else {
            format!("{}{}", routes("delete"), address.replacen(" add ", " delete ", 1).replace(" nodad", ""))
        };
        self.laptop.run_ip(&lines).await
    }

    /// Returns the `ip` line for the host route to the endpoint.
    fn endpoint_line(&self, endpoint: IpAddr) -> String {
        format!("route replace {} via {} dev eth0\n", IpNet::from(endpoint), self.gateway)
    }

    /// Deletes the interface, and with it its routes.
    ///
    /// The resolver configuration and the host route to the endpoint stay, as after the crash of a
    /// VPN client.
    pub(crate) async fn remove(&mut self) -> Result<()> {
        let (mut device, _) = self.up.take().context("the tunnel is down already")?;
        self.laptop.run_ip(&format!("link delete {INTERFACE}\n")).await?;
        device.stop().await
    }

    /// Returns the `ip` line for the host route to the endpoint, while the tunnel is up.
    ///
    /// The kernel removes that route when the physical link goes down.
    pub(crate) fn endpoint_route(&self) -> Option<String> {
        Some(self.endpoint_line(self.endpoint()?))
    }

    /// Sets the server's endpoint again, as VPN clients do when the network changes.
    ///
    /// wireguard-go keeps the source address it last sent from. Once the laptop no longer has that
    /// address, its packets are lost.
    pub(crate) async fn refresh_endpoint(&self) -> Result<()> {
        if self.up.is_none() {
            return Ok(());
        }
        let endpoints = self.laptop.output("wg", &["show", INTERFACE, "endpoints"], "").await?;
        let (peer, endpoint) = endpoints.trim().split_once('\t').context("the tunnel has no server")?;
        self.laptop.output("wg", &["set", INTERFACE, "peer", peer, "endpoint", endpoint], "").await.map(drop)
    }

    /// Returns the address of the server outside the tunnel, while the tunnel is up.
    pub(crate) fn endpoint(&self) -> Option<IpAddr> {
        let (_, provider) = self.up.as_ref()?;
        provider.endpoint(self.ipv6.main_family()).ok()
    }
}

/// Returns the two prefixes that together cover a family and are more specific than its default
/// route.
const fn halves(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["0.0.0.0/1", "128.0.0.0/1"],
        Family::V6 => ["::/1", "8000::/1"],
    }
}

/// Returns the prefix that covers a whole family.
const fn everything(family: Family) -> &'static str {
    match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    }
}
