//! Faults of the laptop's LAN: DHCP routes, router advertisements, a captive portal.
//!
//! Each is a real server on the router, started by the fault and stopped by its reversal.

use super::firewall::change_table;
use crate::{
    faults::parameters::Change,
    host::{Host, Transport},
    plan,
    process::Process,
    world::World,
};
use anyhow::{Context, Result, ensure};
use sentinel_model::{Family, IpNet};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Longest time until a server listens or a lease is obtained. Either takes a second at most on a
/// quiet machine.
const READY: Duration = Duration::from_secs(10);
/// Port of the portal's resolver, to which queries are redirected.
const PORTAL_DNS: u16 = 5453;
/// Port of the portal's page, to which web requests are redirected.
const PORTAL_PAGE: u16 = 8080;

/// Registers a process that a fault has started.
pub(super) fn register(world: &mut World, name: &'static str, process: Process) -> Result<()> {
    ensure!(!world.started.contains_key(name), "{name} is already running");
    world.started.insert(name, process);
    Ok(())
}

/// Stops a registered process.
pub(super) async fn stop(world: &mut World, name: &str) -> Result<()> {
    let mut process = world.started.remove(name).with_context(|| format!("{name} is not running"))?;
    process.stop().await
}

/// Starts dnsmasq in the foreground, without its default configuration.
///
/// It does not change its user, which a user namespace forbids.
fn start_dnsmasq(host: &Host, name: &str, arguments: &[String]) -> Result<Process> {
    let mut command = host.command("dnsmasq");
    command
        .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--bind-interfaces", "--no-ping"])
        .arg(format!("--dhcp-leasefile={}", host.directory().join("dnsmasq.leases").display()))
        .args(arguments);
    host.start_daemon(name, command)
}

/// Offers the laptop a route through DHCP option 121 (RFC 3442), or withdraws it.
///
/// The lease is for the address that the laptop already has.
pub(crate) async fn set_dhcp_route(world: &mut World, prefix: IpNet, change: Change) -> Result<()> {
    if change == Change::Remove {
        // The client releases its lease and deletes the routes.
        stop(world, "udhcpc").await?;
        return stop(world, "dnsmasq-dhcp").await;
    }
    ensure!(prefix.addr().is_ipv4(), "DHCP option 121 carries IPv4 routes only, and {prefix} is IPv6");
    let gateway = world.network.gateway(Family::V4)?;
    let laptop = world.laptop()?.clone();
    let own = world.network.addresses.iter().find(|address| address.addr().is_ipv4());
    let own = own.context("the laptop has no IPv4 address")?.addr();
    let router = world.host(world.network.router)?;
    let mut server = start_dnsmasq(
        router,
        "dnsmasq-dhcp",
        &[
            "--port=0".to_owned(),
            "--interface=lan".to_owned(),
            "--dhcp-authoritative".to_owned(),
            format!("--dhcp-range={own},{own},255.255.255.0,1h"),
            format!("--dhcp-option=121,{prefix},{gateway}"),
        ],
    )?;
    router.wait_for_server(&mut server, Transport::Udp, 67, READY).await?;
    register(world, "dnsmasq-dhcp", server)?;
    let leased = laptop.directory().join("leased");
    let _ = fs::remove_file(&leased);
    let script = write_client_script(&laptop, &leased)?;
    let mut command = laptop.command("udhcpc");
    command.args(["-f", "-R", "-i", "eth0", "-O", "staticroutes", "-T", "1", "-s"]).arg(script);
    let mut client = laptop.start_daemon("udhcpc", command)?;
    let waited = wait_for_file(&leased).await;
    client.add_log(waited)?;
    register(world, "udhcpc", client)
}

/// Writes the DHCP client's script, which creates `leased` once there is a lease.
///
/// Unlike Debian's script it installs the classless static routes, and deletes them with the lease.
fn write_client_script(laptop: &Host, leased: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let routes = laptop.directory().join("dhcp.routes");
    let path = laptop.directory().join("udhcpc.script");
    let text = format!(
        "#!/bin/sh
# $staticroutes contains: prefix gateway prefix gateway ..
routes=\"{routes}\"
forget() {{
  [ -e \"$routes\" ] || return 0
  while read -r route; do ip route delete $route; done <\"$routes\"
  rm -f \"$routes\"
}}
case \"$1\" in
  deconfig) forget ;;
  bound | renew)
    forget
    set -- $staticroutes
    while [ $# -ge 2 ]; do
      route=\"$1 via $2 dev $interface\"
      ip route replace $route && echo \"$route\" >>\"$routes\"
      shift 2
    done
    : >\"{leased}\"
    ;;
esac
",
        routes = routes.display(),
        leased = leased.display(),
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

async fn wait_for_file(path: &Path) -> Result<()> {
    let deadline = Instant::now() + READY;
    while !path.exists() {
        ensure!(Instant::now() < deadline, "{} does not exist after {READY:?}", path.display());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Makes the router advertise IPv6, or withdraws the advertisement.
///
/// The withdrawal is an advertisement with a lifetime of zero, as a router sends when it stops.
pub(crate) async fn set_router_advertisement(world: &mut World, change: Change) -> Result<()> {
    const NAME: &str = "dnsmasq-ra";
    let (lifetime, prefix) = match change {
        Change::Add => (1800, "2001:db8:51:1::,ra-only,64"),
        Change::Remove => (0, "2001:db8:51:1::,ra-only,64,deprecated"),
    };
    if world.started.contains_key(NAME) {
        stop(world, NAME).await?;
    }
    // Duplicate address detection is off everywhere in the lab.
    let laptop = world.laptop()?;
    laptop.set_sysctl(&[("net/ipv6/conf/eth0/accept_ra", "1"), ("net/ipv6/conf/eth0/accept_dad", "0")])?;
    let router = world.host(world.network.router)?;
    let arguments = [
        "--port=0".to_owned(),
        "--interface=lan".to_owned(),
        "--enable-ra".to_owned(),
        format!("--dhcp-range={prefix}"),
        format!("--ra-param=lan,4,{lifetime}"),
    ];
    let process = start_dnsmasq(router, NAME, &arguments)?;
    register(world, NAME, process)
}

/// Makes the router a captive portal, or lets it forward again.
///
/// Its resolver and its page both run on the router.
pub(crate) async fn set_captive_portal(world: &mut World, change: Change) -> Result<()> {
    let rules = format!(
        "table inet portal {{
            chain prerouting {{
                type nat hook prerouting priority dstnat
                iifname lan udp dport 53 redirect to :{PORTAL_DNS}
                iifname lan tcp dport 53 redirect to :{PORTAL_DNS}
                iifname lan tcp dport 80 redirect to :{PORTAL_PAGE}
            }}
            chain forward {{
                type filter hook forward priority filter - 10; policy drop
            }}
        }}"
    );
    let router = world.host(world.network.router)?.clone();
    if change == Change::Remove {
        change_table(&router, "inet portal", &rules, change).await?;
        stop(world, "portal-dns").await?;
        return stop(world, "portal-page").await;
    }
    let gateway = world.network.gateway(Family::V4)?;
    let arguments = [
        format!("--port={PORTAL_DNS}"),
        format!("--listen-address={gateway}"),
        "--no-resolv".to_owned(),
        "--no-hosts".to_owned(),
        format!("--address=/#/{gateway}"),
    ];
    let mut names = start_dnsmasq(&router, "portal-dns", &arguments)?;
    router.wait_for_server(&mut names, Transport::Udp, PORTAL_DNS, READY).await?;
    let mut page = start_portal_page(&router)?;
    router.wait_for_server(&mut page, Transport::Tcp, PORTAL_PAGE, READY).await?;
    register(world, "portal-dns", names)?;
    register(world, "portal-page", page)?;
    change_table(&router, "inet portal", &rules, change).await
}

/// Starts the web server that redirects every request to the portal's page.
fn start_portal_page(router: &Host) -> Result<Process> {
    let directory = router.directory().join("portal");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
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
  server {{
    listen {PORTAL_PAGE};
    location / {{ return 302 http://{login}/pay; }}
    location /pay {{ default_type text/html; return 200 \"<h1>Welcome</h1><p>One hour: 5 coins.</p>\"; }}
  }}
}}
",
        directory = directory.display(),
        login = plan::PORTAL_NAME,
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = router.command("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(&directory).arg("-c").arg(path);
    router.start_daemon("portal-page", command)
}
