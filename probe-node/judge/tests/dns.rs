//! Who resolves names, in the cases beside the plain ones; each rule beside its fault-free twin.

mod world;

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
fn a_resolver_that_stays_outside_is_told_of_a_moment_after_the_tunnel_came_up() {
    let mut world = World::new(policy());
    world.see(routes_before_resolvers());
    world.assess();
    world.ms += 900;
    world.see(all_vpn());
    assert!(world.assess().findings.is_empty());
    world.ms += 100;
    world.see(all_vpn());
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

#[test]
fn while_the_tunnel_has_long_been_up_a_switched_resolver_is_told_of_at_once() {
    let mut world = World::protected();
    world.network_change();
    world.see(routes_before_resolvers());
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}

#[test]
fn a_resolver_of_home_that_answers_is_told_of_at_once_whatever_has_just_come_up() {
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([resolver("198.51.100.53")]);
    world.assess();
    assert_eq!(world.titles(), ["DNS leaves the tunnel"]);
}
