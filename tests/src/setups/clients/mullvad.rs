//! A client that locks the machine down: fwmark rules, and a firewall that drops the rest.

use super::device::{clear_away, configure, create_tunnel};
use crate::{
    plan,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, Result};
use std::net::IpAddr;

pub(crate) const INFO: PartInfo = PartInfo {
    name: "mullvad-like",
    summary: "the layout of Mullvad's client: WireGuard, a firewall mark, a table of its own, and an nftables \
              kill switch that also drops IPv6, the LAN, and names asked of anybody but the VPN",
    programs: &[],
    stand_in: Some("the client's own daemon talks to Mullvad's servers; the lab makes the same rules"),
};

const DEVICE: &str = "wg0-mullvad";
const MARK: &str = "0x6d6f6c65";
const TABLE: &str = "1836018789";

/// A tunnel with a kill switch.
#[derive(Debug, Default)]
pub(crate) struct Mullvad {
    device: Option<WireGuardDevice>,
}

impl Mullvad {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let script = format!(
            "ip rule delete not fwmark {MARK} lookup {TABLE}; ip rule delete lookup main suppress_prefixlength 0"
        );
        clear_away(site.machine, &script).await?;
        self.device = Some(create_tunnel(site, site.machine, DEVICE, Some(MARK)).await?);
        let lines = format!(
            "address add OWN/32 dev DEV\nlink set DEV mtu 1380 up\nroute add default dev DEV table {TABLE}\n\
             rule add not fwmark {MARK} lookup {TABLE}\nrule add lookup main suppress_prefixlength 0\n"
        );
        configure(site.machine, DEVICE, &lines).await?;
        site.machine.output("nft", &["-f", "-"], &firewall(site.endpoint())).await.map(drop)
    }
}

/// Returns the rules of the kill switch; names may be asked of the VPN's resolver alone.
fn firewall(endpoint: IpAddr) -> String {
    format!(
        "table inet mullvad
        delete table inet mullvad
        table inet mullvad {{
            chain output {{
                type filter hook output priority filter; policy drop;
                oifname lo accept
                udp sport 68 udp dport 67 accept
                udp sport 546 udp dport 547 accept
                icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept
                {ip} daddr {endpoint} udp dport {port} meta mark {MARK} accept
                oifname {DEVICE} ip daddr {resolver} th dport 53 accept
                meta l4proto {{ tcp, udp }} th dport 53 reject
                oifname {DEVICE} accept
                reject
            }}
        }}",
        ip = if endpoint.is_ipv4() { "ip" } else { "ip6" },
        port = plan::WIREGUARD_PORT,
        resolver = plan::VPN_RESOLVER
    )
}

impl VpnClient for Mullvad {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut device = self.device.take().context("the tunnel is down")?;
            site.machine.run_ip(&format!("link delete {DEVICE}\n")).await?;
            device.stop().await
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        // The firewall drops IPv6 in any case, so that there is nothing to take out.
        Box::pin(async { Ok(()) })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
