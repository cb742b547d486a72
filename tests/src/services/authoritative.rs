//! The authoritative server of the root and of every zone except the canary zone: NSD.

use super::daemon::{wait_until_ready, write_file};
use crate::{
    host::Transport,
    plan::{self, Extras},
    process::Process,
    wiring::{Hosts, find_host},
};
use anyhow::Result;
use std::{fmt::Write as _, net::Ipv4Addr};

/// Starts the server.
pub(super) async fn start(hosts: &Hosts, with: &Extras) -> Result<Process> {
    let host = find_host(hosts, "root-dns")?;
    let directory = host.directory();
    write_file(directory, "root.zone", &build_zone(with)?)?;
    let configuration = format!(
        "server:
  username: \"\"
  chroot: \"\"
  zonesdir: \"{directory}\"
  database: \"\"
  pidfile: \"{directory}/nsd.pid\"
  zonelistfile: \"{directory}/zone.list\"
  xfrdfile: \"{directory}/xfrd.state\"
  xfrdir: \"{directory}\"
  ip-address: {address}
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: \".\"
  zonefile: \"root.zone\"
",
        directory = directory.display(),
        address = plan::ROOT_DNS
    );
    let path = write_file(directory, "nsd.conf", &configuration)?;
    let mut command = host.command("nsd");
    command.arg("-d").arg("-c").arg(path);
    let process = host.start_daemon("nsd", command)?;
    wait_until_ready(host, process, &[(Transport::Udp, 53), (Transport::Tcp, 53)]).await
}

/// Builds the zone that contains every name of the world.
fn build_zone(with: &Extras) -> Result<String> {
    let mut zone = format!(
        "$ORIGIN .
$TTL 3600
. SOA ns.root.example. hostmaster.root.example. 1 3600 600 86400 60
. NS ns.root.example.
ns.root.example. A {root}
{canary}. NS vps.cloud.example.
vps.cloud.example. A {vps}
vps.cloud.example. AAAA {vps_v6}
{public_resolver_name}. A {public_resolver}
",
        root = plan::ROOT_DNS,
        canary = plan::CANARY_ZONE,
        vps = plan::VPS,
        vps_v6 = plan::VPS_V6,
        public_resolver_name = plan::PUBLIC_RESOLVER_NAME,
        public_resolver = plan::PUBLIC_RESOLVER,
    );
    for (host, addresses) in plan::stun_servers(with).into_iter().chain(plan::echo_services(with)) {
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            writeln!(zone, "{host}.example. {kind} {address}")?;
        }
    }
    for (name, v4, v6) in plan::PANEL {
        writeln!(zone, "{name}. A {v4}\n{name}. AAAA {v6}")?;
    }
    Ok(zone)
}

/// Builds the zone for a resolver that answers every nonexistent name with an address.
pub(crate) fn build_rewritten_zone(with: &Extras, address: Ipv4Addr) -> Result<String> {
    let mut zone = build_zone(with)?;
    // A wildcard covers only the names directly below it, so every parent needs its own.
    let parents =
        plan::PANEL.iter().filter_map(|(name, _, _)| name.split_once('.')).map(|(_, parent)| parent);
    for parent in parents.chain(["example"]) {
        writeln!(zone, "*.{parent}. A {address}")?;
    }
    writeln!(zone, "*. A {address}")?;
    Ok(zone)
}
