//! The real servers of the standard world: unbound, nsd, coturn and nginx.

use crate::{
    host::{Host, Transport},
    place::Ipv6,
    plan,
    process::Process,
    wiring::{Hosts, host},
};
use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Generous, since a test machine may be busy; the services take a tenth of a second.
const READY: Duration = Duration::from_secs(10);

/// Where a resolver gets its answers.
enum Upstream {
    /// From the authoritative servers, starting at the root, asking from this address.
    Root(Ipv4Addr),
    /// From another resolver.
    Forward(Ipv4Addr),
}

/// Starts the authoritative server, the STUN server and the HTTPS service.
pub(crate) async fn start(hosts: &Hosts) -> Result<Vec<Process>> {
    let (root, stun, echo) = futures::try_join!(root_dns(hosts), stun(hosts), echo(hosts))?;
    Ok(vec![root, stun, echo])
}

/// Starts the resolvers; the providers' need their side of the tunnel to be there. Where the laptop has nothing but
/// IPv6, Example VPN's listens there too.
pub(crate) async fn start_resolvers(hosts: &Hosts, ipv6: Ipv6) -> Result<Vec<Process>> {
    let over_v6 = (ipv6 == Ipv6::Only).then_some(plan::VPN_RESOLVER_V6);
    futures::try_join!(
        resolver(hosts, "isp", plan::ISP_RESOLVER, None, Upstream::Root(plan::ISP_RESOLVER)),
        resolver(hosts, "public-dns", plan::PUBLIC_RESOLVER, None, Upstream::Root(plan::PUBLIC_RESOLVER)),
        resolver(hosts, "home-router", plan::ROUTER, None, Upstream::Forward(plan::ISP_RESOLVER)),
        resolver(hosts, "vpn", plan::VPN_RESOLVER, over_v6, Upstream::Root(plan::VPN_RESOLVER_SOURCE)),
        resolver(
            hosts,
            "other-vpn",
            plan::OTHER_VPN_RESOLVER,
            None,
            Upstream::Root(plan::OTHER_VPN_RESOLVER_SOURCE)
        ),
    )
    .map(|(isp, public, router, vpn, other)| vec![isp, public, router, vpn, other])
}

/// The certificate of the lab's own authority, which signs the echo service's.
pub(crate) fn authority(hosts: &Hosts) -> Result<PathBuf> {
    Ok(host(hosts, "echo")?.directory().join("authority.pem"))
}

async fn ready(host: &Host, mut process: Process, sockets: &[(Transport, u16)]) -> Result<Process> {
    for (transport, port) in sockets {
        process.listens(host, *transport, *port, READY).await?;
    }
    Ok(process)
}

async fn resolver(
    hosts: &Hosts,
    name: &str,
    listen: Ipv4Addr,
    over_v6: Option<Ipv6Addr>,
    upstream: Upstream,
) -> Result<Process> {
    let host = host(hosts, name)?;
    let directory = host.directory();
    let source = match upstream {
        Upstream::Root(source) => {
            let hints = format!(". 3600 NS ns.root.example.\nns.root.example. 3600 A {}\n", plan::ROOT_DNS);
            let path = write(directory, "root.hints", &hints)?;
            format!("  root-hints: \"{}\"\n  outgoing-interface: {source}\n", path.display())
        }
        Upstream::Forward(to) => format!("forward-zone:\n  name: \".\"\n  forward-addr: {to}\n"),
    };
    // It asks over IPv4 either way: its sources, by which the world knows it, are IPv4 addresses.
    let over_v6 = over_v6.map_or_else(
        || "  do-ip6: no\n".to_owned(),
        |address| format!("  interface: {address}\n  access-control: ::/0 allow\n  prefer-ip4: yes\n"),
    );
    // Without the validator: nothing here is signed. One thread and small caches: thirteen hosts share a machine.
    let configuration = format!(
        "server:
  username: \"\"
  chroot: \"\"
  directory: \"{directory}\"
  pidfile: \"{directory}/unbound.pid\"
  use-syslog: no
{over_v6}  interface: {listen}
  access-control: 0.0.0.0/0 allow
  module-config: \"iterator\"
  num-threads: 1
  outgoing-range: 128
  num-queries-per-thread: 64
  msg-cache-size: 1m
  rrset-cache-size: 1m
  key-cache-size: 100k
  neg-cache-size: 100k
  prefetch: yes
  local-zone: \"example.\" nodefault
{source}",
        directory = directory.display()
    );
    let path = write(directory, "unbound.conf", &configuration)?;
    let mut command = host.command("unbound");
    command.arg("-d").arg("-c").arg(path);
    let process = host.daemon("unbound", command)?;
    ready(host, process, &[(Transport::Udp, 53), (Transport::Tcp, 53)]).await
}

async fn root_dns(hosts: &Hosts) -> Result<Process> {
    let host = host(hosts, "root-dns")?;
    let directory = host.directory();
    write(directory, "root.zone", &zone()?)?;
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

fn zone() -> Result<String> {
    let mut zone = format!(
        "$ORIGIN .
$TTL 3600
. SOA ns.root.example. hostmaster.root.example. 1 3600 600 86400 60
. NS ns.root.example.
ns.root.example. A {root}
{canary}. NS vps.cloud.example.
vps.cloud.example. A {vps}
vps.cloud.example. AAAA {vps_v6}
stun.example. A {stun}
stun.example. AAAA {stun_v6}
{echo_name}. A {echo}
{echo_name}. AAAA {echo_v6}
",
        root = plan::ROOT_DNS,
        canary = plan::CANARY_ZONE,
        vps = plan::VPS,
        vps_v6 = plan::VPS_V6,
        stun = plan::STUN,
        stun_v6 = plan::STUN_V6,
        echo_name = plan::ECHO_NAME,
        echo = plan::ECHO,
        echo_v6 = plan::ECHO_V6,
    );
    for (name, v4, v6) in plan::PANEL {
        writeln!(zone, "{name}. A {v4}\n{name}. AAAA {v6}")?;
    }
    Ok(zone)
}

async fn stun(hosts: &Hosts) -> Result<Process> {
    let host = host(hosts, "stun")?;
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
        .args(["--listening-ip", &plan::STUN.to_string(), "--listening-ip", &plan::STUN_V6.to_string()])
        .args(["--listening-port", &plan::STUN_PORT.to_string()])
        .arg("--pidfile")
        .arg(directory.join("turnserver.pid"))
        .arg("--userdb")
        .arg(directory.join("turndb"));
    let process = host.daemon("turnserver", command)?;
    ready(host, process, &[(Transport::Udp, plan::STUN_PORT)]).await
}

async fn echo(hosts: &Hosts) -> Result<Process> {
    let host = host(hosts, "echo")?;
    let directory = host.directory();
    certify(host).await?;
    let listen: String = [IpAddr::from(plan::ECHO), IpAddr::from(plan::ECHO_V6)]
        .map(|address| format!("    listen {} ssl;\n", std::net::SocketAddr::new(address, 443)))
        .concat();
    // One process: a worker process would want to change its user, which a user namespace does not allow.
    let configuration = format!(
        "daemon off;
master_process off;
user root root;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type text/plain;
  server {{
{listen}    ssl_certificate {directory}/echo.pem;
    ssl_certificate_key {directory}/echo.key;
    return 200 \"$remote_addr\\n\";
  }}
}}
",
        directory = directory.display()
    );
    let path = write(directory, "nginx.conf", &configuration)?;
    let mut command = host.command("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(directory).arg("-c").arg(path);
    let process = host.daemon("nginx", command)?;
    ready(host, process, &[(Transport::Tcp, 443)]).await
}

/// Makes an authority and, signed by it, the echo service's certificate.
async fn certify(host: &Host) -> Result<()> {
    let file = |name: &str| host.directory().join(name).to_string_lossy().into_owned();
    let (ca, ca_key) = (file("authority.pem"), file("authority.key"));
    let (leaf, leaf_key) = (file("echo.pem"), file("echo.key"));
    let common =
        ["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let authority = [
        "-subj",
        "/CN=Lab authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-out",
        &ca,
        "-keyout",
        &ca_key,
    ];
    host.output("openssl", &[&common[..], &authority].concat(), "").await?;
    let subject = format!("/CN={}", plan::ECHO_NAME);
    let names = format!("subjectAltName=DNS:{},IP:{},IP:{}", plan::ECHO_NAME, plan::ECHO, plan::ECHO_V6);
    let usage = "basicConstraints=critical,CA:FALSE";
    let server = [
        "-CA", &ca, "-CAkey", &ca_key, "-subj", &subject, "-addext", &names, "-addext", usage, "-out", &leaf,
        "-keyout", &leaf_key,
    ];
    host.output("openssl", &[&common[..], &server].concat(), "").await.map(drop)
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
