//! dhcpcd.

use super::lease::{LeaseMark, wait_for_default_route};
use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        dhcp_part::{DhcpLink, DhcpPart, LeaseServers},
        part::{PartInfo, Task},
        resolvers::ResolverKind,
        system::{self, Software, private_path},
    },
};
use anyhow::{Context, Result};
use std::fs;

pub(super) const INFO: PartInfo = PartInfo {
    name: "dhcpcd",
    summary: "dhcpcd 9, which marks its routes `dhcp`; its lease file in `/var/lib/dhcpcd` is a DHCP packet",
    programs: &[],
    stand_in: None,
};

/// The running client and its device.
#[derive(Debug, Default)]
pub(super) struct Dhcpcd(Option<(Process, String, LeaseMark)>);

impl DhcpPart for Dhcpcd {
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers> {
        Box::pin(async move {
            system::install(laptop, &[Software::Dhcpcd])?;
            fs::create_dir_all(private_path(laptop, "/var/lib/dhcpcd"))?;
            // Its hook uses the command that openresolv and systemd-resolved both install.
            let reports = matches!(resolver, ResolverKind::Openresolv | ResolverKind::SystemdResolved);
            let mark = LeaseMark::new(laptop)?;
            let hook = format!(
                "case \"$reason\" in BOUND | RENEW | REBIND | REBOOT) : >\"{}\" ;; esac\n",
                mark.path().display()
            );
            fs::write(private_path(laptop, "/etc/dhcpcd.exit-hook"), hook)?;
            let hook = if reports { "" } else { "nohook resolv.conf\n" };
            add_settings(laptop, &format!("metric {}\n{hook}", link.metric))?;
            let mut command = system::command_without_udev(laptop, "/usr/sbin/dhcpcd");
            // Without --noarp it waits for five seconds whether somebody else has the address.
            command.args(["--nobackground", "--ipv4only", "--noarp"]);
            command.arg(&link.device);
            let mut client = laptop.start_daemon("dhcpcd", command)?;
            mark.wait(&mut client).await?;
            wait_for_default_route(laptop, &link.device).await?;
            self.0 = Some((client, link.device.clone(), mark));
            if reports {
                return Ok(LeaseServers::Delivered);
            }
            Ok(LeaseServers::HandOver(vec![plan::ROUTER.into()]))
        })
    }

    fn renew<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let (client, device, mark) = self.0.as_mut().context("dhcpcd has not been started")?;
            mark.clear()?;
            laptop.output("/usr/sbin/dhcpcd", &["--rebind", device.as_str()], "").await?;
            mark.wait(client).await
        })
    }
}

/// Adds settings to the client's file, as it forgets its options when it is told to ask again.
fn add_settings(laptop: &Host, settings: &str) -> Result<()> {
    let path = private_path(laptop, "/etc/dhcpcd.conf");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, format!("{text}\n{settings}"))
        .with_context(|| format!("cannot write {}", path.display()))
}
