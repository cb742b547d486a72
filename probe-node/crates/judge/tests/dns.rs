//! Which resolvers are used, in the less common cases; each rule beside its fault-free twin.

mod world;

use sentinel_judge::Policy;
use sentinel_model::*;
use world::*;

/// The tunnel has just come up, and the client has set the routes but not yet the resolver.
fn routes_before_resolvers() -> Vec<Fact> {
    vec![
        Fact::Connectivity(Connectivity::Online),
        interfaces(true),
        route("8.8.8.8", "wg0"),
        route("1.1.1.1", "wg0"),
        configured("192.168.1.1"),
        route_for(RoutePurpose::Resolver, "192.168.1.1", "eth0"),
    ]
}

fn vpn_resolver() -> Vec<Fact> {
    vec![configured("10.64.0.1"), route_for(RoutePurpose::Resolver, "10.64.0.1", "wg0"), resolver(VPN)]
}

#[test]
fn a_client_that_sets_routes_before_resolvers_leaks_nothing() {
    for known in [false, true] {
        let mut world = if known { World::protected() } else { World::new(policy()) };
        world.network_change();
        world.see([interfaces(false), route("8.8.8.8", "eth0"), route("1.1.1.1", "eth0")]);
        world.assess();
        world.ms += 2_000;
        world.network_change();
        world.see(routes_before_resolvers());
        world.assess();
        world.ms += 50;
        world.assess();
        world.network_change();
        world.see(tunnelled());
        world.see(vpn_resolver());
        world.pass(5, all_vpn);
        assert_eq!(world.verdict(), Verdict::Protected);
        assert!(world.notices.is_empty(), "{:?}", world.titles());
    }
}

#[test]
fn a_resolver_that_stays_outside_is_reported_once_the_tunnel_has_settled() {
    let mut world = World::new(policy());
    world.see(routes_before_resolvers());
    world.assess();
    world.ms += 900;
    world.see(all_vpn());
    assert!(world.assess().shown.findings.is_empty());
    world.ms += 100;
    world.see(all_vpn());
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

#[test]
fn a_resolver_switched_while_the_tunnel_has_long_been_up_is_reported_at_once() {
    let mut world = World::protected();
    world.network_change();
    world.see(routes_before_resolvers());
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

#[test]
fn a_resolver_of_home_that_answers_is_reported_at_once_even_while_the_tunnel_settles() {
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([resolver("198.51.100.53")]);
    world.assess();
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

/// Returns what is found with a resolver under a list of expected ones.
fn under(expected: &[&str], asked: &str, by: &str, egress: &str) -> Vec<FindingKind> {
    let resolvers = expected.iter().map(|text| ip(text)).collect();
    let expectation = Expectation { resolvers, ..Expectation::default() };
    let mut world = World::new(Policy { expectation, ..policy() });
    world.see(tunnelled());
    world.see([configured(asked), route_for(RoutePurpose::Resolver, asked, by), resolver(egress)]);
    kinds(&world.pass(3, all_vpn))
}

#[test]
fn an_expected_resolver_is_identified_by_the_server_asked_its_egress_or_its_operator() {
    let foreign = [FindingKind::DnsForeignResolver];
    assert_eq!(under(&["10.64.0.1"], "10.64.0.1", "wg0", "192.0.2.200"), [], "the server that is asked");
    assert_eq!(under(&["9.9.9.9"], "10.64.0.1", "wg0", "9.9.9.9"), [], "its egress");
    assert_eq!(under(&["9.9.9.9"], "10.64.0.1", "wg0", "9.9.9.77"), [], "the same operator's egress");
    assert_eq!(under(&["9.9.9.9"], "10.64.0.1", "wg0", "192.0.2.200"), foreign);
    assert_eq!(under(&["10.64.0.1"], "10.64.0.9", "wg0", "192.0.2.200"), foreign);
    assert_eq!(under(&["127.0.0.1"], "127.0.0.1", "lo", "192.0.2.200"), [], "a forwarder of one's own");
    assert_eq!(under(&["10.64.0.1"], "127.0.0.1", "lo", "192.0.2.200"), foreign);
}

#[test]
fn an_expected_resolver_leaks_by_its_owner_but_not_by_its_route_alone() {
    assert_eq!(under(&["9.9.9.9"], "9.9.9.9", "eth0", "9.9.9.77"), []);
    assert_eq!(under(&["9.9.9.10"], "9.9.9.9", "eth0", "9.9.9.77"), [FindingKind::DnsLeak]);
    assert_eq!(under(&["9.9.9.9"], "9.9.9.9", "eth0", "198.51.100.53"), [FindingKind::DnsLeak]);
}

#[test]
fn a_foreign_resolver_is_reported_with_the_zone_that_saw_it() {
    let mut world = World::protected();
    world.see([resolver("9.9.9.9")]);
    let findings = world.assess().shown.findings;
    assert_eq!(findings[0].kind, FindingKind::DnsForeignResolver);
    assert_eq!(findings[0].evidence[0].saw, "c.probe.example was asked by 9.9.9.9 (Quad9)");
}

/// The home line is known by its address, its provider by its operator, and no resolver by name.
fn home_by_operator(asn: u32) -> World {
    let resolver_asns = vec![Asn(asn)];
    let mut policy = policy();
    policy.home = Home { resolvers: Vec::new(), resolver_asns, ..policy.home };
    let mut world = World::new(policy);
    world.see(tunnelled());
    world.see(vpn_resolver());
    world.pass(3, all_vpn);
    assert_eq!(world.verdict(), Verdict::Protected);
    world
}

#[test]
fn the_home_providers_resolver_is_identified_by_its_operator() {
    let mut world = home_by_operator(64_500);
    world.see([resolver("198.51.100.53")]);
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

#[test]
fn a_vpn_of_the_home_provider_resolves_names_for_itself() {
    let mut world = home_by_operator(64_510);
    world.see([resolver("203.0.113.53")]);
    assert_eq!(world.verdict(), Verdict::Protected);
    assert!(world.notices.is_empty(), "{:?}", world.titles());
}

/// Returns what is found where programs ask a resolver in another network namespace, and this one
/// asked the authoritative server for it.
fn elsewhere(asker: &str) -> Vec<FindingKind> {
    let mut world = World::protected();
    let facts = || {
        let configure =
            |address: &str, role| ConfiguredResolver { address: ip(address), interface: None, role };
        let configured = vec![
            configure("10.64.0.1", ResolverRole::First),
            configure("192.0.2.200", ResolverRole::ForwardedElsewhere),
        ];
        let mut facts = all_vpn();
        // The same address by this namespace's routes would be inside the tunnel.
        facts.push(route_for(RoutePurpose::Resolver, "192.0.2.200", "wg0"));
        facts.push(route_for(RoutePurpose::Resolver, "10.64.0.1", "wg0"));
        facts.extend([Fact::ResolverConfig(Outcome::Measured(configured)), resolver(asker)]);
        facts
    };
    kinds(&world.pass(5, facts))
}

#[test]
fn a_resolver_asked_from_another_network_namespace_leaks_unless_the_vpn_asks_for_it() {
    assert!(elsewhere("192.0.2.200").contains(&FindingKind::DnsLeak));
    assert!(elsewhere("198.51.100.53").contains(&FindingKind::DnsLeak), "home's");
    assert!(!elsewhere("203.0.113.12").contains(&FindingKind::DnsLeak), "the VPN's own");
}

#[test]
fn a_resolver_on_this_machine_is_judged_by_whom_it_asks_even_at_the_home_address() {
    let with = |interface: &'static str, asker: &'static str| {
        let facts = || {
            let mut facts = all_vpn();
            facts.extend([
                configured(HOME),
                route_for(RoutePurpose::Resolver, HOME, interface),
                resolver(asker),
            ]);
            facts
        };
        kinds(&World::protected().pass(5, facts))
    };
    assert!(!with("lo", VPN).contains(&FindingKind::DnsLeak), "the VPN answers");
    assert!(with("lo", "198.51.100.53").contains(&FindingKind::DnsLeak), "home's resolver answers");
    assert!(with("eth0", VPN).contains(&FindingKind::DnsLeak), "another machine at the home address");
}
