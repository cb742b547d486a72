//! The parts of setups, each alone: the real program runs in the lab, and does what people know it
//! for. Their combinations are played by the matrix.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use sentinel_model::{Command, ConfiguredResolver, ResolverPath, ResolverRole, Snapshot};
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

/// Counts the queries that leave the laptop by a device for a server.
struct QueryCounter<'a> {
    laptop: &'a Host,
}

impl<'a> QueryCounter<'a> {
    async fn install(laptop: &'a Host, device: &str, server: Ipv4Addr) -> Result<Self> {
        let rules = format!(
            "table inet part {{
                chain out {{
                    type filter hook output priority 0
                    oifname {device} ip daddr {server} udp dport 53 counter
                }}
            }}"
        );
        laptop.output("nft", &["-f", "-"], &rules).await?;
        Ok(Self { laptop })
    }

    async fn read(&self) -> Result<u64> {
        let shown = self.laptop.output("nft", &["list", "table", "inet", "part"], "").await?;
        let count = shown.split_once("packets ").and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(count.context("no counter")?.parse()?)
    }
}

/// Replaces `/etc/resolv.conf`, whatever it is or links to, as the scripts of many VPNs do.
async fn replace_resolv_conf(laptop: &Host, server: Ipv4Addr) -> Result<()> {
    let script = format!("rm -f /etc/resolv.conf && echo nameserver {server} >/etc/resolv.conf");
    laptop.output("sh", &["-c", &script], "").await.map(drop)
}

lab_test!(systemd_resolved_sends_by_a_links_device_whatever_the_routes_say, async {
    let mut world = start_world("").await?;
    let mut resolver = start_resolver(&world, ResolverKind::SystemdResolved).await?;
    start_laptop_node(&mut world).await?;
    let laptop = world.laptop()?;
    // The routes lead to this server through the tunnel.
    let server = plan::ISP_RESOLVER;
    let shown = laptop.output("ip", &["route", "get", &server.to_string()], "").await?;
    ensure!(shown.contains(TUNNEL_INTERFACE), "the route: {shown}");
    let counter = QueryCounter::install(laptop, "eth0", server).await?;
    ensure_always_asked_by(laptop, plan::VPN_RESOLVER_SOURCE).await?;
    ensure!(counter.read().await? == 0, "queries leave by eth0 before the leak");
    resolver.leak(laptop, "eth0", &[server.into()]).await?;
    observe(async || {
        who_asks(laptop).await?;
        ensure!(counter.read().await? > 0, "no query leaves by eth0");
        Ok(())
    })
    .await?;
    let leaks = |snapshot: &Snapshot| {
        is_configured(snapshot, server, |resolver| resolver.bound_to() == Some("eth0"))
            && has_finding(snapshot, "dns-leak")
    };
    wait_until_shown(&world, "the leak by eth0", leaks).await.map(drop)
});

lab_test!(programs_ask_systemd_resolved_although_the_vpn_has_written_the_file, async {
    let mut world = start_world("").await?;
    let laptop = world.laptop()?.clone();
    let mut resolver = ResolverKind::SystemdResolved.create();
    resolver.start(&laptop).await?;
    resolver.set_line_servers(&laptop, "eth0", &ROUTER).await?;
    replace_resolv_conf(&laptop, plan::VPN_RESOLVER).await?;
    wait_until_asked_by(&laptop, plan::ISP_RESOLVER).await.context("by nss-resolve")?;
    start_laptop_node(&mut world).await?;
    wait_until_shown(&world, "what systemd-resolved asks", |snapshot| {
        is_configured(snapshot, plan::ROUTER, |resolver| resolver.role == ResolverRole::Forwarded)
            && has_finding(snapshot, "dns-leak")
    })
    .await?;
    // The twin: programs follow the file.
    let script = "sed -i 's/ resolve .*return.//' /etc/nsswitch.conf && grep '^hosts:' /etc/nsswitch.conf";
    let line = laptop.output("sh", &["-c", script], "").await?;
    ensure!(line.trim() == "hosts: files dns", "{line}");
    wait_until_asked_by(&laptop, plan::VPN_RESOLVER_SOURCE).await.context("by the file")?;
    wait_until_shown(&world, "that programs follow the file", |snapshot| {
        !is_configured(snapshot, plan::ROUTER, |_| true) && !has_finding(snapshot, "dns-leak")
    })
    .await
    .map(drop)
});

lab_test!(systemd_resolved_falls_back_to_its_own_servers_without_those_of_links, async {
    let mut world = start_world("").await?;
    let laptop = world.laptop()?.clone();
    let settings = laptop.directory().join("run/systemd/resolved.conf.d");
    std::fs::create_dir_all(&settings)?;
    std::fs::write(settings.join("zz.conf"), format!("[Resolve]\nFallbackDNS={}\n", plan::ROUTER))?;
    let mut resolver = ResolverKind::SystemdResolved.create();
    resolver.start(&laptop).await?;
    wait_until_asked_by(&laptop, plan::ISP_RESOLVER).await.context("the fallback")?;
    resolver.set_tunnel_servers(&laptop, TUNNEL_INTERFACE, &VPN).await?;
    wait_until_asked_by(&laptop, plan::VPN_RESOLVER_SOURCE).await?;
    ensure_always_asked_by(&laptop, plan::VPN_RESOLVER_SOURCE).await?;
    start_laptop_node(&mut world).await?;
    // The twin: a server that is not asked is no leak.
    wait_until_shown(&world, "the VPN's server alone", |snapshot| {
        is_configured(snapshot, plan::VPN_RESOLVER, |_| true)
            && !is_configured(snapshot, plan::ROUTER, |resolver| resolver.role.gets_all_names())
            && !has_finding(snapshot, "dns-leak")
    })
    .await?;
    resolver.clear_tunnel_servers(&laptop, TUNNEL_INTERFACE).await?;
    wait_until_asked_by(&laptop, plan::ISP_RESOLVER).await.context("the fallback again")?;
    wait_until_shown(&world, "the leak", |snapshot| has_finding(snapshot, "dns-leak")).await.map(drop)
});

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

/// A network and a host to which the DHCP server hands out routes.
const NETWORK: &str = "198.19.23.0/24";
const HOST: &str = "198.19.24.4/32";

/// What a client leaves in the system.
struct Traces {
    /// The origin of its routes, as `ip route` names it.
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
    start_laptop_node(&mut world).await?;
    if traces.lease {
        wait_until_shown(&world, "the resolver that the lease offers was asked", |snapshot| {
            let asked = snapshot.shown.dns.resolvers.measured().into_iter().flatten();
            asked.clone().any(|seen| seen.path == ResolverPath::Dhcp(plan::ISP_RESOLVER.into()))
        })
        .await?;
    }
    let leaks = |snapshot: &Snapshot| has_finding(snapshot, "route-outside-tunnel");
    ensure!(!leaks(&world.node_api("laptop")?.fetch_snapshot().await?), "a route leaks before it is offered");
    for offered in [Some(HOST), Some(NETWORK), None] {
        server.stop().await?;
        server = start_dhcp_server(&world, offered.as_slice()).await?;
        client.renew(laptop).await?;
        let routes = laptop.output("ip", &["-4", "route", "show", "dev", "eth0"], "").await?;
        ensure!(routes.contains("default"), "there is no default route: {routes}");
        for route in [HOST, NETWORK] {
            let line = routes.lines().find(|line| line.starts_with(route.trim_end_matches("/32")));
            ensure!(line.is_some() == (offered == Some(route)), "{offered:?} is offered: {routes}");
            let protocol = line.and_then(|line| line.split_once("proto ")?.1.split_whitespace().next());
            ensure!(
                line.is_none() || protocol.unwrap_or("boot") == traces.protocol,
                "its protocol: {routes}"
            );
        }
        wait_until_shown(&world, &format!("{offered:?}"), |snapshot| leaks(snapshot) == offered.is_some())
            .await?;
    }
    server.stop().await
}

lab_test!(dhclient_leaves_boot_routes_and_a_lease, async {
    try_dhcp(DhcpKind::Dhclient, ResolverKind::File, Traces { protocol: "boot", lease: true }).await
});

lab_test!(dhclient_reports_to_openresolv, async {
    try_dhcp(DhcpKind::Dhclient, ResolverKind::Openresolv, Traces { protocol: "boot", lease: true }).await
});

lab_test!(dhcpcd_leaves_dhcp_routes_and_a_lease, async {
    try_dhcp(DhcpKind::Dhcpcd, ResolverKind::Openresolv, Traces { protocol: "dhcp", lease: true }).await
});

lab_test!(udhcpc_leaves_boot_routes_and_no_lease, async {
    try_dhcp(DhcpKind::Udhcpc, ResolverKind::File, Traces { protocol: "boot", lease: false }).await
});

lab_test!(systemd_networkd_leaves_dhcp_routes_and_tells_systemd_resolved, async {
    let traces = Traces { protocol: "dhcp", lease: true };
    try_dhcp(DhcpKind::SystemdNetworkd, ResolverKind::SystemdResolved, traces).await
});

lab_test!(networkmanager_leaves_dhcp_routes_and_tells_systemd_resolved, async {
    let traces = Traces { protocol: "dhcp", lease: true };
    try_dhcp(DhcpKind::NetworkManager, ResolverKind::SystemdResolved, traces).await
});
