//! systemd-networkd.

use super::lease::{wait_for_default_route, wait_until};
use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        dhcp_part::{DhcpLink, DhcpPart, LeaseServers},
        part::{PartInfo, Task},
        resolvers::ResolverKind,
        system::{self, private_path},
    },
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

pub(super) const INFO: PartInfo = PartInfo {
    name: "systemd-networkd",
    summary: "systemd-networkd, which marks its routes `dhcp` and tells systemd-resolved of the servers; \
              its lease is in `/run/systemd/netif/leases`",
    programs: &[("dbus-daemon", "dbus-daemon"), ("networkctl", "systemd")],
    stand_in: None,
};

/// The daemon and the device it manages.
#[derive(Debug, Default)]
pub(super) struct Networkd(Option<Running>);

#[derive(Debug)]
struct Running {
    daemon: Process,
    _bus: Option<Process>,
    device: String,
    lease: PathBuf,
}

impl DhcpPart for Networkd {
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers> {
        Box::pin(async move {
            system::install(laptop, &[])?;
            let bus = system::start_bus(laptop).await?;
            let directory = private_path(laptop, "/run/systemd/network");
            fs::create_dir_all(&directory)?;
            fs::create_dir_all(private_path(laptop, "/run/systemd/netif"))?;
            let text = format!(
                "[Match]\nName={}\n[Network]\nDHCP=ipv4\nLLMNR=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
                 KeepConfiguration=static\n[DHCPv4]\nRouteMetric={}\nUseHostname=no\n",
                link.device, link.metric
            );
            fs::write(directory.join("lab.network"), text)
                .with_context(|| format!("cannot write to {}", directory.display()))?;
            let mut command = system::command_without_udev(laptop, "/lib/systemd/systemd-networkd");
            command.env("SYSTEMD_LOG_TARGET", "console");
            let mut daemon = laptop.start_daemon("systemd-networkd", command)?;
            wait_until(&mut daemon, || is_configured(laptop, &link.device)).await?;
            wait_for_default_route(laptop, &link.device).await?;
            let lease = lease_file(laptop, &link.device)?;
            self.0 = Some(Running { daemon, _bus: bus, device: link.device.clone(), lease });
            Ok(match resolver {
                ResolverKind::SystemdResolved => LeaseServers::Delivered,
                _ => LeaseServers::HandOver(vec![plan::ROUTER.into()]),
            })
        })
    }

    fn renew<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let Running { daemon, device, lease, .. } =
                self.0.as_mut().context("systemd-networkd has not been started")?;
            let before = modified(lease)?;
            laptop.output("networkctl", &["renew", device], "").await?;
            wait_until(daemon, || async {
                ensure!(modified(lease)? != before, "the lease is as old as before");
                is_configured(laptop, device).await?;
                has_routes_of(laptop, device, &fs::read_to_string(&*lease)?).await
            })
            .await
        })
    }
}

async fn is_configured(laptop: &Host, device: &str) -> Result<()> {
    let status = laptop.output("networkctl", &["status", device], "").await?;
    ensure!(status.contains("(configured)"), "{device} is not configured:\n{status}");
    Ok(())
}

/// Returns the lease file of a device, which has the number of the interface.
fn lease_file(laptop: &Host, device: &str) -> Result<PathBuf> {
    let index = laptop.run_blocking(|| fs::read_to_string(format!("/sys/class/net/{device}/ifindex")))?;
    let index = index.with_context(|| format!("there is no {device}"))?;
    Ok(private_path(laptop, &format!("/run/systemd/netif/leases/{}", index.trim())))
}

fn modified(path: &PathBuf) -> Result<Duration> {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    let modified = modified.with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(modified.duration_since(SystemTime::UNIX_EPOCH)?)
}

/// Checks that the device has the routes of a lease, and no others by DHCP.
///
/// These are the classless static routes, or without that option the router; besides, servers that
/// are not on the link get a host route through the router.
async fn has_routes_of(laptop: &Host, device: &str, lease: &str) -> Result<()> {
    let field = |name: &str| lease.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let dns: Vec<&str> = field("DNS=").split_whitespace().collect();
    let shown = laptop.output("ip", &["-4", "route", "show", "dev", device, "proto", "dhcp"], "").await?;
    let routes = shown.lines().filter(|line| line.contains(" via "));
    let destinations = routes.filter_map(|line| line.split_whitespace().next());
    let mut present: Vec<&str> = destinations.filter(|destination| !dns.contains(destination)).collect();
    let classless = field("CLASSLESS_ROUTES=").split_whitespace();
    let classless = classless.filter_map(|route| route.split(',').next()).map(shorten_destination);
    let mut expected: Vec<&str> = classless.collect();
    if expected.is_empty() {
        expected.push("default");
    }
    present.sort_unstable();
    expected.sort_unstable();
    ensure!(present == expected, "{device} has routes to {present:?} by DHCP, not to {expected:?}");
    Ok(())
}

/// Writes a prefix as `ip route` shows it.
fn shorten_destination(prefix: &str) -> &str {
    if prefix == "0.0.0.0/0" { "default" } else { prefix.trim_end_matches("/32") }
}
