//! ISC's dhclient, with Debian's script and its hook for classless static routes.

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
    name: "dhclient",
    summary: "dhclient with Debian's script and hook, which add classless static routes as `boot` routes; \
              its lease file is in `/var/lib/dhcp`",
    programs: &[],
    stand_in: None,
};

/// The running client.
#[derive(Debug, Default)]
pub(super) struct Dhclient(Option<Running>);

#[derive(Debug)]
struct Running {
    process: Process,
    link: DhcpLink,
    mark: LeaseMark,
}

impl DhcpPart for Dhclient {
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers> {
        Box::pin(async move {
            system::install(laptop, &[Software::Dhclient])?;
            let reports = resolver == ResolverKind::Openresolv;
            let mark = LeaseMark::new(laptop)?;
            write_hooks(laptop, &mark, reports)?;
            fs::create_dir_all(private_path(laptop, "/var/lib/dhcp"))?;
            let process = run(laptop, link)?;
            let running = self.0.insert(Running { process, link: link.clone(), mark });
            running.mark.wait(&mut running.process).await?;
            wait_for_default_route(laptop, &link.device).await?;
            if reports {
                return Ok(LeaseServers::Delivered);
            }
            Ok(LeaseServers::HandOver(vec![plan::ROUTER.into()]))
        })
    }

    /// Starts the client anew, which then asks for the lease in its file, as after a reboot.
    ///
    /// Its hook never deletes a route, so that those of the earlier lease are deleted here.
    fn renew<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let running = self.0.as_mut().context("dhclient has not been started")?;
            running.process.child().kill().await.context("cannot end dhclient")?;
            for route in read_routes(laptop, &running.link.device)? {
                // It may be gone already.
                let _ = laptop.run_ip(&format!("route delete {route} dev {}\n", running.link.device)).await;
            }
            running.mark.clear()?;
            running.process = run(laptop, &running.link)?;
            running.mark.wait(&mut running.process).await?;
            wait_for_default_route(laptop, &running.link.device).await
        })
    }
}

fn lease_file(device: &str) -> String {
    format!("/var/lib/dhcp/dhclient.{device}.leases")
}

fn run(laptop: &Host, link: &DhcpLink) -> Result<Process> {
    let mut command = laptop.command("/usr/sbin/dhclient");
    command
        .args(["-4", "-d", "-v", "-e", &format!("IF_METRIC={}", link.metric)])
        .args(["-cf", "/etc/dhcp/dhclient.conf", "-lf", &lease_file(&link.device), "-pf"])
        .arg(laptop.directory().join("dhclient.pid"))
        .arg(&link.device);
    laptop.start_daemon("dhclient", command)
}

/// Writes hooks that leave the mark, and that keep the script from writing `/etc/resolv.conf` where
/// other software does.
fn write_hooks(laptop: &Host, mark: &LeaseMark, reports: bool) -> Result<()> {
    let hooks = |which: &str| private_path(laptop, &format!("/etc/dhcp/dhclient-{which}-hooks.d"));
    let exit = format!(
        "case $reason in BOUND | RENEW | REBIND | REBOOT) : >\"{}\" ;; esac\n",
        mark.path().display()
    );
    let mut files = vec![(hooks("exit"), "zz-lab-mark", exit)];
    if !reports {
        files.push((hooks("enter"), "zz-lab-resolver", "make_resolv_conf() { :; }\n".to_owned()));
    }
    for (directory, name, text) in files {
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), text)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
    }
    Ok(())
}

/// Reads the classless static routes of the latest lease, as arguments of `ip route`.
fn read_routes(laptop: &Host, device: &str) -> Result<Vec<String>> {
    let path = private_path(laptop, &lease_file(device));
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let option = text.lines().rev().find_map(|line| {
        let rest = line.trim().strip_prefix("option rfc3442-classless-static-routes ")?;
        Some(rest.trim_end_matches(';').to_owned())
    });
    let numbers = option.unwrap_or_default();
    let numbers: Vec<u8> = numbers.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    Ok(decode_routes(&numbers))
}

/// Decodes classless static routes (RFC 3442): a length, as much of the prefix, and a gateway.
fn decode_routes(mut numbers: &[u8]) -> Vec<String> {
    let mut routes = Vec::new();
    while let Some((length, rest)) = numbers.split_first() {
        let octets = usize::from(length.div_ceil(8));
        let Some((prefix, rest)) = rest.split_at_checked(octets) else { break };
        let Some((gateway, rest)) = rest.split_at_checked(4) else { break };
        let text = |octets: &[u8]| {
            let padded = octets.iter().copied().chain([0; 4]).take(4);
            padded.map(|octet| octet.to_string()).collect::<Vec<_>>().join(".")
        };
        routes.push(format!("{}/{length} via {}", text(prefix), text(gateway)));
        numbers = rest;
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classless_static_routes_are_decoded() {
        // RFC 3442: the prefix has as many octets as its length needs.
        let numbers = [0, 192, 168, 1, 1, 32, 192, 0, 2, 3, 192, 168, 1, 1, 17, 198, 19, 128, 192, 168, 1, 1];
        let decoded = decode_routes(&numbers);
        assert_eq!(
            decoded,
            ["0.0.0.0/0 via 192.168.1.1", "192.0.2.3/32 via 192.168.1.1", "198.19.128.0/17 via 192.168.1.1"]
        );
        assert!(decode_routes(&[32, 192, 0]).is_empty());
    }
}
