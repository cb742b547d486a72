//! The real servers of the standard world: unbound, nsd, coturn and nginx.

pub(crate) mod certificates;
pub(crate) mod resolvers;
pub(crate) mod web;

pub(crate) use resolvers::start as start_resolvers;

use crate::{
    host::{Host, Transport},
    plan::{self, Extras},
    process::Process,
    wiring::{Hosts, host},
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Generous, since a test machine may be busy; the services take a tenth of a second.
const READY: Duration = Duration::from_secs(10);

/// Starts the authoritative server, the STUN servers and all that speaks TLS.
pub(crate) async fn start(hosts: &Hosts, with: &Extras) -> Result<Vec<Process>> {
    let stun_servers = plan::stun_servers(with);
    let stun_servers =
        try_join_all(stun_servers.iter().map(|(name, addresses)| stun(hosts, name, addresses)));
    let (root, stun_servers, web) =
        futures::try_join!(root_dns(hosts, with), stun_servers, web::start(hosts, with))?;
    Ok([root].into_iter().chain(stun_servers).chain(web).collect())
}

async fn ready(host: &Host, mut process: Process, sockets: &[(Transport, u16)]) -> Result<Process> {
    for (transport, port) in sockets {
        process.listens(host, *transport, *port, READY).await?;
    }
    Ok(process)
}

async fn root_dns(hosts: &Hosts, with: &Extras) -> Result<Process> {
    let host = host(hosts, "root-dns")?;
    let directory = host.directory();
    write(directory, "root.zone", &zone(with)?)?;
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
    let path = write(directory, "nsd.conf", &configuration)?;
    let mut command = host.command("nsd");
    command.arg("-d").arg("-c").arg(path);
    let process = host.daemon("nsd", command)?;
    ready(host, process, &[(Transport::Udp, 53), (Transport::Tcp, 53)]).await
}

fn zone(with: &Extras) -> Result<String> {
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

/// The authoritative zone as a resolver has it that turns "no such name" into an address.
pub(crate) fn rewritten_zone(with: &Extras, address: Ipv4Addr) -> Result<String> {
    let mut zone = zone(with)?;
    // A wildcard stands for the names that are missing right below it, so every parent needs its own.
    let parents =
        plan::PANEL.iter().filter_map(|(name, _, _)| name.split_once('.')).map(|(_, parent)| parent);
    for parent in parents.chain(["example"]) {
        writeln!(zone, "*.{parent}. A {address}")?;
    }
    writeln!(zone, "*. A {address}")?;
    Ok(zone)
}

async fn stun(hosts: &Hosts, name: &str, addresses: &[IpAddr]) -> Result<Process> {
    let host = host(hosts, name)?;
    let directory = host.directory();
    let mut command = host.command("turnserver");
    command
        .args([
            "-n",
            "--stun-only",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--no-rfc5780",
            "--no-software-attribute",
        ])
        .args(["--log-file", "stdout", "--simple-log", "--relay-threads", "1"])
        .args(addresses.iter().flat_map(|address| ["--listening-ip".to_owned(), address.to_string()]))
        .args(["--listening-port", &plan::STUN_PORT.to_string()])
        .arg("--pidfile")
        .arg(directory.join("turnserver.pid"))
        .arg("--userdb")
        .arg(directory.join("turndb"));
    let process = host.daemon("turnserver", command)?;
    ready(host, process, &[(Transport::Udp, plan::STUN_PORT)]).await
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
