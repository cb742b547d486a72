//! The parts of setups, each alone: the real program runs in the lab, and does what people know it
//! for. Their combinations are played by the matrix.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use sentinel_model::{Command, ConfiguredResolver, ResolverPath, Snapshot};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};
use tokio::time::sleep;
use vpnsentinel_tests::{
    DhcpKind, DhcpLink, Host, LeaseServers, Process, ResolverKind, ResolverPart, TUNNEL_INTERFACE, Transport,
    World, WorldSpec, lab_test, plan,
};

/// Longest time until a change shows in the world, on a busy machine.
const EFFECT: Duration = Duration::from_secs(15);
/// Longest time until the node shows it: a round after a change, not the next of every 30 s.
const SHOWN: Duration = Duration::from_secs(15);

/// Starts a world with the laptop's tunnel and a node on the VPS, which serves the canary zone.
async fn start_world(config: &str) -> Result<World> {
    let nodes = vec!["vps".to_owned()];
    World::start(WorldSpec { nodes, config: toml::from_str(config)?, ..WorldSpec::default() }).await
}

/// Starts the laptop's node, in the system that the parts have set up.
async fn start_laptop_node(world: &mut World) -> Result<()> {
    world.start_node("laptop").await?;
    world.pair("laptop").await
}

/// Repeats an observation until it succeeds.
async fn observe(mut look: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + EFFECT;
    loop {
        match look().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Returns the address that asks when a program looks up a new name through the C library.
///
/// The canary zone answers with it. Each `getent` is a new process, which reads the configuration
/// of this moment, and loads the modules that `nsswitch.conf` names.
async fn who_asks(host: &Host) -> Result<String> {
    let name = format!("part-{:x}.{}", fastrand::u64(..), plan::CANARY_ZONE);
    let answer = host.output("timeout", &["5", "getent", "ahostsv4", &name], "").await?;
    Ok(answer.split_whitespace().next().unwrap_or_default().to_owned())
}

async fn wait_until_asked_by(host: &Host, resolver: Ipv4Addr) -> Result<()> {
    observe(async || {
        let asks = who_asks(host).await?;
        ensure!(asks == resolver.to_string(), "names are asked by {asks}, not by {resolver}");
        Ok(())
    })
    .await
}

/// Requires that names are asked by one server alone.
async fn ensure_always_asked_by(host: &Host, resolver: Ipv4Addr) -> Result<()> {
    for _ in 0..6 {
        let asks = who_asks(host).await?;
        ensure!(asks == resolver.to_string(), "names are asked by {asks}, not by {resolver}");
    }
    Ok(())
}

/// Waits until the laptop's node shows something.
async fn wait_until_shown(
    world: &World,
    what: &str,
    condition: impl Fn(&Snapshot) -> bool,
) -> Result<Snapshot> {
    let api = world.node_api("laptop")?;
    api.send_command(Command::CheckNow).await?;
    let shown = api.wait_for(what, SHOWN, condition).await;
    if shown.is_err() {
        let snapshot = api.fetch_snapshot().await?;
        println!("{:#?}\n{:#?}", snapshot.shown.dns, snapshot.shown.findings);
    }
    Ok(shown?.snapshot)
}

fn has_finding(snapshot: &Snapshot, kind: &str) -> bool {
    snapshot.shown.findings.iter().any(|finding| finding.kind.name() == kind)
}

fn is_configured(snapshot: &Snapshot, address: Ipv4Addr, test: impl Fn(&ConfiguredResolver) -> bool) -> bool {
    snapshot
        .shown
        .dns
        .configured
        .iter()
        .any(|resolver| resolver.address == IpAddr::V4(address) && test(resolver))
}

const ROUTER: [IpAddr; 1] = [IpAddr::V4(plan::ROUTER)];
const VPN: [IpAddr; 1] = [IpAddr::V4(plan::VPN_RESOLVER)];

/// Starts a resolver as on a laptop whose VPN has just connected.
async fn start_resolver(world: &World, kind: ResolverKind) -> Result<Box<dyn ResolverPart>> {
    let laptop = world.laptop()?;
    let mut resolver = kind.create();
    resolver.start(laptop).await?;
    resolver.set_line_servers(laptop, "eth0", &ROUTER).await?;
    wait_until_asked_by(laptop, plan::ISP_RESOLVER).await.context("before the VPN connects")?;
    resolver.set_tunnel_servers(laptop, TUNNEL_INTERFACE, &VPN).await?;
    wait_until_asked_by(laptop, plan::VPN_RESOLVER_SOURCE).await.context("with the VPN")?;
    ensure_always_asked_by(laptop, plan::VPN_RESOLVER_SOURCE).await?;
    Ok(resolver)
}

/// The program resolves names by whom it is told, and the node lists that server and finds its
/// leak.
async fn try_resolver(kind: ResolverKind, listed: Ipv4Addr) -> Result<()> {
    let mut world = start_world("").await?;
    let mut resolver = start_resolver(&world, kind).await?;
    start_laptop_node(&mut world).await?;
    let laptop = world.laptop()?;
    wait_until_shown(&world, "the VPN's resolver is listed, and nothing leaks", |snapshot| {
        is_configured(snapshot, listed, |resolver| resolver.role.gets_all_names())
            && !has_finding(snapshot, "dns-leak")
    })
    .await?;
    resolver.leak(laptop, "eth0", &ROUTER).await?;
    wait_until_asked_by(laptop, plan::ISP_RESOLVER).await.context("during the leak")?;
    wait_until_shown(&world, "the leak", |snapshot| has_finding(snapshot, "dns-leak")).await?;
    resolver.mend_leak(laptop).await?;
    wait_until_asked_by(laptop, plan::VPN_RESOLVER_SOURCE).await.context("after the leak")?;
    wait_until_shown(&world, "the end of the leak", |snapshot| !has_finding(snapshot, "dns-leak")).await?;
    resolver.clear_tunnel_servers(laptop, TUNNEL_INTERFACE).await?;
    wait_until_asked_by(laptop, plan::ISP_RESOLVER).await.context("after the VPN")
}

lab_test!(openresolv_writes_the_file_that_programs_read, async {
    try_resolver(ResolverKind::Openresolv, plan::VPN_RESOLVER).await
});

lab_test!(networkmanager_writes_the_file_that_programs_read, async {
    try_resolver(ResolverKind::NetworkManager, plan::VPN_RESOLVER).await
});

lab_test!(systemd_resolved_asks_the_servers_of_links, async {
    try_resolver(ResolverKind::SystemdResolved, plan::VPN_RESOLVER).await
});

lab_test!(a_local_dnsmasq_forwards_to_the_vpn_or_past_it, async {
    try_resolver(ResolverKind::Dnsmasq, Ipv4Addr::LOCALHOST).await
});

lab_test!(a_local_unbound_forwards_to_the_vpn_or_past_it, async {
    try_resolver(ResolverKind::Unbound, Ipv4Addr::LOCALHOST).await
});

/// The DHCP server of the home router, with or without routes for option 121.
///
/// It offers the router's resolver, and the ISP's, which nothing but the lease names.
async fn start_dhcp_server(world: &World, routes: &[&str]) -> Result<Process> {
    let router = world.host("home-router")?;
    let mut command = router.command("dnsmasq");
    command
        .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--bind-interfaces", "--no-ping"])
        .args(["--port=0", "--interface=lan", "--dhcp-authoritative"])
        .arg(format!("--dhcp-leasefile={}", router.directory().join("part.leases").display()))
        .arg(format!("--dhcp-range={own},{own},255.255.255.0,1h", own = plan::LAPTOP))
        .arg(format!("--dhcp-option=option:dns-server,{},{}", plan::ROUTER, plan::ISP_RESOLVER));
    if !routes.is_empty() {
        let routes = routes.iter().chain(&["0.0.0.0/0"]).map(|route| format!("{route},{}", plan::ROUTER));
        command.arg(format!("--dhcp-option=121,{}", routes.collect::<Vec<_>>().join(",")));
    }
    let mut server = router.start_daemon("part-dhcp", command)?;
    router.wait_for_server(&mut server, Transport::Udp, 67, EFFECT).await?;
    Ok(server)
}

/// What a client leaves in the system.
struct Traces {
    /// What `ip route` says of the routes' origin; nothing for `boot`.
    protocol: &'static str,
    /// Whether it leaves a lease from which the servers can be read.
    lease: bool,
}

/// The client gets a lease, installs and removes routes of option 121, and the node finds the
/// servers that the lease offers.
async fn try_dhcp(kind: DhcpKind, resolver: ResolverKind, traces: Traces) -> Result<()> {
    let mut world = start_world("past_tunnel = \"full\"\n").await?;
    let laptop = world.laptop()?.clone();
    let laptop = &laptop;
    let mut resolving = resolver.create();
    resolving.start(laptop).await?;
    let mut server = start_dhcp_server(&world, &[]).await?;
    let endpoint = format!("{}/32 via {} dev eth0", plan::VPN_ENDPOINT, plan::ROUTER);
    laptop.run_ip("address flush dev eth0\n").await?;
    let mut client = kind.create().context("there is no client")?;
    let link = DhcpLink { device: "eth0".to_owned(), metric: 100 };
    if let LeaseServers::HandOver(servers) = client.start(laptop, &link, resolver).await? {
        resolving.set_line_servers(laptop, "eth0", &servers).await?;
    }
    // The route of the VPN client went with the address.
    laptop.run_ip(&format!("route replace {endpoint}\n")).await?;
    wait_until_asked_by(laptop, plan::ISP_RESOLVER).await.context("the servers of the lease")?;
    resolving.set_tunnel_servers(laptop, TUNNEL_INTERFACE, &VPN).await?;
    wait_until_asked_by(laptop, plan::VPN_RESOLVER_SOURCE).await?;
    let default = laptop.output("ip", &["-4", "route", "show", "default", "dev", "eth0"], "").await?;
    ensure!(default.contains("metric 100"), "the default route: {default}");
    if traces.lease {
        start_laptop_node(&mut world).await?;
        wait_until_shown(&world, "the resolver that the lease offers was asked", |snapshot| {
            let asked = snapshot.shown.dns.resolvers.measured().into_iter().flatten();
            asked.clone().any(|seen| seen.path == ResolverPath::Dhcp(plan::ISP_RESOLVER.into()))
        })
        .await?;
    }
    let routes = ["198.19.23.0/24", "198.19.24.4/32"];
    server.stop().await?;
    server = start_dhcp_server(&world, &routes).await?;
    client.renew(laptop).await?;
    for route in routes.map(|route| route.trim_end_matches("/32")) {
        let shown = laptop.output("ip", &["-4", "route", "show", route, "dev", "eth0"], "").await?;
        let protocol = shown.split_once("proto ").and_then(|(_, rest)| rest.split_whitespace().next());
        ensure!(shown.contains("via 192.168.1.1"), "no route to {route}: {shown:?}");
        ensure!(protocol.unwrap_or_default() == traces.protocol, "the protocol of {shown:?}");
    }
    server.stop().await?;
    server = start_dhcp_server(&world, &[]).await?;
    client.renew(laptop).await?;
    let shown = laptop.output("ip", &["-4", "route", "show", "dev", "eth0"], "").await?;
    ensure!(!shown.contains("198.19.2"), "routes of an earlier lease stay: {shown}");
    ensure!(shown.contains("default"), "there is no default route: {shown}");
    server.stop().await
}

lab_test!(dhclient_leaves_boot_routes_and_a_lease, async {
    try_dhcp(DhcpKind::Dhclient, ResolverKind::File, Traces { protocol: "", lease: true }).await
});

lab_test!(dhclient_reports_to_openresolv, async {
    try_dhcp(DhcpKind::Dhclient, ResolverKind::Openresolv, Traces { protocol: "", lease: true }).await
});

lab_test!(dhcpcd_leaves_dhcp_routes_and_a_lease, async {
    try_dhcp(DhcpKind::Dhcpcd, ResolverKind::Openresolv, Traces { protocol: "dhcp", lease: true }).await
});

lab_test!(udhcpc_leaves_boot_routes_and_no_lease, async {
    try_dhcp(DhcpKind::Udhcpc, ResolverKind::File, Traces { protocol: "", lease: false }).await
});

lab_test!(systemd_networkd_leaves_dhcp_routes_and_tells_systemd_resolved, async {
    let traces = Traces { protocol: "dhcp", lease: true };
    try_dhcp(DhcpKind::SystemdNetworkd, ResolverKind::SystemdResolved, traces).await
});

lab_test!(networkmanager_leaves_dhcp_routes_and_tells_systemd_resolved, async {
    let traces = Traces { protocol: "dhcp", lease: true };
    try_dhcp(DhcpKind::NetworkManager, ResolverKind::SystemdResolved, traces).await
});
