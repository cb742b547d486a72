//! systemd-resolved, which programs ask by its socket (nss-resolve) and by its stub at 127.0.0.53.

use super::servers::{addresses, nameserver_lines};
use crate::{
    host::Host,
    process::Process,
    setups::{
        part::{PartInfo, ResolverPart, Task},
        system::{self, Software},
        wait::retry,
    },
};
use anyhow::{Context, Result, ensure};
use std::{fs, net::IpAddr, os::unix::fs::symlink, time::Duration};

pub(super) const INFO: PartInfo = PartInfo {
    name: "systemd-resolved",
    summary: "systemd-resolved with its stub in `/etc/resolv.conf` and nss-resolve in `nsswitch.conf`: \
              every link has servers of its own, and the VPN's script claims all names with \
              `resolvconf -a wg0 -x`, as wg-quick does",
    programs: &[("dbus-daemon", "dbus-daemon")],
    stand_in: None,
};

/// Longest time until the daemon answers, or has noticed a change of a link.
const READY: Duration = Duration::from_secs(10);

/// The daemon and what each link was told.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    bus: Option<Process>,
    daemon: Option<Process>,
    line: Option<(String, Vec<IpAddr>)>,
    tunnel: Option<(String, Vec<IpAddr>)>,
}

impl ResolverPart for Resolved {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            system::install(laptop, &[Software::SystemdResolved])?;
            system::name_service_order(laptop, "files resolve [!UNAVAIL=return] dns")?;
            // It would take servers from a file of somebody else.
            let link = system::private_path(laptop, "/etc/resolv.conf");
            fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
            symlink("../run/systemd/resolve/stub-resolv.conf", &link)
                .with_context(|| format!("cannot create {}", link.display()))?;
            self.bus = system::start_bus(laptop).await?;
            self.daemon = Some(start_daemon(laptop).await?);
            Ok(())
        })
    }

    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.line = Some((device.to_owned(), servers.to_vec()));
        Box::pin(set_servers(laptop, device, servers))
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = Some((device.to_owned(), servers.to_vec()));
        Box::pin(claim_all_names(laptop, device, servers))
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, device: &'a str) -> Task<'a> {
        Box::pin(async move {
            self.tunnel = None;
            // The settings of a link end with it.
            let _ = laptop.output("/usr/bin/resolvectl", &["revert", device], "").await;
            match &self.line {
                Some((line, servers)) if line == device => set_servers(laptop, line, servers).await,
                _ => Ok(()),
            }
        })
    }

    /// The VPN's link loses its claim to all names, so that those of the physical link are asked as
    /// well, at the same time.
    fn leak<'a>(&'a mut self, laptop: &'a Host, device: &'a str, servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(async move {
            let (tunnel, own) = self.tunnel.clone().context("the VPN has set no server")?;
            if tunnel == device {
                return set_servers(laptop, device, servers).await;
            }
            // A link that systemd-networkd manages has the servers of its lease, and no others.
            if self.line.is_some() {
                set_servers(laptop, device, servers).await?;
            }
            set_servers(laptop, &tunnel, &own).await?;
            resolvectl(laptop, &["domain", &tunnel, ""]).await
        })
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async move {
            if let Some((device, servers)) = &self.line {
                set_servers(laptop, device, servers).await?;
            }
            let (tunnel, servers) = self.tunnel.as_ref().context("the VPN has set no server")?;
            claim_all_names(laptop, tunnel, servers).await
        })
    }
}

/// Starts the daemon.
///
/// Debian sets servers to fall back to at build time; here there are none.
async fn start_daemon(laptop: &Host) -> Result<Process> {
    let directory = system::private_path(laptop, "/run/systemd/resolved.conf.d");
    fs::create_dir_all(&directory)?;
    let text = "[Resolve]\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\n";
    fs::write(directory.join("lab.conf"), text)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let mut command = laptop.command("/lib/systemd/systemd-resolved");
    command.env("SYSTEMD_LOG_TARGET", "console");
    let mut daemon = laptop.start_daemon("systemd-resolved", command)?;
    let answers = retry(READY, || resolvectl(laptop, &["status"])).await;
    daemon.add_log(answers)?;
    Ok(daemon)
}

async fn resolvectl(laptop: &Host, arguments: &[&str]) -> Result<()> {
    laptop.output("/usr/bin/resolvectl", arguments, "").await.map(drop)
}

/// Sets the servers of a link without any routing domain.
async fn set_servers(laptop: &Host, device: &str, servers: &[IpAddr]) -> Result<()> {
    let servers = addresses(servers);
    let servers = servers.iter().map(String::as_str);
    resolvectl(laptop, &["dns", device].into_iter().chain(servers).collect::<Vec<_>>()).await?;
    resolvectl(laptop, &["domain", device, ""]).await?;
    resolvectl(laptop, &["default-route", device, "yes"]).await?;
    wait_until_asked(laptop, device).await
}

/// Does what `wg-quick` and other scripts do by the command that Debian installs for them.
async fn claim_all_names(laptop: &Host, device: &str, servers: &[IpAddr]) -> Result<()> {
    let arguments = ["-a", device, "-m", "0", "-x"];
    laptop.output("/usr/sbin/resolvconf", &arguments, &nameserver_lines(servers)).await?;
    wait_until_asked(laptop, device).await
}

/// Waits until a link counts as usable, which the kernel reports up to a second late.
async fn wait_until_asked(laptop: &Host, device: &str) -> Result<()> {
    let asked = || async {
        let status = laptop.output("/usr/bin/resolvectl", &["status", device], "").await?;
        let scopes = status.lines().find(|line| line.contains("Current Scopes"));
        ensure!(scopes.is_some_and(|line| line.contains(" DNS")), "it asks no server of {device}: {status}");
        Ok(())
    };
    retry(READY, asked).await
}
