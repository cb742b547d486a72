//! What a router does to the machines on its LAN: DHCP, router advertisements, a captive portal. Real servers, started by
//! the fault and stopped by its undoing.

use super::firewall;
use crate::{
    faults::Change,
    host::{Host, Transport},
    plan,
    process::Process,
    world::World,
};
use anyhow::{Context, Result, ensure};
use sentinel_model::{Family, IpNet};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Generous for a busy machine; a server starts and a lease is had in a tenth of it.
const READY: Duration = Duration::from_secs(10);
/// Where the portal answers names and shows its page; both are redirected to.
const PORTAL_DNS: u16 = 5453;
const PORTAL_PAGE: u16 = 8080;

/// Keeps what a fault has started.
fn keep(world: &mut World, name: &'static str, process: Process) -> Result<()> {
    ensure!(!world.started.contains_key(name), "{name} runs already");
    world.started.insert(name, process);
    Ok(())
}

/// Stops it again.
async fn end(world: &mut World, name: &str) -> Result<()> {
    let mut process = world.started.remove(name).with_context(|| format!("{name} does not run"))?;
    process.stop().await
}

/// dnsmasq in the foreground, without its own configuration, and without changing its user, which a user namespace
/// does not allow.
fn dnsmasq(host: &Host, name: &str, arguments: &[String]) -> Result<Process> {
    let mut command = host.command("dnsmasq");
    command
        .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--bind-interfaces", "--no-ping"])
        .arg(format!("--dhcp-leasefile={}", host.directory().join("dnsmasq.leases").display()))
        .args(arguments);
    host.daemon(name, command)
}

/// The lease is the address the laptop has anyway. RFC 3442: the option carries routes; the client asks for it.
pub(crate) async fn dhcp_route(world: &mut World, prefix: IpNet, change: Change) -> Result<()> {
    if change == Change::Remove {
        // It gives its lease back and takes the routes with it.
        end(world, "udhcpc").await?;
        return end(world, "dnsmasq-dhcp").await;
    }
    ensure!(prefix.addr().is_ipv4(), "DHCP for IPv4 knows no IPv6 routes");
    let gateway = world.place.gateway(Family::V4)?;
    let laptop = world.laptop()?.clone();
    let own = world.place.addresses.iter().find(|address| address.addr().is_ipv4());
    let own = own.context("the laptop has no IPv4 address")?.addr();
    let router = world.host(world.place.router)?;
    let mut server = dnsmasq(
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
    server.listens(router, Transport::Udp, 67, READY).await?;
    keep(world, "dnsmasq-dhcp", server)?;
    let leased = laptop.directory().join("leased");
    let _ = fs::remove_file(&leased);
    let script = client_script(&laptop, &leased)?;
    let mut command = laptop.command("udhcpc");
    command.args(["-f", "-R", "-i", "eth0", "-O", "staticroutes", "-T", "1", "-s"]).arg(script);
    let mut client = laptop.daemon("udhcpc", command)?;
    let waited = appears(&leased).await;
    client.explain(waited)?;
    keep(world, "udhcpc", client)
}

/// What Debian's own script does not: installs the classless static routes, and removes them with the lease.
fn client_script(laptop: &Host, leased: &Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let routes = laptop.directory().join("dhcp.routes");
    let path = laptop.directory().join("udhcpc.script");
    let text = format!(
        "#!/bin/sh
# $staticroutes is: prefix gateway prefix gateway ..
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

async fn appears(path: &Path) -> Result<()> {
    let deadline = Instant::now() + READY;
    while !path.exists() {
        ensure!(Instant::now() < deadline, "{} does not appear", path.display());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Taken back by advertising no router any more, as a router that is told to stop does.
pub(crate) async fn router_advertisement(world: &mut World, change: Change) -> Result<()> {
    const NAME: &str = "dnsmasq-ra";
    let (lifetime, prefix) = match change {
        Change::Add => (1800, "2001:db8:51:1::,ra-only,64"),
        Change::Remove => (0, "2001:db8:51:1::,ra-only,64,deprecated"),
    };
    if world.started.contains_key(NAME) {
        end(world, NAME).await?;
    }
    // Without duplicate address detection, as everywhere in the lab.
    let laptop = world.laptop()?;
    laptop.sysctl(&[("net/ipv6/conf/eth0/accept_ra", "1"), ("net/ipv6/conf/eth0/accept_dad", "0")])?;
    let router = world.host(world.place.router)?;
    let arguments = [
        "--port=0".to_owned(),
        "--interface=lan".to_owned(),
        "--enable-ra".to_owned(),
        format!("--dhcp-range={prefix}"),
        format!("--ra-param=lan,4,{lifetime}"),
    ];
    let process = dnsmasq(router, NAME, &arguments)?;
    keep(world, NAME, process)
}

/// The portal's own page says where to pay; everything it redirects to runs on the router.
pub(crate) async fn captive_portal(world: &mut World, change: Change) -> Result<()> {
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
    let router = world.host(world.place.router)?.clone();
    if change == Change::Remove {
        firewall(&router, "inet portal", &rules, change).await?;
        end(world, "portal-dns").await?;
        return end(world, "portal-page").await;
    }
    let gateway = world.place.gateway(Family::V4)?;
    let arguments = [
        format!("--port={PORTAL_DNS}"),
        format!("--listen-address={gateway}"),
        "--no-resolv".to_owned(),
        "--no-hosts".to_owned(),
        format!("--address=/#/{gateway}"),
    ];
    let mut names = dnsmasq(&router, "portal-dns", &arguments)?;
    names.listens(&router, Transport::Udp, PORTAL_DNS, READY).await?;
    let mut page = portal_page(&router)?;
    page.listens(&router, Transport::Tcp, PORTAL_PAGE, READY).await?;
    keep(world, "portal-dns", names)?;
    keep(world, "portal-page", page)?;
    firewall(&router, "inet portal", &rules, change).await
}

fn portal_page(router: &Host) -> Result<Process> {
    let directory = router.directory().join("portal");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
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
    router.daemon("portal-page", command)
}
