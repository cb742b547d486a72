//! The tunnel: how fast traffic in it can be, what keeps traffic in it, and what may leave outside
//! it on purpose; each rule beside its fault-free twin.

mod world;

use sentinel_judge::{Assessment, Policy};
use sentinel_model::*;
use world::*;

fn underlay(millis: u32) -> Fact {
    Fact::Underlay(UnderlaySeen {
        endpoint: ip("192.0.2.1"),
        rtt: Outcome::Measured(Micros(millis * 1_000)),
        evidence: FarEndEvidence::Peer,
        owner: None,
    })
}

fn trips(fra: u32, server: u32, oslo: u32) -> Vec<Fact> {
    let mut facts = all_vpn();
    facts.extend([trip(FRA, fra), trip(SERVER, server), trip(OSLO, oslo)]);
    facts
}

fn kill_switch(egress: Outcome<PhysicalEgress>) -> Fact {
    Fact::KillSwitch(KillSwitchSeen { interface: "eth0".to_owned(), family: Family::V4, egress })
}

fn kill_switch_over(family: Family, egress: Outcome<PhysicalEgress>) -> Fact {
    Fact::KillSwitch(KillSwitchSeen { interface: "eth0".to_owned(), family, egress })
}

fn open() -> Fact {
    kill_switch(Outcome::Measured(PhysicalEgress::Open { by: ip("192.168.1.1") }))
}

fn closed() -> Fact {
    kill_switch(Outcome::Measured(PhysicalEgress::Closed))
}

fn expecting(expectation: Expectation) -> Policy {
    Policy { expectation, ..policy() }
}

/// A world under this policy whose tunnel is in use.
fn tunnelled_under(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.see(tunnelled());
    world.pass(3, all_vpn);
    world
}

#[test]
fn two_targets_faster_than_the_underlay_are_not_in_the_tunnel() {
    let mut world = World::protected();
    world.see([underlay(21), underlay(20)]);
    let assessment = world.pass(10, || trips(12, 12, 60));
    assert_eq!(kinds(&assessment), [FindingKind::LatencyFloor]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Exposed);
    assert_eq!(assessment.shown.tunnel.unwrap().underlay, Some(Micros(20_000)));
    assert_eq!(
        assessment.shown.findings[0].sentence,
        "home-server and vps-fra answer over IPv4 within 12 ms, but the way to the tunnel's far end alone takes 20 ms."
    );
    assert_eq!(world.titles(), ["Traffic is faster than your tunnel can be"]);
    world.pass(10, || trips(60, 60, 60));
    world.see([underlay(20)]);
    world.pass(30, || trips(60, 60, 60));
    assert_eq!(world.titles()[1..], ["Traffic is as slow as your tunnel again"]);
}

fn floor_found(prepare: impl Fn(&mut World), facts: impl Fn() -> Vec<Fact>) -> bool {
    let mut world = World::protected();
    prepare(&mut world);
    kinds(&world.pass(10, facts)).contains(&FindingKind::LatencyFloor)
}

#[test]
fn round_trips_that_prove_nothing_are_no_floor_finding() {
    let measured = |world: &mut World| world.see([underlay(20), underlay(20)]);
    assert!(floor_found(measured, || trips(12, 12, 12)));
    assert!(!floor_found(measured, || trips(12, 40, 40)), "one target alone");
    assert!(!floor_found(measured, || trips(20, 19, 19)), "as fast as can be");
    assert!(!floor_found(|_| {}, || trips(1, 1, 1)), "no floor known");
    assert!(
        !floor_found(|world| world.see([underlay(20)]), || trips(12, 12, 12)),
        "measured once, perhaps slowly"
    );
    let lossy = |world: &mut World| world.see([underlay(200), underlay(11), underlay(300)]);
    assert!(!floor_found(lossy, || trips(12, 12, 12)), "the smallest is the floor");
    let switched = |world: &mut World| {
        world.see([underlay(90), underlay(90)]);
        world.network_change();
        world.see(tunnelled());
    };
    assert!(!floor_found(switched, || trips(30, 30, 30)), "another server, another floor");
    let gone = |world: &mut World| {
        world.see([underlay(20), underlay(20), interfaces(false)]);
    };
    assert!(!floor_found(gone, || trips(12, 12, 12)), "no tunnel, no floor");
}

#[test]
fn only_a_known_far_end_makes_a_floor() {
    let at = |endpoint: &str, millis: u32| {
        let rtt = Outcome::Measured(Micros(millis * 1_000));
        Fact::Underlay(UnderlaySeen {
            endpoint: ip(endpoint),
            rtt,
            evidence: FarEndEvidence::Peer,
            owner: None,
        })
    };
    let found = |expectation: Expectation, far: &str| {
        let mut world = tunnelled_under(expecting(expectation));
        let silent = Outcome::Unknown(Reason::TimedOut);
        world.see([Fact::Underlay(UnderlaySeen {
            endpoint: ip("192.0.2.1"),
            rtt: silent,
            evidence: FarEndEvidence::Peer,
            owner: None,
        })]);
        world.see([at(far, 90), at(far, 90)]);
        kinds(&world.pass(10, || trips(12, 12, 12))).contains(&FindingKind::LatencyFloor)
    };
    let excluding =
        |net: &str| Expectation { excluded: vec![net.parse().unwrap()], ..Expectation::default() };
    let named = |end: &str| Expectation { endpoint: Some(ip(end)), ..Expectation::default() };
    assert!(!found(Expectation::default(), "203.0.113.200"), "one of the two, but which?");
    assert!(!found(excluding("203.0.113.200/32"), "203.0.113.200"), "past the tunnel on purpose");
    assert!(!found(named("192.0.2.1"), "203.0.113.200"));
    assert!(found(named("203.0.113.200"), "203.0.113.200"));
    assert!(found(excluding("192.0.2.1/32"), "203.0.113.200"), "the only one left");
}

#[test]
fn targets_nearby_or_excluded_say_nothing_about_the_tunnel() {
    let placed = |who: (&'static str, u32), millis, network: &str, exit: Option<&str>| match trip(who, millis)
    {
        Fact::RoundTrip(trip) => {
            let network = NetworkKey::Prefix(network.parse().unwrap());
            let exit = exit.map(attributed);
            Fact::RoundTrip(RoundTrip { target: Voice { network, ..trip.target }, exit, ..trip })
        }
        other => other,
    };
    let found = |networks: [&'static str; 2], exit: Option<&'static str>| {
        let excluded = vec!["198.18.0.0/15".parse().unwrap()];
        let mut world = tunnelled_under(expecting(Expectation { excluded, ..Expectation::default() }));
        world.see([underlay(20), underlay(20)]);
        let facts = || {
            let near = [placed(FRA, 1, networks[0], exit), placed(OSLO, 1, networks[1], exit)];
            all_vpn().into_iter().chain(near).collect()
        };
        kinds(&world.pass(10, facts)).contains(&FindingKind::LatencyFloor)
    };
    assert!(found(["192.0.0.0/16", "203.0.0.0/16"], None));
    assert!(!found(["192.168.0.0/16", "10.0.0.0/16"], None), "the local network");
    assert!(!found(["198.18.0.0/16", "198.19.0.0/16"], None), "excluded");
    assert!(!found(["192.0.0.0/16", "203.0.0.0/16"], Some(HOME)), "that is for the exit to say");
}

#[test]
fn the_floor_corroborates_a_lone_voice_and_a_drop() {
    let mut world = World::protected();
    world.pass(40, || trips(80, 90, 100));
    world.see([underlay(50), underlay(50)]);
    let assessment = world.pass(8, || trips(30, 30, 100));
    let fall = assessment.shown.findings.iter().find(|f| f.kind == FindingKind::LatencyDrop).unwrap();
    assert_eq!(fall.severity, Severity::Critical);
    assert_eq!(world.titles(), ["Traffic is faster than your tunnel can be"], "one event yields one notice");
    world.see([exit(OSLO, HOME)]);
    assert!(kinds(&world.assess()).contains(&FindingKind::ExitExposed));
}

#[test]
fn an_open_kill_switch_is_shown_and_a_finding_only_where_one_is_expected() {
    let judged = |kill_switch: bool, fact: Fact| -> Assessment {
        let mut world = tunnelled_under(expecting(Expectation { kill_switch, ..Expectation::default() }));
        world.see([fact]);
        let assessment = world.pass(2, all_vpn);
        assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected, "nothing has leaked");
        assert!(world.notices.is_empty());
        assessment
    };
    let state = |assessment: &Assessment| assessment.shown.tunnel.as_ref().unwrap().kill_switch;
    let found = judged(true, open());
    assert_eq!(state(&found), Some(KillSwitch::Open));
    assert_eq!(
        (found.shown.findings[0].kind, found.shown.findings[0].severity),
        (FindingKind::KillSwitchOpen, Severity::Warning)
    );
    assert_eq!(found.shown.findings[0].sentence, "Packets bound to eth0 get out past the tunnel over IPv4.");
    for (kill_switch, fact, expected) in [
        (false, open(), Some(KillSwitch::Open)),
        (true, closed(), Some(KillSwitch::Closed)),
        (true, kill_switch(Outcome::Unknown(Reason::TimedOut)), None),
    ] {
        let twin = judged(kill_switch, fact);
        assert!(twin.shown.findings.is_empty());
        assert_eq!(state(&twin), expected);
    }
}

#[test]
fn an_inconclusive_test_leaves_the_kill_switch_as_it_was() {
    let mut world = World::protected();
    world.see([closed(), kill_switch(Outcome::Unknown(Reason::TimedOut))]);
    assert_eq!(world.assess().shown.tunnel.unwrap().kill_switch, Some(KillSwitch::Closed));
    world.network_change();
    assert_eq!(world.assess().shown.tunnel.unwrap().kill_switch, None);
}

#[test]
fn a_tunnel_that_is_gone_behind_a_closed_kill_switch_exposes_nothing() {
    let lost = |egress: Fact| {
        let mut world = World::protected();
        world.network_change();
        world.see([interfaces(false), configured("9.9.9.9"), egress]);
        world.see([route("8.8.8.8", "eth0"), route_for(RoutePurpose::Resolver, "9.9.9.9", "eth0")]);
        world.assess().shown.verdict
    };
    let held = lost(closed());
    assert_eq!(held.verdict, Verdict::Suspect);
    assert_eq!(held.sentence, "The tunnel wg0 is gone. The kill switch holds traffic back.");
    assert_eq!(lost(open()).verdict, Verdict::Exposed, "names leave by eth0");
}

#[test]
fn excluded_networks_may_be_reached_outside_the_tunnel() {
    let judged = |excluded: &[&str]| {
        let excluded = excluded.iter().map(|net| net.parse().unwrap()).collect();
        let mut world = tunnelled_under(expecting(Expectation { excluded, ..Expectation::default() }));
        world.see([
            route("192.0.2.30", "eth0"),
            configured("192.0.2.53"),
            route_for(RoutePurpose::Resolver, "192.0.2.53", "eth0"),
        ]);
        let assessment = world.pass(5, all_vpn);
        (kinds(&assessment), assessment.shown.verdict.verdict)
    };
    assert_eq!(judged(&["192.0.2.0/24"]), (vec![], Verdict::Protected));
    let (kinds, verdict) = judged(&[]);
    assert_eq!(verdict, Verdict::Exposed);
    for kind in [FindingKind::RouteOutsideTunnel, FindingKind::DnsLeak] {
        assert!(kinds.contains(&kind), "{kind}");
    }
}

#[test]
fn a_route_outside_the_tunnel_is_harmless_while_the_kill_switch_is_closed() {
    let judged = |egress: Fact| {
        let mut world = World::protected();
        world.see([egress, route("8.8.8.8", "eth0")]);
        world.assess().shown.verdict.verdict
    };
    assert_eq!(judged(closed()), Verdict::Protected);
    assert_eq!(judged(open()), Verdict::Exposed);
}

#[test]
fn a_kill_switch_tested_for_one_family_blocks_nothing_of_the_other() {
    let judged = |six: Outcome<PhysicalEgress>| {
        let mut world = World::protected();
        world.see([closed(), kill_switch_over(Family::V6, six), route("2620:fe::fe", "eth0")]);
        world.assess()
    };
    let leaking = judged(Outcome::Unknown(Reason::TimedOut));
    assert_eq!(leaking.shown.verdict.verdict, Verdict::Exposed);
    let found: Vec<_> = leaking.shown.findings.iter().map(|finding| (finding.kind, finding.family)).collect();
    assert_eq!(found, [(FindingKind::RouteOutsideTunnel, Some(Family::V6))]);
    assert_eq!(judged(Outcome::Measured(PhysicalEgress::Closed)).shown.verdict.verdict, Verdict::Protected);
}

#[test]
fn a_kill_switch_tested_on_one_interface_blocks_nothing_on_another() {
    let judged = |interface: &str| {
        let mut world = World::protected();
        world.see([closed(), route("8.8.8.8", interface)]);
        world.assess().shown.verdict.verdict
    };
    assert_eq!(judged("wlan0"), Verdict::Exposed);
    assert_eq!(judged("eth0"), Verdict::Protected);
}

#[test]
fn names_that_resolve_are_not_blocked_whatever_was_tested() {
    let judged = |resolves: bool| {
        let mut world = World::protected();
        world.network_change();
        world.see([interfaces(true), route("8.8.8.8", "wg0"), route("1.1.1.1", "wg0"), closed()]);
        world.see([configured("9.9.9.9"), route_for(RoutePurpose::Resolver, "9.9.9.9", "eth0")]);
        world.see(resolves.then(|| resolver("9.9.9.9")));
        kinds(&world.assess()).contains(&FindingKind::DnsLeak)
    };
    assert!(judged(true));
    assert!(!judged(false));
}
