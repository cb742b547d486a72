//! Containers: with the VPN inside (gluetun), and rootless ones behind the machine's VPN.

use super::{
    device::{clear_away, configure, create_tunnel},
    wg_quick::WgQuick,
};
use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
        uplink::{LineIpv6, Uplink},
        wait::retry,
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub(crate) const GLUETUN_INFO: PartInfo = PartInfo {
    name: "gluetun-like",
    summary: "a container with `eth0` and `tun0`, whose firewall lets nothing out but the tunnel and its server, \
              as gluetun makes it; the node runs in it",
    programs: &[],
    stand_in: Some(
        "there is no container engine in the lab; a namespace behind a bridge's NAT is what it makes",
    ),
};

pub(crate) const SLIRP_INFO: PartInfo = PartInfo {
    name: "slirp4netns",
    summary: "a rootless container behind the real slirp4netns, whose only device is `tap0`; `wg-quick` runs on \
              the machine, the node in the container",
    programs: &[("slirp4netns", "slirp4netns"), ("wg-quick", "wireguard-tools")],
    stand_in: None,
};

pub(crate) const PASTA_INFO: PartInfo = PartInfo {
    name: "pasta",
    summary: "the same behind the real pasta, which gives the container a copy of the machine's addresses",
    programs: &[("pasta", "passt"), ("wg-quick", "wireguard-tools")],
    stand_in: None,
};

/// The addresses of the container's bridge.
const INSIDE: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);
const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const DEVICE: &str = "tun0";
/// Longest time until the container's device is configured.
const READY: Duration = Duration::from_secs(8);

/// A container with a VPN client and a firewall of its own.
#[derive(Debug, Default)]
pub(crate) struct Gluetun {
    device: Option<WireGuardDevice>,
}

impl Gluetun {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        if site.laptop.run_ip("link show dev eth0\n").await.is_err() {
            connect_bridge(site).await?;
        }
        self.device = Some(create_tunnel(site, site.laptop, DEVICE, Some("0xca6c")).await?);
        clear_away(site.laptop, "ip rule delete not fwmark 0xca6c lookup 51820").await?;
        let lines = "address add OWN/32 dev DEV\nlink set DEV mtu 1320 up\nroute add default dev DEV table 51820\n\
                     rule add not fwmark 0xca6c lookup 51820 priority 101\n";
        configure(site.laptop, DEVICE, lines).await?;
        let rules = format!(
            "table inet gluetun
            delete table inet gluetun
            table inet gluetun {{
                chain output {{
                    type filter hook output priority filter; policy drop;
                    oifname lo accept
                    ct state established,related accept
                    oifname eth0 ip daddr 172.17.0.0/16 accept
                    oifname eth0 ip daddr {} udp dport {} accept
                    oifname {DEVICE} accept
                }}
            }}",
            plan::VPN_ENDPOINT,
            plan::WIREGUARD_PORT
        );
        site.laptop.output("nft", &["-f", "-"], &rules).await.map(drop)
    }
}

/// Connects the container with the machine, which translates its addresses.
async fn connect_bridge(site: Site<'_>) -> Result<()> {
    let lines = format!(
        "link add veth0 type veth peer name eth0 netns {}\nlink set veth0 up\naddress add {BRIDGE}/16 dev veth0\n",
        site.laptop.name()
    );
    site.machine.run_ip(&lines).await?;
    site.machine.set_sysctl(&[("net/ipv4/ip_forward", "1")])?;
    let rules = "table ip container {
        chain postrouting {
            type nat hook postrouting priority srcnat
            ip saddr 172.17.0.0/16 oifname != veth0 masquerade
        }
    }";
    site.machine.output("nft", &["-f", "-"], rules).await?;
    let lines = format!(
        "link set eth0 up\naddress add {INSIDE}/16 dev eth0\nroute add default via {BRIDGE} dev eth0\n"
    );
    site.laptop.run_ip(&lines).await
}

impl VpnClient for Gluetun {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut device = self.device.take().context("the tunnel is down")?;
            site.laptop.run_ip(&format!("link delete {DEVICE}\n")).await?;
            device.stop().await
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the container has no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }

    fn inner_uplink(&self, outer: &Uplink) -> Option<Uplink> {
        Some(Uplink {
            device: "eth0".to_owned(),
            address: INSIDE,
            gateway: Some(BRIDGE),
            ipv6: LineIpv6::None,
            ..outer.clone()
        })
    }
}

/// The program that connects a rootless container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Helper {
    Slirp4netns,
    Pasta,
}

/// A rootless container, on a machine with `wg-quick`.
pub(crate) struct Rootless {
    helper: Helper,
    machine_vpn: WgQuick,
    process: Option<Process>,
}

impl Rootless {
    pub(crate) fn slirp4netns() -> Self {
        Self { helper: Helper::Slirp4netns, machine_vpn: WgQuick::default(), process: None }
    }

    pub(crate) fn pasta() -> Self {
        Self { helper: Helper::Pasta, machine_vpn: WgQuick::default(), process: None }
    }

    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        self.machine_vpn.connect(site).await?;
        site.machine.set_resolvers(&[plan::VPN_RESOLVER.into()])?;
        if self.process.is_some() {
            return Ok(());
        }
        let mut process = start_helper(self.helper, site.machine, site.laptop)?;
        let ready = retry(READY, async || {
            let routes = site.laptop.output("ip", &["-4", "route", "show", "default"], "").await?;
            ensure!(!routes.trim().is_empty(), "the container has no default route");
            Ok(())
        })
        .await;
        process.add_log(ready)?;
        self.process = Some(process);
        Ok(())
    }
}

fn start_helper(helper: Helper, machine: &Host, container: &Host) -> Result<Process> {
    let namespace = format!("/run/netns/{}", container.name());
    match helper {
        Helper::Slirp4netns => {
            let mut command = machine.command("slirp4netns");
            command.args(["--configure", "--mtu=1380", "--netns-type=path", &namespace, "tap0"]);
            machine.start_daemon("slirp4netns", command)
        }
        Helper::Pasta => {
            let mut command = machine.command("pasta");
            command.args([
                "--foreground",
                "--config-net",
                "--no-map-gw",
                "--netns",
                &namespace,
                "--runas",
                "0",
            ]);
            machine.start_daemon("pasta", command)
        }
    }
}

impl VpnClient for Rootless {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        self.machine_vpn.crash(site)
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the container has no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        Some(if self.helper == Helper::Slirp4netns { "tap0" } else { "eth0" })
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        // slirp4netns answers names itself, by the machine's own resolver.
        match self.helper {
            Helper::Slirp4netns => vec![Ipv4Addr::new(10, 0, 2, 3).into()],
            Helper::Pasta => vec![plan::VPN_RESOLVER.into()],
        }
    }
}
