//! NetworkManager, which writes `/etc/resolv.conf` whenever one of its connections changes.

use super::servers::addresses;
use crate::{
    host::Host,
    setups::{
        network_manager::{self, NetworkManager, nmcli},
        part::{PartInfo, ResolverPart, Task},
        system::private_path,
        wait::retry,
    },
};
use anyhow::{Context, Result, ensure};
use std::{fs, net::IpAddr, time::Duration};

pub(super) const INFO: PartInfo = PartInfo {
    name: "networkmanager",
    summary: "NetworkManager writes `/etc/resolv.conf`; the VPN's script, which it does not know, writes \
              over it, until NetworkManager writes it again",
    programs: &[("dbus-daemon", "dbus-daemon")],
    stand_in: None,
};

/// Longest time until it has written the file.
const READY: Duration = Duration::from_secs(10);

/// The daemon, and the servers that the VPN's script has written.
#[derive(Debug, Default)]
pub(super) struct NetworkManagerResolver {
    daemon: Option<NetworkManager>,
    tunnel: Vec<IpAddr>,
}

impl ResolverPart for NetworkManagerResolver {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            self.daemon = Some(network_manager::start(laptop, "default").await?);
            Ok(())
        })
    }

    /// Ethernet gets a profile with the addresses that the device has; for other devices the
    /// servers are NetworkManager's global ones.
    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        Box::pin(async move {
            let servers = addresses(servers);
            if device.starts_with("eth") {
                let ipv4 = format!(
                    "method=manual\nroute-metric=100\n{}dns={};\n",
                    read_addresses(laptop, device).await?,
                    servers.join(";")
                );
                network_manager::activate(laptop, device, &ipv4).await?;
            } else {
                let path = private_path(laptop, "/etc/NetworkManager/conf.d/line.conf");
                if let Some(directory) = path.parent() {
                    fs::create_dir_all(directory)?;
                }
                fs::write(&path, format!("[global-dns-domain-*]\nservers={}\n", servers.join(",")))
                    .with_context(|| format!("cannot write {}", path.display()))?;
                nmcli(laptop, &["general", "reload", "conf"]).await?;
            }
            rewrite_file(laptop).await
        })
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = servers.to_vec();
        Box::pin(async { laptop.set_resolvers(servers) })
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, _device: &'a str) -> Task<'a> {
        Box::pin(rewrite_file(laptop))
    }

    /// NetworkManager writes its own servers again.
    fn leak<'a>(&'a mut self, laptop: &'a Host, _device: &'a str, _servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(rewrite_file(laptop))
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async { laptop.set_resolvers(&self.tunnel) })
    }
}

/// Makes NetworkManager write `/etc/resolv.conf`, as a change of any connection does.
async fn rewrite_file(laptop: &Host) -> Result<()> {
    nmcli(laptop, &["general", "reload", "dns-rc"]).await?;
    let path = private_path(laptop, "/etc/resolv.conf");
    retry(READY, || async {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let written = text.contains("by NetworkManager") && text.contains("nameserver");
        ensure!(written, "NetworkManager has not written {}:\n{text}", path.display());
        Ok(())
    })
    .await
}

/// Returns the lines of a profile for the IPv4 addresses and the gateway that a device has.
async fn read_addresses(laptop: &Host, device: &str) -> Result<String> {
    let shown = laptop.output("ip", &["-4", "-o", "address", "show", "dev", device], "").await?;
    let words: Vec<_> = shown.split_whitespace().collect();
    let address = words.iter().position(|word| *word == "inet").and_then(|index| words.get(index + 1));
    let address = address.with_context(|| format!("{device} has no IPv4 address"))?;
    let shown = laptop.output("ip", &["-4", "route", "show", "default", "dev", device], "").await?;
    let gateway = shown.split_once("via ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(format!("address1={address}{}\n", gateway.map(|gateway| format!(",{gateway}")).unwrap_or_default()))
}
