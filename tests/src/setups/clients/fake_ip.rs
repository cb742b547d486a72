//! A proxy with a TUN device and fake addresses: every name gets an address of a reserved range.

use super::{
    device::{clear_away, configure, create_tunnel},
    fake_names::FakeNames,
};
use crate::{
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
    vpn::WireGuardDevice,
};
use anyhow::{Context, Result, bail};
use std::net::IpAddr;

pub(crate) const INFO: PartInfo = PartInfo {
    name: "fake-ip",
    summary: "the layout of mihomo and sing-box with fake addresses: the device `Meta`, table 2022 by a rule, and a \
              resolver that gives every name an address of a reserved range; services are asked by their names",
    programs: &[],
    stand_in: Some(
        "the proxies are not packaged in Debian; the device is WireGuard, and the VPN's server gives out the \
         addresses and maps them back",
    ),
};

const DEVICE: &str = "Meta";
const TABLE: &str = "2022";
const MARK: &str = "0x162";

/// A proxy with a TUN device.
#[derive(Default)]
pub(crate) struct FakeIp {
    device: Option<WireGuardDevice>,
    names: Option<FakeNames>,
}

impl FakeIp {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        if self.names.is_none() {
            self.names = Some(FakeNames::start(site.world.host("vpn")?).await?);
        }
        let script = format!(
            "ip rule delete not fwmark {MARK} lookup {TABLE}; ip rule delete lookup main suppress_prefixlength 0"
        );
        clear_away(site.machine, &script).await?;
        self.device = Some(create_tunnel(site, site.machine, DEVICE, Some(MARK)).await?);
        let lines = format!(
            "address add OWN/32 dev DEV\nlink set DEV mtu 1380 up\nroute add default dev DEV table {TABLE}\n\
             rule add not fwmark {MARK} lookup {TABLE} priority 9002\n\
             rule add lookup main suppress_prefixlength 0 priority 9001\n"
        );
        configure(site.machine, DEVICE, &lines).await
    }
}

impl VpnClient for FakeIp {
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
        Box::pin(async { bail!("the proxy carries no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        vec![FakeNames::ADDRESS.into()]
    }
}
