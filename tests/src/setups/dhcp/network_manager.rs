//! NetworkManager as the DHCP client.

use super::lease::wait_for_default_route;
use crate::{
    host::Host,
    setups::{
        dhcp_part::{DhcpLink, DhcpPart, LeaseServers},
        network_manager::{self, NetworkManager},
        part::{PartInfo, Task},
        resolvers::ResolverKind,
        system::private_path,
    },
};
use anyhow::Context;
use std::fs;

pub(super) const INFO: PartInfo = PartInfo {
    name: "networkmanager-dhcp",
    summary: "NetworkManager's own client, which marks its routes `dhcp`; the servers of the lease are in \
              `/run/NetworkManager/devices`",
    programs: &[("dbus-daemon", "dbus-daemon")],
    stand_in: None,
};

/// The daemon, unless the resolver has started it, and the device.
#[derive(Debug, Default)]
pub(super) struct NetworkManagerClient {
    daemon: Option<NetworkManager>,
    device: Option<String>,
    /// Whether it writes `/etc/resolv.conf`.
    writes_file: bool,
}

impl DhcpPart for NetworkManagerClient {
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers> {
        Box::pin(async move {
            self.writes_file = resolver == ResolverKind::NetworkManager;
            if !self.writes_file {
                self.daemon = Some(network_manager::start(laptop, "systemd-resolved").await?);
            }
            let ipv4 = format!("method=auto\nroute-metric={}\n", link.metric);
            network_manager::activate(laptop, &link.device, &ipv4).await?;
            wait_for_default_route(laptop, &link.device).await?;
            self.device = Some(link.device.clone());
            Ok(LeaseServers::Delivered)
        })
    }

    /// Activates the connection anew, which is the only way to make it ask before half of the
    /// lease is over.
    ///
    /// That removes the routes of others through the device, and rewrites `/etc/resolv.conf`. A VPN
    /// client puts both back when it notices; here this does.
    fn renew<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let device = self.device.as_deref().context("NetworkManager has not been started")?;
            let shown = laptop.output("ip", &["-4", "route", "show", "dev", device], "").await?;
            let foreign = shown.lines().filter(|line| !line.contains(" proto "));
            let lines = foreign.map(|route| format!("route replace {} dev {device}\n", route.trim()));
            let lines = lines.collect::<Vec<_>>().concat();
            let file = private_path(laptop, "/etc/resolv.conf");
            let servers = fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
            network_manager::reactivate(laptop, device).await?;
            if self.writes_file {
                fs::write(&file, servers?).with_context(|| format!("cannot write {}", file.display()))?;
            }
            laptop.run_ip(&lines).await?;
            wait_for_default_route(laptop, device).await
        })
    }
}
