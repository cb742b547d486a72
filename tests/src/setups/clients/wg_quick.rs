//! The real `wg-quick`: a firewall mark, a routing table of its own and two rules.

use crate::{
    plan,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
    },
};
use anyhow::{Context, Result};
use std::{fs, net::SocketAddr, path::PathBuf};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "wg-quick",
    summary: "the real `wg-quick up` with `AllowedIPs = 0.0.0.0/0` (and `::/0` where the line has IPv6): a \
              firewall mark, table 51820, and `suppress_prefixlength 0`",
    programs: &[("wg-quick", "wireguard-tools")],
    stand_in: None,
};

/// The device, named by the configuration file.
const DEVICE: &str = "wg0";

/// A `wg-quick` tunnel.
#[derive(Debug, Default)]
pub(crate) struct WgQuick {
    /// The configuration file, once it has been written.
    file: Option<PathBuf>,
}

impl WgQuick {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        if self.file.is_some() {
            clear_away(site).await?;
        }
        let path = write_configuration(site, DEVICE)?;
        site.machine.output("wg-quick", &["up", &path.to_string_lossy()], "").await?;
        self.file = Some(path);
        Ok(())
    }
}

/// Writes the configuration file of the provider.
pub(super) fn write_configuration(site: Site<'_>, device: &str) -> Result<PathBuf> {
    let (v6_address, v6_allowed) =
        if site.has_ipv6() { (format!(", {}/128", plan::TUNNEL_V6), ", ::/0") } else { (String::new(), "") };
    let text = format!(
        "[Interface]\nPrivateKey = {}\nAddress = {}/32{v6_address}\n\n[Peer]\nPublicKey = {}\n\
         Endpoint = {}\nAllowedIPs = 0.0.0.0/0{v6_allowed}\n",
        site.world.tunnel.keys.private,
        plan::TUNNEL,
        site.world.vpn.public_key,
        SocketAddr::new(site.endpoint(), plan::WIREGUARD_PORT)
    );
    let path = site.machine.directory().join(format!("{device}.conf"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Deletes what stays when the device goes: the rules and the firewall's table.
async fn clear_away(site: Site<'_>) -> Result<()> {
    let script = "for v in -4 -6; do
        for r in 'not fwmark 0xca6c table 51820' 'table main suppress_prefixlength 0'; do
            while ip $v rule delete $r 2>/dev/null; do :; done
        done
    done
    for t in ip ip6; do nft delete table $t wg-quick-wg0 2>/dev/null; done; true";
    site.machine.output("sh", &["-c", script], "").await.map(drop)
}

impl VpnClient for WgQuick {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(async move { site.machine.run_ip(&format!("link delete {DEVICE}\n")).await })
    }

    fn set_ipv6<'a>(&'a mut self, site: Site<'a>, carried: bool) -> Task<'a> {
        Box::pin(async move {
            let verb = if carried { "add" } else { "delete" };
            let words = format!("-6 rule {verb} not fwmark 0xca6c table 51820 priority 32760");
            if carried {
                return run_ip_words(site, &words).await;
            }
            // The rule got its priority from the kernel.
            run_ip_words(site, "-6 rule delete not fwmark 0xca6c table 51820").await
        })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}

async fn run_ip_words(site: Site<'_>, words: &str) -> Result<()> {
    site.machine.output("ip", &words.split(' ').collect::<Vec<_>>(), "").await.map(drop)
}
