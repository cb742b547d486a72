//! WireGuard on the home router: for all that it forwards, or for one source address.

use super::device::{clear_away, configure, create_tunnel};
use crate::{
    plan,
    services::control_resolver,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, Result, bail};
use std::net::IpAddr;

pub(crate) const ROUTER_INFO: PartInfo = PartInfo {
    name: "on-the-router",
    summary: "the home router has the VPN, and its resolver asks the VPN's; the laptop knows nothing of it",
    programs: &[],
    stand_in: None,
};

pub(crate) const IPSEC_INFO: PartInfo = PartInfo {
    name: "ipsec",
    summary: "policy-based IPsec as strongSwan makes it: a virtual address on the line's device, table 220 with a \
              default route by the line itself, ESP policies in the kernel, the LAN left out (`bypass-lan`)",
    programs: &[],
    stand_in: Some(
        "the kernel of the reference machine has no ESP, so that the home router puts what comes from the virtual \
         address into the tunnel; the policies are real, and others with a better priority let the packets pass",
    ),
};

/// The router's tunnel device.
const DEVICE: &str = "wg0";
/// The router's table for what belongs in the tunnel.
const TABLE: &str = "77";

/// A tunnel of the home router for everything behind it.
#[derive(Debug, Default)]
pub(crate) struct OnTheRouter {
    device: Option<WireGuardDevice>,
}

/// Connects the router, whose table then leads into the tunnel.
async fn connect_router(site: Site<'_>) -> Result<WireGuardDevice> {
    let router = site.world.host("home-router")?;
    let device = create_tunnel(site, router, DEVICE, Some("0x1")).await?;
    let lines = format!("link set DEV mtu 1420 up\nroute replace default dev DEV table {TABLE}\n");
    configure(router, DEVICE, &lines).await?;
    Ok(device)
}

impl OnTheRouter {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let router = site.world.host("home-router")?;
        self.device = Some(connect_router(site).await?);
        clear_away(router, &format!("ip rule delete iif lan lookup {TABLE}; nft delete table ip vpn"))
            .await?;
        let lines = format!(
            "address add OWN/32 dev DEV\nrule add iif {} lookup {TABLE} priority 1000\n\
             route replace {} dev DEV\n",
            site.uplink.router_device,
            plan::VPN_RESOLVER
        );
        configure(router, DEVICE, &lines).await?;
        let rules = format!(
            "table ip vpn {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    oifname {DEVICE} masquerade
                }}
            }}"
        );
        router.output("nft", &["-f", "-"], &rules).await?;
        control_resolver(router, &["forward_add", ".", &plan::VPN_RESOLVER.to_string()]).await
    }
}

impl VpnClient for OnTheRouter {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let router = site.world.host("home-router")?;
            let mut device = self.device.take().context("the tunnel is down")?;
            router.run_ip(&format!("link delete {DEVICE}\n")).await?;
            device.stop().await
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the router's tunnel carries no IPv6") })
    }

    fn set_names_past<'a>(&'a mut self, site: Site<'a>, past: bool) -> Option<Task<'a>> {
        let to = if past { plan::ISP_RESOLVER } else { plan::VPN_RESOLVER };
        Some(Box::pin(async move {
            control_resolver(site.world.host("home-router")?, &["forward_add", ".", &to.to_string()]).await
        }))
    }

    fn device(&self) -> Option<&'static str> {
        None
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Policy-based IPsec.
#[derive(Debug, Default)]
pub(crate) struct Ipsec {
    device: Option<WireGuardDevice>,
}

impl Ipsec {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let router = site.world.host("home-router")?;
        if self.device.is_none() {
            self.device = Some(connect_router(site).await?);
            let lines = format!(
                "rule add from OWN lookup {TABLE} priority 1000\nroute replace OWN/32 dev {}\n",
                site.uplink.router_device
            );
            configure(router, DEVICE, &lines).await?;
        }
        let uplink = site.uplink;
        let throw = match uplink.gateway {
            Some(gateway) => format!("route add throw {gateway}/24 table 220\n").replace(".1/24", ".0/24"),
            None => String::new(),
        };
        let lines = format!(
            "address add OWN/32 dev {device}\n\
             route add default {next_hop} proto static src OWN table 220\n{throw}\
             rule add lookup 220 priority 220\n",
            device = uplink.device,
            next_hop = uplink.next_hop()
        );
        configure(site.machine, DEVICE, &lines).await?;
        self.change_policies(site, true).await
    }

    /// Adds the policies of the tunnel, or removes them.
    async fn change_policies(&self, site: Site<'_>, add: bool) -> Result<()> {
        let (own, peer, outer) = (plan::TUNNEL, plan::VPN_ENDPOINT, site.uplink.address);
        if !add {
            return site.machine.output("ip", &["xfrm", "policy", "flush"], "").await.map(drop);
        }
        let directions = [
            ("out", format!("src {own}/32 dst 0.0.0.0/0"), format!("src {outer} dst {peer}")),
            ("in", format!("src 0.0.0.0/0 dst {own}/32"), format!("src {peer} dst {outer}")),
        ];
        let lines = directions.map(|(direction, selector, template)| {
            let passing = ["0.0.0.0/1", "128.0.0.0/1"].map(|half| {
                let selector = selector.replace("0.0.0.0/0", half);
                format!("xfrm policy add {selector} dir {direction} priority 100000\n")
            });
            format!(
                "xfrm policy add {selector} dir {direction} priority 383615 tmpl {template} proto esp reqid 1 \
                 mode tunnel\n{}",
                passing.concat()
            )
        });
        site.machine.run_ip(&lines.concat()).await
    }
}

impl VpnClient for Ipsec {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let lines = format!(
                "rule delete lookup 220 priority 220\nroute flush table 220\naddress delete OWN/32 dev {}\n",
                site.uplink.device
            );
            configure(site.machine, DEVICE, &lines).await?;
            self.change_policies(site, false).await
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the tunnel carries no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        None
    }
}
