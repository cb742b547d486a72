//! The Linux platform against the kernel: on this machine, and in network namespaces of the tests.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, rdata::TXT},
};
use sentinel_checks::{
    Change, Checks, Ownership, PacketKind, Platform, Probe, ProbeReply, RoundPlan, RouteSample, clock,
    default_spread, platform,
};
use sentinel_model::{
    ConfiguredResolver, Fact, InterfaceKind, Outcome, Reason, ResolverPath, ResolverRole, ResolverSeen,
    RouteTaken,
};
use std::{
    net::IpAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    EPOCH, Machine, because, checks_on, gathered,
    namespace::{beyond, in_namespace, ip},
    settings,
};
use tokio::{net::UdpSocket, sync::mpsc, time::timeout};

#[tokio::test]
async fn local_facts_are_reported_within_milliseconds() {
    let mut settings = settings();
    settings.spread = default_spread();
    let checks = Checks::new(settings, platform().unwrap(), Ownership::default(), clock()).unwrap();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let facts = gathered(async |out| checks.local(EPOCH, &RoundPlan::default(), out).await).await;
        fastest = fastest.min(started.elapsed());
        let interfaces =
            facts.iter().find_map(|fact| if let Fact::Interfaces(found) = fact { Some(found) } else { None });
        let interfaces = interfaces.unwrap().measured().unwrap();
        assert!(interfaces.iter().any(|interface| interface.kind == InterfaceKind::Loopback));
        let routes = facts.iter().filter(|fact| matches!(fact, Fact::Route(_))).count();
        assert!(routes >= default_spread().len());
        assert!(facts.iter().any(|fact| matches!(fact, Fact::ResolverConfig(Outcome::Measured(_)))));
        assert!(matches!(facts.last(), Some(Fact::Connectivity(_))));
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[tokio::test]
async fn the_route_to_this_machine_is_loopback() {
    let taken = platform().unwrap().find_route(PacketKind::web("127.0.0.1".parse().unwrap())).await;
    assert_eq!(taken.measured().map(|taken| taken.kind), Some(InterfaceKind::Loopback));
}

async fn route(platform: &Arc<dyn Platform>, destination: &str) -> Outcome<RouteTaken> {
    platform.find_route(PacketKind::web(destination.parse().unwrap())).await
}

async fn interface(platform: &Arc<dyn Platform>, destination: &str) -> (String, InterfaceKind) {
    let taken = route(platform, destination).await;
    let taken = taken.measured().unwrap_or_else(|| panic!("{destination}: {taken:?}"));
    (taken.interface.clone(), taken.kind)
}

#[test]
fn the_most_specific_route_and_the_rules_decide() {
    in_namespace(async || {
        let platform = platform().unwrap();
        assert_eq!(because(&route(&platform, "203.0.113.1").await), &Reason::Unreachable);
        assert_eq!(because(&route(&platform, "2001:db8:2::1").await), &Reason::Unreachable);

        ip("route add default via 192.0.2.1");
        ip("-6 route add default via 2001:db8:1::1");
        ip("tuntap add mode tun dev tun0");
        ip("link set tun0 up");
        ip("addr add 10.8.0.2/24 dev tun0");
        let physical = ("eth0".to_owned(), InterfaceKind::Physical);
        assert_eq!(interface(&platform, "203.0.113.1").await, physical);
        assert_eq!(interface(&platform, "2001:db8:2::1").await, physical);
        let taken = route(&platform, "203.0.113.1").await;
        let taken = taken.measured().unwrap();
        assert_eq!(taken.gateway, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(taken.source, Some("192.0.2.2".parse().unwrap()));

        // The tunnel takes both halves of the address space, as OpenVPN does ..
        ip("route add 0.0.0.0/1 dev tun0");
        ip("route add 128.0.0.0/1 dev tun0");
        let tunnel = ("tun0".to_owned(), InterfaceKind::Tunnel);
        assert_eq!(interface(&platform, "203.0.113.1").await, tunnel);
        // .. a more specific route beside it leaks (DHCP option 121) ..
        ip("route add 203.0.113.0/24 via 192.0.2.1");
        assert_eq!(interface(&platform, "203.0.113.1").await, physical);
        assert_eq!(interface(&platform, "198.51.100.1").await, tunnel);
        // .. and a rule takes precedence over every route of the main table.
        ip("route add default dev tun0 table 51820");
        ip("rule add to 203.0.113.0/24 lookup 51820");
        assert_eq!(interface(&platform, "203.0.113.1").await, tunnel);

        for kind in ["unreachable", "blackhole", "prohibit"] {
            ip(&format!("route replace {kind} 198.51.100.0/24"));
            assert_eq!(because(&route(&platform, "198.51.100.1").await), &Reason::Unreachable, "{kind}");
            ip(&format!("route del {kind} 198.51.100.0/24"));
            ip(&format!("-6 route add {kind} 2001:db8:9::/48"));
            assert_eq!(
                because(&route(&platform, "2001:db8:9::1").await),
                &Reason::Unreachable,
                "{kind} IPv6"
            );
            ip(&format!("-6 route del {kind} 2001:db8:9::/48"));
        }
    });
}

#[test]
fn a_network_with_a_route_of_its_own_is_found_in_a_long_table_and_by_concurrent_questions() {
    in_namespace(async || {
        // Kept open, or the interface would not be up.
        let _tunnel =
            tun_rs::DeviceBuilder::new().name("tun0").build_sync().expect("/dev/net/tun can be used");
        ip("link set tun0 up");
        ip("route add 198.51.100.0/24 via 192.0.2.1");
        ip("-6 route add 2001:db8:9::/48 via 2001:db8:1::1");
        for third in 0..=250 {
            ip(&format!("route add 203.0.{third}.0/24 dev tun0"));
        }
        let platform = platform().unwrap();
        let expected: Vec<IpAddr> =
            ["198.51.100.1", "2001:db8:9::1"].map(|inside| inside.parse().unwrap()).to_vec();
        for _ in 0..20 {
            let (first, interfaces, second) =
                tokio::join!(platform.sample_routes(), platform.list_interfaces(), platform.sample_routes());
            let destinations = |samples: &Outcome<Vec<RouteSample>>| {
                let samples = samples.measured().unwrap();
                samples.iter().map(|sample| sample.packet.destination).collect::<Vec<_>>()
            };
            assert!(destinations(&first).starts_with(&expected), "those past the tunnel first: {first:?}");
            assert_eq!(second, first);
            assert!(interfaces.measured().is_some(), "{interfaces:?}");
        }
    });
}

#[test]
fn interfaces_show_their_kind_state_and_addresses() {
    in_namespace(async || {
        ip("tuntap add mode tun dev tun0");
        ip("link add br0 type bridge");
        let platform = platform().unwrap();
        let found = platform.list_interfaces().await;
        let found = found.measured().unwrap();
        let of = |name: &str| found.iter().find(|interface| interface.name == name).unwrap();
        assert_eq!((of("lo").kind, of("lo").up), (InterfaceKind::Loopback, true));
        assert_eq!((of("eth0").kind, of("eth0").up), (InterfaceKind::Physical, true));
        assert!(of("eth0").addresses.contains(&"192.0.2.2/24".parse().unwrap()));
        assert!(of("eth0").addresses.contains(&"2001:db8:1::2/64".parse().unwrap()));
        assert_eq!((of("tun0").kind, of("tun0").up), (InterfaceKind::Tunnel, false));
        assert_eq!(of("br0").kind, InterfaceKind::Sink, "a bridge without a port");
    });
}

/// Waits for a change and returns how long it took to arrive.
async fn wait_for(rx: &mut mpsc::Receiver<Change>, wanted: Change) -> Duration {
    let started = Instant::now();
    while timeout(Duration::from_secs(5), rx.recv())
        .await
        .unwrap_or_else(|_| panic!("{wanted:?} was not reported"))
        != Some(wanted)
    {}
    started.elapsed()
}

#[test]
fn every_kind_of_change_is_reported_at_once() {
    in_namespace(async || {
        let platform = platform().unwrap();
        let mut rx = platform.watch_changes().unwrap();
        for (arguments, change) in [
            ("link set eth0 down", Change::Link),
            ("link set eth0 up", Change::Link),
            ("addr add 192.0.2.3/24 dev eth0", Change::Address),
            ("-6 addr add 2001:db8:1::3/64 dev eth0 nodad", Change::Address),
            ("route add 203.0.113.0/24 via 192.0.2.1", Change::Route),
            ("route del 203.0.113.0/24", Change::Route),
            ("-6 route add 2001:db8:9::/48 dev eth0", Change::Route),
            ("rule add from 192.0.2.3 lookup 100", Change::Rule),
            ("-6 rule add from 2001:db8:1::3 lookup 100", Change::Rule),
            ("addr del 192.0.2.3/24 dev eth0", Change::Address),
            ("link del eth0", Change::Link),
        ] {
            // Let the effects of the previous command settle: equal changes are reported as one.
            while timeout(Duration::from_millis(300), rx.recv()).await.is_ok() {}
            ip(arguments);
            let took = wait_for(&mut rx, change).await;
            assert!(took < Duration::from_millis(200), "{arguments}: {took:?}");
        }
    });
}

#[test]
fn a_quiet_network_reports_no_change() {
    in_namespace(async || {
        let platform = platform().unwrap();
        let mut rx = platform.watch_changes().unwrap();
        while timeout(Duration::from_secs(2), rx.recv()).await.is_ok() {}
        let _ = (route(&platform, "192.0.2.1").await, platform.list_interfaces().await);
        assert!(timeout(Duration::from_millis(1500), rx.recv()).await.is_err());
    });
}

/// Starts a resolver with this egress address, which denies all names outside the canary zone.
async fn resolver(address: &str, egress: &str) {
    let socket = UdpSocket::bind((address, 53)).await.unwrap();
    let egress = egress.to_owned();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let request = Message::from_vec(&buffer[..length]).unwrap();
            let name = request.queries[0].name().clone();
            let mut response = request.into_response();
            if name.to_string().ends_with(".c.probe.example.") {
                response.add_answer(Record::from_rdata(name, 0, RData::TXT(TXT::new(vec![egress.clone()]))));
            } else {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
        }
    });
}

fn of_path<'a>(facts: &'a [Fact], path: &ResolverPath, zone: &str) -> &'a ResolverSeen {
    let seen = facts.iter().find_map(|fact| match fact {
        Fact::Resolver(seen) if seen.path == *path && seen.zone == zone => Some(seen),
        _ => None,
    });
    seen.unwrap_or_else(|| panic!("{path:?} {zone}: {facts:?}"))
}

#[test]
fn a_canary_zone_reveals_the_resolver_behind_the_system_and_behind_each_server() {
    // Port 53 is free in a namespace of its own.
    in_namespace(async || {
        let (silent, honest) = ("127.0.0.8", "127.0.0.9");
        let _silent = UdpSocket::bind((silent, 53)).await.unwrap();
        resolver(honest, "203.0.113.53").await;
        let configured = [silent, honest].map(|address| address.parse::<IpAddr>().unwrap());
        let resolvers = configured
            .map(|address| ConfiguredResolver { address, interface: None, role: ResolverRole::First })
            .to_vec();
        let machine = Machine { resolvers: Outcome::Measured(resolvers), ..Machine::default() };
        let checks = checks_on(settings(), machine);
        let zones = ["c.probe.example", "denied.example"].map(str::to_owned).to_vec();
        let plan = RoundPlan { witnesses: Vec::new(), canary_zones: zones, ..RoundPlan::default() };
        let facts = gathered(async |out| checks.round(EPOCH, &plan, out).await).await;

        let egress = |path: &ResolverPath| {
            let seen = of_path(&facts, path, "c.probe.example").resolvers.clone();
            seen.map(|resolvers| resolvers.iter().map(|seen| seen.address.to_string()).collect::<Vec<_>>())
        };
        let expected = Outcome::Measured(vec!["203.0.113.53".to_owned()]);
        // The system's resolver asks the second server when the first is silent.
        assert_eq!(egress(&ResolverPath::System), expected);
        assert_eq!(egress(&ResolverPath::Configured(configured[1])), expected);
        assert_eq!(egress(&ResolverPath::Configured(configured[0])), Outcome::Unknown(Reason::TimedOut));
        let denied = of_path(&facts, &ResolverPath::Configured(configured[1]), "denied.example");
        assert!(matches!(because(&denied.resolvers), Reason::Malformed(_)));
    });
}

/// Makes the neighbour a router that forwards, with 192.0.2.1 on the link to `eth0`.
fn start_router() {
    beyond("ip addr add 192.0.2.1/24 dev far0");
    beyond("ip addr add 203.0.113.7/32 dev lo");
    beyond("ip route add default via 192.0.2.99");
    beyond("sysctl -qw net.ipv4.ip_forward=1");
    ip("route add default via 192.0.2.1");
}

async fn send_probe(destination: &str, interface: Option<&str>, hops: Option<u8>) -> Outcome<ProbeReply> {
    let probe = Probe {
        destination: destination.parse().unwrap(),
        interface: interface.map(str::to_owned),
        hop_limit: hops,
        budget: Duration::from_millis(800),
    };
    platform().unwrap().send_probe(&probe).await
}

#[test]
fn a_probe_is_answered_by_the_router_where_its_hop_limit_ends_and_by_the_far_end() {
    in_namespace(async || {
        let nowhere = send_probe("198.51.100.1:33434", None, Some(1)).await;
        assert_eq!(because(&nowhere), &Reason::Unreachable);
        start_router();
        // The tunnel takes all traffic; only a packet bound to an interface gets past it.
        ip("tuntap add mode tun dev tun0");
        ip("link set tun0 up");
        ip("route add 0.0.0.0/1 dev tun0");
        ip("route add 128.0.0.0/1 dev tun0");
        ip("route add 203.0.113.7/32 via 192.0.2.1");
        let router: IpAddr = "192.0.2.1".parse().unwrap();
        let expired = send_probe("198.51.100.1:33434", Some("eth0"), Some(1)).await;
        assert_eq!(expired.measured().map(|echo| echo.responder), Some(router), "{expired:?}");
        let far = send_probe("203.0.113.7:33434", None, None).await;
        assert_eq!(
            far.measured().map(|echo| echo.responder),
            Some("203.0.113.7".parse().unwrap()),
            "{far:?}"
        );
        let unbound = send_probe("198.51.100.1:33434", None, Some(1)).await;
        assert!(unbound.measured().is_none(), "{unbound:?}");
    });
}

#[test]
fn a_local_firewall_refuses_a_probe_and_without_it_the_path_is_open() {
    in_namespace(async || {
        start_router();
        let open = send_probe("198.51.100.1:33434", Some("eth0"), Some(1)).await;
        assert!(open.measured().is_some(), "{open:?}");
        for verdict in ["drop", "reject"] {
            let rules = format!(
                "add table inet k; add chain inet k out {{ type filter hook output priority 0; }}; \
                 add rule inet k out oifname eth0 {verdict}"
            );
            assert!(Command::new("nft").arg(rules).status().expect("nft(8) is installed").success());
            let closed = send_probe("198.51.100.1:33434", Some("eth0"), Some(1)).await;
            assert!(matches!(because(&closed), Reason::Refused(_)), "{verdict}: {closed:?}");
            assert!(Command::new("nft").arg("delete table inet k").status().unwrap().success());
        }
    });
}
