//! A client that carries IPv4 and leads IPv6 into a device from which nothing leaves.

use super::device::{clear_away, configure, create_tunnel};
use crate::{
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, Result};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "proton-like",
    summary: "the layout of Proton's client: `proton0` carries IPv4 by a firewall mark and a table of its own; \
              IPv6 has its default route into `ipv6leakintrf0`",
    programs: &[],
    stand_in: Some(
        "the client itself talks to Proton's servers; `ipv6leakintrf0` is a bridge, as the kernel of the \
         reference machine has no dummy device",
    ),
};

const DEVICE: &str = "proton0";
const SINK: &str = "ipv6leakintrf0";
const SINK_ROUTE: &str = "default via fdeb:446c:912d:8da::1 dev ipv6leakintrf0 metric 95";
const MARK: &str = "0xcb5a";
const TABLE: &str = "52058";

/// A tunnel for IPv4 and a sink for IPv6.
#[derive(Debug, Default)]
pub(crate) struct Proton {
    device: Option<WireGuardDevice>,
}

impl Proton {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let script = format!(
            "ip rule delete not fwmark {MARK} lookup {TABLE}; ip rule delete lookup main suppress_prefixlength 0
             ip link delete {SINK}; ip link delete sink-p"
        );
        clear_away(site.machine, &script).await?;
        // A bridge has a carrier only with a port that has one. Without ARP it behaves as a dummy:
        // the kernel does not pass over its route because no neighbour answers.
        let dummy = format!("link add {SINK} type dummy\nlink set {SINK} up\n");
        if site.machine.run_ip(&dummy).await.is_err() {
            let bridge = format!(
                "link add {SINK} type bridge\nlink add sink-p type veth peer name sink-q\n\
                 link set sink-p master {SINK}\nlink set sink-p up\nlink set sink-q up\nlink set {SINK} arp off up\n"
            );
            site.machine.run_ip(&bridge).await?;
        }
        site.machine.run_ip(&format!("address add fdeb:446c:912d:8da::/64 dev {SINK} nodad\n")).await?;
        site.machine.output("ip", &words(&format!("-6 route add {SINK_ROUTE}")), "").await?;
        self.device = Some(create_tunnel(site, site.machine, DEVICE, Some(MARK)).await?);
        let lines = format!(
            "address add OWN/32 dev DEV\nlink set DEV mtu 1380 up\nroute add default dev DEV table {TABLE}\n\
             rule add not fwmark {MARK} lookup {TABLE} priority 31459\n\
             rule add lookup main suppress_prefixlength 0 priority 31458\n"
        );
        configure(site.machine, DEVICE, &lines).await
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

impl VpnClient for Proton {
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

    fn set_ipv6<'a>(&'a mut self, site: Site<'a>, carried: bool) -> Task<'a> {
        Box::pin(async move {
            let verb = if carried { "add" } else { "delete" };
            site.machine.output("ip", &words(&format!("-6 route {verb} {SINK_ROUTE}")), "").await.map(drop)
        })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
