//! openresolv, to which DHCP and VPN clients report the servers of their interfaces.

use super::servers::nameserver_lines;
use crate::{
    host::Host,
    setups::{
        part::{PartInfo, ResolverPart, Task},
        system::{self, Software},
    },
};
use anyhow::{Context, Result};
use std::net::IpAddr;

pub(super) const INFO: PartInfo = PartInfo {
    name: "openresolv",
    summary: "openresolv writes `/etc/resolv.conf`: the VPN's script reports its resolver with \
              `resolvconf -a wg0 -x`, the DHCP client the router's with `resolvconf -a eth0`",
    programs: &[],
    stand_in: None,
};

/// A metric by which an interface comes after all others.
const LAST: &str = "9000";

/// What was reported, by interface.
#[derive(Debug, Default)]
pub(super) struct Openresolv {
    line: Option<(String, Vec<IpAddr>)>,
    tunnel: Option<(String, Vec<IpAddr>)>,
    /// The entry that only a leak has reported.
    leaked: Option<String>,
}

impl ResolverPart for Openresolv {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async { system::install(laptop, &[Software::Openresolv]) })
    }

    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.line = Some((device.to_owned(), servers.to_vec()));
        Box::pin(add(laptop, device, &[], servers))
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = Some((device.to_owned(), servers.to_vec()));
        Box::pin(async move { add(laptop, &tunnel_entry(device), &["-m", "0", "-x"], servers).await })
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, device: &'a str) -> Task<'a> {
        self.tunnel = None;
        Box::pin(delete(laptop, tunnel_entry(device)))
    }

    /// The VPN's script starts anew and reports its server as one among others, which is what
    /// OpenVPN's `update-resolv-conf` does.
    fn leak<'a>(&'a mut self, laptop: &'a Host, device: &'a str, servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(async move {
            let (tunnel, own) = self.tunnel.clone().context("the VPN has reported no server")?;
            delete(laptop, tunnel_entry(&tunnel)).await?;
            if self.line.is_none() {
                self.leaked = Some(device.to_owned());
            }
            add(laptop, device, &[], servers).await?;
            add(laptop, &tunnel_entry(&tunnel), &["-m", LAST], &own).await
        })
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async move {
            let (tunnel, own) = self.tunnel.clone().context("the VPN has reported no server")?;
            match (&self.line, self.leaked.take()) {
                (Some((device, servers)), _) => add(laptop, device, &[], servers).await?,
                (None, Some(device)) => delete(laptop, device).await?,
                (None, None) => {}
            }
            delete(laptop, tunnel_entry(&tunnel)).await?;
            add(laptop, &tunnel_entry(&tunnel), &["-m", "0", "-x"], &own).await
        })
    }
}

/// Returns the entry of a VPN's interface, which differs from the line's own where they are one.
fn tunnel_entry(device: &str) -> String {
    format!("{device}.vpn")
}

async fn add(laptop: &Host, entry: &str, options: &[&str], servers: &[IpAddr]) -> Result<()> {
    let arguments = [&["-a", entry], options].concat();
    laptop.output("/usr/sbin/resolvconf", &arguments, &nameserver_lines(servers)).await.map(drop)
}

async fn delete(laptop: &Host, entry: String) -> Result<()> {
    laptop.output("/usr/sbin/resolvconf", &["-f", "-d", &entry], "").await.map(drop)
}
