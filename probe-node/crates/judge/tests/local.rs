//! DNS, routes, the tunnel, latency and the other nodes; each rule beside its fault-free twin.

mod world;

use sentinel_judge::Judge;
use sentinel_model::*;
use world::*;

#[test]
fn a_resolver_of_home_is_a_leak_and_its_return_resolves() {
    let mut world = World::protected();
    world.see([resolver("198.51.100.53")]);
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
    assert_eq!(
        world.notices[0].body,
        "Names are answered by 198.51.100.53 (Example ISP) instead of inside wg0 since 00:00:03. \
         Check the DNS setting of your VPN."
    );
    world.see([resolver(VPN)]);
    world.pass(10, all_vpn);
    assert_eq!(world.titles()[1..], ["DNS is inside the tunnel again"]);
    assert_eq!(world.verdict(), Verdict::Protected);
}

#[test]
fn a_resolver_reached_outside_the_tunnel_is_a_leak() {
    let mut world = World::protected();
    world.see([configured("192.168.1.1"), route_for(RoutePurpose::Resolver, "192.168.1.1", "eth0")]);
    assert_eq!(kinds(&world.assess()), [FindingKind::DnsLeak]);
    let mut twin = World::protected();
    twin.see([configured("10.64.0.9"), route_for(RoutePurpose::Resolver, "10.64.0.9", "wg0")]);
    assert!(twin.assess().shown.findings.is_empty());
}

#[test]
fn silence_does_not_end_a_leak() {
    let mut world = World::protected();
    world.see([resolver("198.51.100.53")]);
    world.assess();
    world.pass(200, || {
        let failed = Fact::Resolver(ResolverSeen {
            path: ResolverPath::System,
            zone: "c.probe.example".to_owned(),
            resolvers: Outcome::Unknown(Reason::TimedOut),
        });
        vec![failed, exit(FRA, VPN), exit(SERVER, VPN)]
    });
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
    assert_eq!(world.verdict(), Verdict::Unverified);
}

#[test]
fn a_third_partys_resolver_inside_the_tunnel_is_no_leak() {
    let mut world = World::protected();
    world.see([resolver("9.9.9.9")]);
    let assessment = world.assess();
    assert_eq!(kinds(&assessment), [FindingKind::DnsForeignResolver]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected);
    assert!(
        assessment
            .shown
            .verdict
            .sentence
            .ends_with("names are resolved through the tunnel by 9.9.9.9 (Quad9).")
    );
    assert!(world.notices.is_empty());
}

#[test]
fn two_names_that_are_bogons_for_this_machine_alone_are_tampered_with() {
    let answers = |name: &str, path, address: &str| {
        let answer =
            ResolvedName { addresses: vec![Attributed::bare(ip(address))], ..ResolvedName::default() };
        Fact::Answers(AnswersSeen { name: name.to_owned(), path, answer: Outcome::Measured(answer) })
    };
    let panel = |name: &str, ours: &str| {
        vec![
            answers(name, AnswerPath::System, ours),
            answers(name, AnswerPath::Public("one".into()), "192.0.2.80"),
            answers(name, AnswerPath::Public("two".into()), "192.0.2.80"),
        ]
    };
    let found = |a: &str, b: &str| {
        let mut world = World::protected();
        world.see(panel("a.example", a));
        world.see(panel("b.example", b));
        kinds(&world.assess())
    };
    assert_eq!(found("10.0.0.1", "10.0.0.1"), [FindingKind::DnsTampering]);
    assert!(found("10.0.0.1", "192.0.2.80").is_empty(), "one name is not enough");
    assert!(found("192.0.2.99", "192.0.2.98").is_empty(), "content networks answer differently everywhere");
}

#[test]
fn a_route_outside_the_tunnel_exposes_at_once_and_notifies_after_its_delay() {
    let mut world = World::protected();
    world.see([route("8.8.8.8", "eth0")]);
    let assessment = world.assess();
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Exposed);
    assert_eq!(assessment.shown.verdict.sentence, "Packets to 8.8.8.8 leave by eth0 instead of wg0.");
    assert!(world.notices.is_empty());
    world.pass(2, all_vpn);
    assert_eq!(world.titles(), ["Traffic leaves outside the tunnel"]);
}

#[test]
fn ipv6_past_an_ipv4_tunnel_is_found() {
    let mut world = World::protected();
    world.see([route("2620:fe::fe", "eth0")]);
    let assessment = world.assess();
    let families: Vec<_> = assessment.shown.findings.iter().map(|f| (f.kind, f.family)).collect();
    assert_eq!(families, [(FindingKind::RouteOutsideTunnel, Some(Family::V6))]);
    let mut twin = World::protected();
    twin.see([route("2620:fe::fe", "wg0"), route("192.168.1.1", "eth0")]);
    assert!(twin.assess().shown.findings.is_empty());
}

#[test]
fn a_tunnel_that_is_gone_is_suspect_until_voices_show_more() {
    let mut world = World::protected();
    world.network_change();
    world.see([interfaces(false), route("8.8.8.8", "eth0"), route("1.1.1.1", "eth0")]);
    let assessment = world.assess();
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Suspect);
    assert_eq!(assessment.shown.verdict.sentence, "The tunnel wg0 is gone.");
    assert!(assessment.remeasure);
    world.pass(7, Vec::new);
    assert_eq!(world.titles(), ["The tunnel is down"]);
}

#[test]
fn one_event_yields_one_notice() {
    let mut world = World::protected();
    world.network_change();
    world.see([
        interfaces(false),
        route("8.8.8.8", "eth0"),
        configured("198.51.100.53"),
        resolver("198.51.100.53"),
    ]);
    world.assess();
    world.ms += 50;
    world.see(all_home());
    world.assess();
    world.pass(30, all_home);
    assert_eq!(world.titles(), ["Your real address is visible"]);
}

fn trips(fra: u32, server: u32, oslo: u32) -> Vec<Fact> {
    let mut facts = all_vpn();
    facts.extend([trip(FRA, fra), trip(SERVER, server), trip(OSLO, oslo)]);
    facts
}

#[test]
fn two_of_three_faster_paths_are_suspect_and_one_is_not() {
    let mut world = World::protected();
    assert!(world.pass(40, || trips(80, 90, 100)).shown.findings.is_empty());
    let mut one = World { judge: world.judge.clone(), ms: world.ms, ..World::new(policy()) };
    let assessment = world.pass(6, || trips(30, 40, 100));
    assert_eq!(kinds(&assessment), [FindingKind::LatencyDrop]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Suspect);
    assert_eq!(assessment.shown.findings[0].severity, Severity::Warning);
    assert!(one.pass(6, || trips(30, 90, 100)).shown.findings.is_empty());
    world.pass(40, || trips(80, 90, 100));
    assert_eq!(world.titles(), ["The path became faster than your VPN", "The path is steady again"]);
}

#[test]
fn a_single_target_never_decides() {
    let mut world = World::protected();
    world.pass(40, || vec![exit(FRA, VPN), exit(SERVER, VPN), trip(FRA, 80)]);
    assert!(
        world.pass(20, || vec![exit(FRA, VPN), exit(SERVER, VPN), trip(FRA, 20)]).shown.findings.is_empty()
    );
}

#[test]
fn a_line_that_was_full_and_is_free_again_is_no_drop() {
    let mut world = World::protected();
    world.pass(70, || trips(40, 50, 60));
    world.pass(150, || trips(120, 130, 140));
    let relieved = world.pass(60, || trips(40, 50, 60));
    assert_eq!((kinds(&relieved), relieved.shown.verdict.verdict), (vec![], Verdict::Protected));
    let fallen = world.pass(10, || trips(15, 20, 25));
    assert_eq!(kinds(&fallen), [FindingKind::LatencyDrop], "faster than it has ever been");
}

#[test]
fn after_a_wake_round_trips_are_judged_only_once_a_round_has_run() {
    let mut world = World::protected();
    world.pass(40, || trips(80, 90, 100));
    world.ms += 3_600_000;
    let now = world.now();
    world.judge.handle_wake(now);
    world.network_change();
    world.see(tunnelled());
    assert!(world.pass(10, || trips(30, 40, 50)).shown.findings.is_empty());
    let (epoch, now) = (world.epoch, world.now());
    world.judge.finish_round(epoch, now);
    assert_eq!(kinds(&world.pass(6, || trips(30, 40, 50))), [FindingKind::LatencyDrop]);
}

fn node(heard: u64, leaving: bool) -> NodeView {
    NodeView {
        id: NodeId("12D3KooWhome".into()),
        name: "home-server".into(),
        role: NodeRole::Home,
        is_self: false,
        reachability: Reachability::Direct,
        name_error: None,
        announced: Some(Announcement {
            verdict: Verdict::Off,
            since: Timestamp(0),
            open_incidents: 0,
            leaving,
            home_exit: Vec::new(),
            at: moment(heard).wall,
        }),
        last_heard: Some(moment(heard).wall),
    }
}

#[test]
fn a_silent_node_is_reported_unless_it_said_goodbye() {
    for (leaving, expected) in
        [(false, vec!["home-server has fallen silent", "home-server is back"]), (true, vec![])]
    {
        let mut world = World::protected();
        world.judge.update_nodes(&[node(3_000, leaving)]);
        world.pass(70, all_vpn);
        world.judge.update_nodes(&[node(73_000, leaving)]);
        world.pass(10, all_vpn);
        assert_eq!(world.titles(), expected);
    }
}

#[test]
fn a_sleep_neither_silences_nor_revives_a_node() {
    let mut world = World::protected();
    world.judge.update_nodes(&[node(3_000, false)]);
    world.pass(70, all_vpn);
    world.ms += 3_600_000;
    let now = world.now();
    world.judge.handle_wake(now);
    world.judge.update_nodes(&[node(3_000, false)]);
    world.pass(20, all_vpn);
    assert_eq!(world.titles(), ["home-server has fallen silent"]);
}

#[test]
fn an_acknowledgement_is_recorded_once() {
    let mut world = World::protected();
    world.see(all_home());
    let incident = world.assess().shown.incidents[0].id.clone();
    let now = world.now();
    assert!(world.judge.acknowledge(&incident, now));
    assert!(!world.judge.acknowledge(&IncidentId("none".into()), now));
    assert_eq!(world.assess().changed[0].acknowledged, Some(now.wall));
    assert!(world.assess().changed.is_empty());
}

#[test]
fn a_rule_without_notices_still_records() {
    let mut policy = policy();
    policy.rules.iter_mut().for_each(|rule| rule.notify = false);
    let mut world = World { judge: Judge::new(policy.clone(), moment(0)), ..World::new(policy) };
    world.see(tunnelled());
    world.pass(1, all_vpn);
    world.pass(5, all_home);
    assert_eq!(world.changed.len(), 1);
    assert!(world.notices.is_empty());
}

/// A resolver behind a forwarder on this machine, which asks it bound to a link.
fn behind(address: &str, link: &str, role: ResolverRole) -> ConfiguredResolver {
    ConfiguredResolver { address: ip(address), interface: Some(link.to_owned()), role }
}

/// The configuration of a machine whose applications ask systemd-resolved's listener, and its
/// routes.
fn through_a_forwarder(servers: &[ConfiguredResolver]) -> Vec<Fact> {
    let listener =
        ConfiguredResolver { address: ip("127.0.0.53"), interface: None, role: ResolverRole::First };
    let loopback =
        RouteTaken { interface: "lo".to_owned(), kind: InterfaceKind::Loopback, gateway: None, source: None };
    let mut facts = vec![
        Fact::ResolverConfig(Outcome::Measured([&[listener], servers].concat())),
        Fact::Route(RouteSeen {
            destination: ip("127.0.0.53"),
            purpose: RoutePurpose::Resolver,
            taken: Outcome::Measured(loopback),
            origin: None,
            traffic: None,
        }),
    ];
    facts.extend(servers.iter().map(|server| {
        let link = server.interface.as_deref().unwrap_or("eth0");
        route_for(RoutePurpose::Resolver, &server.address.to_string(), link)
    }));
    facts
}

#[test]
fn a_forwarder_that_asks_a_server_outside_the_tunnel_is_a_leak() {
    use ResolverRole::{Forwarded, Scoped, Unspecified};
    let judged = |wired: ResolverRole| {
        let mut world = World::protected();
        world.see(through_a_forwarder(&[
            behind("10.64.0.1", "wg0", Forwarded),
            behind("192.168.1.1", "wlan0", wired),
        ]));
        world.assess()
    };
    // Both links are default routes: the Wi-Fi's router is asked every name.
    let leak = judged(Forwarded);
    assert_eq!(kinds(&leak), [FindingKind::DnsLeak]);
    assert!(
        leak.shown.findings[0].evidence.iter().any(|each| each.saw.contains("192.168.1.1 leave by wlan0"))
    );
    // `~.` on the tunnel: the router is asked for its own domain's names at most.
    assert!(judged(Scoped).shown.findings.is_empty());
    // The forwarder does not say: what it would do is not guessed.
    assert!(judged(Unspecified).shown.findings.is_empty());
}

#[test]
fn the_link_a_forwarder_is_bound_to_counts_and_not_the_route_to_the_server() {
    // All routes lead into the tunnel, but the forwarder's queries are bound to the wire.
    let judged = |link: &str| {
        let mut world = World::protected();
        let servers = [behind("9.9.9.9", link, ResolverRole::Forwarded)];
        world.see(through_a_forwarder(&servers));
        world.see([route_for(RoutePurpose::Resolver, "9.9.9.9", "wg0"), route("9.9.9.9", "wg0")]);
        kinds(&world.assess())
    };
    assert_eq!(judged("eth0"), [FindingKind::DnsLeak]);
    assert_eq!(judged("wg0"), []);
}

#[test]
fn a_server_that_is_asked_when_the_first_fails_is_no_leak() {
    let judged = |role: ResolverRole| {
        let mut world = World::protected();
        let servers = [("10.64.0.9", ResolverRole::First), ("192.168.1.1", role)]
            .map(|(address, role)| ConfiguredResolver { address: ip(address), interface: None, role });
        world.see([
            Fact::ResolverConfig(Outcome::Measured(servers.to_vec())),
            route_for(RoutePurpose::Resolver, "10.64.0.9", "wg0"),
            route_for(RoutePurpose::Resolver, "192.168.1.1", "eth0"),
        ]);
        kinds(&world.assess())
    };
    assert_eq!(judged(ResolverRole::Fallback), []);
    assert_eq!(judged(ResolverRole::First), [FindingKind::DnsLeak]);
}

#[test]
fn a_link_local_resolver_of_the_wire_is_a_leak() {
    let judged = |link: &str| {
        let mut world = World::protected();
        let server = behind("fe80::1", link, ResolverRole::First);
        world.see([Fact::ResolverConfig(Outcome::Measured(vec![server]))]);
        kinds(&world.assess())
    };
    assert_eq!(judged("eth0"), [FindingKind::DnsLeak]);
    assert_eq!(judged("wg0"), []);
}
