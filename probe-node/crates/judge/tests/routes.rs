//! Which interface is the tunnel, and which routes are outside it; each rule beside its fault-free
//! twin.

mod world;

use InterfaceKind::{Loopback, Physical, Tunnel};
use sentinel_judge::Policy;
use sentinel_model::*;
use world::*;

const SPREAD: [&str; 5] = ["1.1.1.1", "8.8.8.8", "40.0.0.1", "120.0.0.1", "200.0.0.1"];
const WITNESS: &str = "192.0.2.30";

fn links(of: &[(&str, InterfaceKind, Option<&str>)]) -> Fact {
    let link = |(name, kind, net): &(&str, InterfaceKind, Option<&str>)| Interface {
        name: (*name).to_owned(),
        kind: *kind,
        up: true,
        addresses: net.iter().filter_map(|net| net.parse().ok()).collect(),
    };
    Fact::Interfaces(Outcome::Measured(of.iter().map(link).collect()))
}

fn way_for(purpose: RoutePurpose, destination: &str, interface: &str, kind: InterfaceKind) -> Fact {
    let Fact::Route(route) = route_for(purpose, destination, interface) else { unreachable!() };
    let taken = route.taken.map(|taken| RouteTaken { kind, ..taken });
    Fact::Route(RouteSeen { taken, ..route })
}

/// Routes that all leave by one interface.
fn all_by(interface: &str, kind: InterfaceKind) -> Vec<Fact> {
    SPREAD.iter().map(|to| way_for(RoutePurpose::Spread, to, interface, kind)).collect()
}

const WIRE: (&str, InterfaceKind, Option<&str>) = ("eth0", Physical, None);
const LAN: (&str, InterfaceKind, Option<&str>) = ("eth1", Physical, Some("192.168.1.1/24"));
const PPP: (&str, InterfaceKind, Option<&str>) = ("ppp0", Tunnel, Some("198.51.100.142/32"));
const WG: (&str, InterfaceKind, Option<&str>) = ("wg0", Tunnel, Some("10.64.0.2/32"));

/// A host on a PPP line with a working VPN over it.
fn vpn_over_ppp() -> World {
    let mut world = World::new(policy());
    world.see([links(&[WIRE, PPP, WG])]);
    world.see(all_by("wg0", Tunnel));
    assert_eq!(world.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected);
    world
}

#[test]
fn an_access_line_is_no_tunnel_and_a_vpn_over_it_is() {
    let mut world = World::new(policy());
    world.see([links(&[WIRE, PPP])]);
    world.see(all_by("ppp0", Tunnel));
    assert_eq!(world.assess().shown.tunnel, None);
    let assessment = world.pass(10, all_home);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Off);
    assert!(world.notices.is_empty(), "{:?}", world.titles());
    let mut over = vpn_over_ppp();
    assert_eq!(over.assess().shown.tunnel.unwrap().interface, "wg0");
    assert_eq!(over.pass(3, all_home).shown.verdict.verdict, Verdict::Exposed);
}

#[test]
fn a_router_on_an_access_line_takes_it_for_no_tunnel_once_voices_see_home() {
    let judged = |through: fn() -> Vec<Fact>| {
        let mut world = World::new(policy());
        world.see([links(&[WIRE, LAN, PPP])]);
        world.see(all_by("ppp0", Tunnel));
        world.assess();
        let assessment = world.pass(10, through);
        assert!(world.notices.is_empty(), "{:?}", world.titles());
        (assessment.shown.verdict.verdict, assessment.shown.tunnel.map(|tunnel| tunnel.interface))
    };
    assert_eq!(judged(all_home), (Verdict::Off, None));
    assert_eq!(judged(all_vpn), (Verdict::Protected, Some("ppp0".to_owned())), "a VPN of that kind");
}

#[test]
fn the_access_line_does_not_replace_a_tunnel_that_is_gone() {
    let mut world = vpn_over_ppp();
    world.network_change();
    world.see([links(&[WIRE, PPP])]);
    world.see(all_by("ppp0", Tunnel));
    let assessment = world.assess();
    assert_eq!(kinds(&assessment), [FindingKind::TunnelDown]);
    assert_eq!(assessment.shown.verdict.sentence, "The tunnel wg0 is gone.");
    assert_eq!(world.pass(2, all_home).shown.verdict.verdict, Verdict::Exposed);
    world.network_change();
    world.see([links(&[WIRE, PPP, WG])]);
    world.see(all_by("wg0", Tunnel));
    assert_eq!(world.pass(10, all_vpn).shown.verdict.verdict, Verdict::Protected);
}

#[test]
fn another_vpn_that_was_up_beside_it_replaces_it_once_voices_see_another_exit() {
    const OTHER: (&str, InterfaceKind, Option<&str>) = ("tailscale0", Tunnel, Some("100.64.0.9/32"));
    let mut world = World::new(policy());
    world.see([links(&[LAN, WG, OTHER])]);
    world.see(all_by("wg0", Tunnel));
    world.pass(3, all_vpn);
    world.network_change();
    world.see([links(&[LAN, OTHER])]);
    world.see(all_by("tailscale0", Tunnel));
    assert_eq!(kinds(&world.assess()), [FindingKind::TunnelDown]);
    let assessment = world.pass(3, all_vpn);
    assert_eq!((kinds(&assessment), assessment.shown.verdict.verdict), (vec![], Verdict::Protected));
    assert_eq!(assessment.shown.tunnel.unwrap().interface, "tailscale0");
    assert!(world.notices.is_empty());
}

#[test]
fn a_tunnel_alone_in_its_namespace_is_a_tunnel() {
    let mut world = World::new(policy());
    world.see([links(&[("lo", Loopback, Some("127.0.0.1/8")), WG])]);
    world.see(all_by("wg0", Tunnel));
    assert_eq!(world.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected);
}

#[test]
fn one_network_behind_a_tunnel_of_its_own_does_not_make_it_the_tunnel() {
    let mut world = World::new(policy());
    world.see([links(&[LAN, ("tun0", Tunnel, Some("10.9.0.2/32"))])]);
    world.see([way_for(RoutePurpose::Witness, WITNESS, "tun0", Tunnel)]);
    assert_eq!(world.assess().shown.tunnel, None, "the first of many destinations");
    world.see(all_by("eth1", Physical));
    let assessment = world.pass(10, all_home);
    assert_eq!((assessment.shown.tunnel, assessment.shown.verdict.verdict), (None, Verdict::Off));
    assert!(world.notices.is_empty());
    let mut twin = World::new(policy());
    twin.see([links(&[LAN, WG]), way_for(RoutePurpose::Witness, WITNESS, "wg0", Tunnel)]);
    twin.see(all_by("wg0", Tunnel));
    assert_eq!(twin.assess().shown.tunnel.unwrap().interface, "wg0", "at once");
}

/// A witness that is also the VPN server, reached outside the tunnel by a host route.
fn own_server(world: &mut World) {
    world.see([way_for(RoutePurpose::Witness, WITNESS, "eth0", Physical)]);
}

fn far_end_by(evidence: FarEndEvidence, address: &str) -> Fact {
    let rtt = Outcome::Unknown(Reason::TimedOut);
    Fact::Underlay(UnderlaySeen { endpoint: ip(address), rtt, evidence, owner: None })
}

fn far_end(address: &str) -> Fact {
    far_end_by(FarEndEvidence::Peer, address)
}

fn host_route(address: &str) -> Vec<Fact> {
    vec![
        far_end_by(FarEndEvidence::HostRoute, address),
        way_for(RoutePurpose::Specific, address, "eth0", Physical),
    ]
}

#[test]
fn every_peer_of_a_tunnel_is_a_far_end() {
    let mut world = World::protected();
    for peer in ["198.18.20.10", "198.18.20.11"] {
        world.see([far_end(peer), way_for(RoutePurpose::Specific, peer, "eth0", Physical)]);
    }
    assert_eq!(kinds(&world.assess()), []);
}

#[test]
fn a_new_host_route_waits_for_the_client_to_name_its_server_and_is_looked_at_again() {
    const OLD: &str = "198.18.20.10";
    const NEW: &str = "198.18.20.11";
    let switching = || {
        let mut world = World::protected();
        world.see([far_end(OLD), way_for(RoutePurpose::Specific, OLD, "eth0", Physical)]);
        assert_eq!(kinds(&world.assess()), []);
        world.see(host_route(NEW));
        assert_eq!(kinds(&world.assess()), [], "the client may be about to name it");
        world
    };
    let mut named = switching();
    named.ms += 200;
    named.see([far_end(NEW)]);
    assert_eq!(kinds(&named.assess()), []);

    let mut unexplained = switching();
    let asked = unexplained.remeasured;
    unexplained.ms += 1_100;
    assert_eq!(kinds(&unexplained.assess()), [], "nothing was looked at since");
    assert_eq!(unexplained.remeasured, asked + 1);
    unexplained.assess();
    assert_eq!(unexplained.remeasured, asked + 1, "once is enough");
    unexplained.see(host_route(NEW));
    unexplained.see([far_end(OLD)]);
    assert_eq!(kinds(&unexplained.assess()), [FindingKind::RouteOutsideTunnel]);
}

#[test]
fn the_route_to_the_far_end_is_outside_the_tunnel_and_the_node_there_sees_home() {
    let seen = || vec![exit(FRA, HOME), exit(SERVER, VPN), exit(OSLO, VPN)];
    let judged_by = |evidence: FarEndEvidence, expectation: Expectation, ends: &[&str]| {
        let mut world = World::new(Policy { expectation, ..policy() });
        world.see(tunnelled());
        world.pass(3, || vec![exit(SERVER, VPN), exit(OSLO, VPN)]);
        own_server(&mut world);
        let reported = || ends.iter().map(|end| far_end_by(evidence, end));
        let assessment = world.pass(5, || reported().chain(seen()).collect());
        (kinds(&assessment), assessment.shown.verdict.verdict)
    };
    let judged = |expectation, ends: &[&str]| judged_by(FarEndEvidence::Peer, expectation, ends);
    let by_route = |expectation, ends: &[&str]| judged_by(FarEndEvidence::HostRoute, expectation, ends);
    let nothing = (vec![], Verdict::Protected);
    assert_eq!(judged(Expectation::default(), &[WITNESS]), nothing);
    let named = |end: &str| Expectation { endpoint: Some(ip(end)), ..Expectation::default() };
    assert_eq!(judged(named(WITNESS), &[]), nothing);
    let (found, verdict) = judged(Expectation::default(), &[]);
    assert_eq!(verdict, Verdict::Exposed, "nothing says that it is the far end");
    assert!(found.contains(&FindingKind::RouteOutsideTunnel));
    assert_eq!(by_route(named("203.0.113.1"), &[WITNESS]).1, Verdict::Exposed, "another one is");
    assert_eq!(
        by_route(Expectation::default(), &[WITNESS, "203.0.113.1"]).1,
        Verdict::Exposed,
        "which is it?"
    );
    assert_eq!(judged(Expectation::default(), &[WITNESS, "203.0.113.1"]), nothing, "both are peers");
}

#[test]
fn a_far_end_that_is_a_witness_hides_no_exposure() {
    let mut world = World::protected();
    own_server(&mut world);
    world.see([far_end(WITNESS)]);
    let assessment = world.pass(2, || vec![exit(FRA, HOME), exit(SERVER, HOME), exit(OSLO, VPN)]);
    assert!(kinds(&assessment).contains(&FindingKind::ExitExposed));
    let mut route = World::protected();
    own_server(&mut route);
    route.see([far_end(WITNESS), way_for(RoutePurpose::Spread, "8.8.8.8", "eth0", Physical)]);
    assert_eq!(route.assess().shown.verdict.verdict, Verdict::Exposed);
}

#[test]
fn a_more_specific_route_counts_as_outside_the_tunnel_and_as_nothing_else() {
    let specific = |interface, kind| way_for(RoutePurpose::Specific, "198.18.0.0", interface, kind);
    let mut world = World::protected();
    world.see([specific("eth0", Physical)]);
    assert_eq!(kinds(&world.assess()), [FindingKind::RouteOutsideTunnel]);
    let mut twin = World::protected();
    twin.see([specific("wg0", Tunnel)]);
    assert!(twin.assess().shown.findings.is_empty());
    let mut without = World::new(policy());
    without.see([links(&[LAN, WG]), specific("wg0", Tunnel)]);
    assert_eq!(without.pass(3, all_home).shown.tunnel, None, "it makes no tunnel");
}

#[test]
fn a_destination_looked_up_for_two_reasons_is_judged_for_both() {
    let mut world = World::protected();
    world.see([
        way_for(RoutePurpose::Witness, WITNESS, "eth0", Physical),
        way_for(RoutePurpose::Resolver, WITNESS, "eth0", Physical),
        way_for(RoutePurpose::Specific, WITNESS, "eth0", Physical),
    ]);
    let assessment = world.assess();
    assert_eq!(assessment.shown.verdict.sentence, "Packets to 192.0.2.30 leave by eth0 instead of wg0.");
}

#[test]
fn where_the_tunnel_is_stated_every_other_interface_is_outside() {
    let judged = |interface: Option<&str>, by: &str, kind| {
        let interface = interface.map(str::to_owned);
        let expectation = Expectation { interface, ..Expectation::default() };
        let mut world = World::new(Policy { expectation, ..policy() });
        world.see(tunnelled());
        world.see([links(&[LAN, WG, (by, kind, Some("10.9.0.2/32"))])]);
        world.see(all_by(by, kind));
        let assessment = world.pass(3, all_vpn);
        (kinds(&assessment), assessment.shown.verdict.verdict)
    };
    let outside = (vec![FindingKind::RouteOutsideTunnel], Verdict::Exposed);
    assert_eq!(judged(Some("wg0"), "tun0", Tunnel), outside);
    assert_eq!(judged(Some("wg0"), "vnet0", InterfaceKind::Virtual), outside);
    assert_eq!(judged(Some("wg0"), "wg0", Tunnel), (vec![], Verdict::Protected));
    assert_eq!(judged(None, "tun0", Tunnel), (vec![], Verdict::Protected));
}

#[test]
fn where_the_tunnel_is_stated_a_resolver_by_another_is_outside_and_a_container_is_not() {
    let judged = |resolver: &str, by: &str, kind| {
        let expectation = Expectation { interface: Some("wg0".to_owned()), ..Expectation::default() };
        let mut world = World::new(Policy { expectation, ..policy() });
        world.see(tunnelled());
        world.see([configured(resolver), way_for(RoutePurpose::Resolver, resolver, by, kind)]);
        kinds(&world.pass(3, all_vpn)).contains(&FindingKind::DnsLeak)
    };
    assert!(judged("10.9.0.1", "tun0", Tunnel));
    assert!(!judged("10.64.0.1", "wg0", Tunnel));
    assert!(!judged("10.88.0.3", "podman0", InterfaceKind::Virtual));
    assert!(!judged("127.0.0.1", "lo", Loopback));
}
