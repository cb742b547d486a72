//! A namespace that holds the tunnel alone (wireguard.com/netns).

use super::device::{configure, create_tunnel};
use crate::{
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, bail};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "namespace",
    summary: "a network namespace with `lo` and `wg0` alone, as wireguard.com/netns recommends; the node runs in it",
    programs: &[],
    stand_in: None,
};

const DEVICE: &str = "wg0";

/// A tunnel whose device was moved into the namespace.
#[derive(Debug, Default)]
pub(crate) struct TunnelAlone {
    device: Option<WireGuardDevice>,
}

impl VpnClient for TunnelAlone {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            self.device = Some(create_tunnel(site, site.machine, DEVICE, None).await?);
            site.machine.run_ip(&format!("link set {DEVICE} netns {}\n", site.laptop.name())).await?;
            let lines = "address add OWN/32 dev DEV\nlink set DEV mtu 1380 up\nroute add default dev DEV\n";
            configure(site.laptop, DEVICE, lines).await
        })
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut device = self.device.take().context("the tunnel is down")?;
            site.laptop.run_ip(&format!("link delete {DEVICE}\n")).await?;
            device.stop().await
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the namespace has no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
