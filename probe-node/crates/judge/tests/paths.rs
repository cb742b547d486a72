//! Paths: what an interface is shows in what the world sees through it, whatever its kind.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a broken test")]

mod world;

use InterfaceKind::{Loopback, Physical, Tunnel, Virtual};
use sentinel_judge::{Assessment, Policy};
use sentinel_model::*;
use world::*;

const SPREAD: [&str; 5] = ["1.1.1.1", "8.8.8.8", "40.0.0.1", "120.0.0.1", "200.0.0.1"];
const ISP: u32 = 64_500;
const PROVIDER: u32 = 64_510;

/// An interface, its kind, and its address.
type Link = (&'static str, InterfaceKind, &'static str);

fn links(of: &[Link]) -> Fact {
    let link = |(name, kind, net): &Link| Interface {
        name: (*name).to_owned(),
        kind: *kind,
        up: true,
        addresses: vec![net.parse().unwrap()],
    };
    Fact::Interfaces(Outcome::Measured(of.iter().map(link).collect()))
}

fn owned(address: &str, asn: u32) -> Attributed {
    let owner = Owner { asn: Some(Asn(asn)), name: format!("net {asn}"), country: None };
    Attributed { address: ip(address), owner: Some(owner) }
}

fn uplinks(of: &[(&str, &[Attributed])]) -> Fact {
    let uplink = |(name, addresses): &(&str, &[Attributed])| Uplink {
        interface: (*name).to_owned(),
        public_addresses: addresses.to_vec(),
    };
    Fact::Uplinks(Outcome::Measured(of.iter().map(uplink).collect()))
}

fn taken(interface: &str, kind: InterfaceKind, source: Option<&str>) -> RouteTaken {
    RouteTaken { interface: interface.to_owned(), kind, gateway: None, source: source.map(ip) }
}

fn looked_up(purpose: RoutePurpose, destination: &str, taken: RouteTaken) -> Fact {
    let destination = ip(destination);
    Fact::Route(RouteSeen {
        destination,
        purpose,
        taken: Outcome::Measured(taken),
        origin: None,
        traffic: None,
    })
}

/// Routes of ordinary traffic that all leave by one interface.
fn all_by(interface: &str, kind: InterfaceKind) -> Vec<Fact> {
    SPREAD.iter().map(|to| looked_up(RoutePurpose::Spread, to, taken(interface, kind, None))).collect()
}

/// Both nodes see one exit; they were reached by one interface.
fn seen_by(exit_seen: Attributed, by: RouteTaken) -> impl Fn() -> Vec<Fact> {
    move || {
        let report = |who| match exit(who, &exit_seen.address.to_string()) {
            Fact::Exit(seen) => Fact::Exit(ExitSeen {
                address: Outcome::Measured(exit_seen.clone()),
                route: Some(by.clone()),
                ..seen
            }),
            other => other,
        };
        vec![report(FRA), report(SERVER)]
    }
}

fn verdict(assessment: &Assessment) -> (Verdict, &str) {
    (assessment.shown.verdict.verdict, &assessment.shown.verdict.sentence)
}

const ETH: Link = ("eth0", Physical, "192.168.1.7/24");
const WG: Link = ("wg0", Tunnel, "10.64.0.2/32");

#[test]
fn a_voice_that_answers_proves_a_network_whatever_the_interfaces_are() {
    let mut world = World::new(policy());
    world.see([links(&[("lo", Loopback, "127.0.0.1/8"), ("ppp0", Tunnel, "100.72.1.2/32")])]);
    world.see(all_by("ppp0", Tunnel));
    let reported = || {
        let mut facts = seen_by(owned(HOME, ISP), taken("ppp0", Tunnel, None))();
        facts.push(Fact::Connectivity(Connectivity::Offline));
        facts
    };
    let assessment = world.pass(5, reported);
    assert_eq!(verdict(&assessment).0, Verdict::Off);
    assert!(kinds(&assessment).is_empty(), "{:?}", kinds(&assessment));
    let mut silent = World::new(policy());
    silent.see([Fact::Connectivity(Connectivity::Offline)]);
    assert_eq!(kinds(&silent.assess()), [FindingKind::Offline]);
}

#[test]
fn a_line_that_looks_like_a_tunnel_is_recognised_with_the_first_answers() {
    let mut world = World::new(policy());
    world.see([links(&[("ppp0", Tunnel, "100.72.1.2/32")])]);
    world.see(all_by("ppp0", Tunnel));
    world.assess();
    world.ms += 50;
    world.see(seen_by(owned(HOME, ISP), taken("ppp0", Tunnel, None))());
    world.see([configured("198.51.100.53"), resolver("198.51.100.53")]);
    let assessment = world.assess();
    assert_eq!((verdict(&assessment).0, kinds(&assessment)), (Verdict::Off, vec![]));
}

#[test]
fn the_access_line_below_a_vpn_is_outside_it_though_it_looks_like_a_tunnel() {
    let ppp: Link = ("ppp0", Tunnel, "198.51.100.142/32");
    let mut world = World::new(policy());
    world.see([links(&[ppp]), uplinks(&[("ppp0", &[])])]);
    world.see(all_by("ppp0", Tunnel));
    world.pass(3, seen_by(owned(HOME, ISP), taken("ppp0", Tunnel, None)));
    world.network_change();
    world.see([links(&[ppp, WG])]);
    world.see(all_by("wg0", Tunnel));
    let on = world.pass(3, seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None)));
    assert_eq!((verdict(&on).0, on.shown.tunnel.unwrap().interface), (Verdict::Protected, "wg0".to_owned()));
    world.network_change();
    world.see([links(&[ppp, WG])]);
    world.see(all_by("ppp0", Tunnel));
    assert_eq!(kinds(&world.assess()), [FindingKind::RouteOutsideTunnel], "before any voice answers");
    let gone = world.pass(3, seen_by(owned(HOME, ISP), taken("ppp0", Tunnel, None)));
    assert_eq!(verdict(&gone).0, Verdict::Exposed);
}

#[test]
fn a_line_that_looks_like_a_tunnel_beside_a_lan_raises_nothing() {
    let lan: Link = ("lan0", Physical, "192.168.9.1/24");
    let mut world = World::new(Policy { home: Home::default(), ..policy() });
    world.see([links(&[lan, ("ppp0", Tunnel, "198.51.100.142/32")]), uplinks(&[("ppp0", &[])])]);
    world.see(all_by("ppp0", Tunnel));
    let assessment = world.pass(5, seen_by(owned(HOME, ISP), taken("ppp0", Tunnel, None)));
    assert_eq!((assessment.shown.tunnel.clone(), kinds(&assessment)), (None, vec![]));
    assert!(verdict(&assessment).1.contains("nothing is known about your home line"), "{assessment:?}");
}

#[test]
fn ipv4_over_ipv6_of_one_operator_is_the_line_and_of_another_is_a_vpn() {
    let eth: Link = ("eth0", Physical, "2001:db8:51:7::9/64");
    let judged = |exit_asn: u32| {
        let mut world = World::new(Policy { home: Home::default(), ..policy() });
        world.see([links(&[eth, ("clat", Tunnel, "192.0.0.4/32")])]);
        world.see([uplinks(&[("eth0", &[owned(HOME6, ISP)]), ("clat", &[])])]);
        world.see(all_by("clat", Tunnel));
        world.see([looked_up(RoutePurpose::Spread, "2001:200::11", taken("eth0", Physical, Some(HOME6)))]);
        let assessment = world.pass(5, seen_by(owned(VPN, exit_asn), taken("clat", Tunnel, None)));
        (assessment.shown.tunnel.is_some(), kinds(&assessment))
    };
    assert_eq!(judged(ISP), (false, vec![]));
    assert_eq!(judged(PROVIDER), (true, vec![FindingKind::RouteOutsideTunnel]));
}

#[test]
fn a_resolver_by_another_tunnel_is_neither_inside_nor_a_leak_by_its_route_alone() {
    let judged = |asked_by: Attributed| {
        let mut world = World::new(policy());
        world.see([links(&[ETH, WG, ("tailscale0", Tunnel, "100.100.1.1/32")])]);
        world.see(all_by("wg0", Tunnel));
        world.see([
            configured("100.100.100.100"),
            looked_up(RoutePurpose::Resolver, "100.100.100.100", taken("tailscale0", Tunnel, None)),
            Fact::Resolver(ResolverSeen {
                path: ResolverPath::System,
                zone: "c.probe.example".to_owned(),
                resolvers: Outcome::Measured(vec![asked_by]),
            }),
        ]);
        world.pass(3, seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None)))
    };
    let third_party = judged(owned("9.9.9.9", 19_281));
    let (state, sentence) = verdict(&third_party);
    assert_eq!(state, Verdict::Protected);
    assert!(
        sentence.ends_with("names are resolved by 9.9.9.9 (net 19281), by way of tailscale0."),
        "{sentence}"
    );
    let by_home = judged(owned("198.51.100.53", ISP));
    assert!(kinds(&by_home).contains(&FindingKind::DnsLeak), "who asked decides");
}

#[test]
fn ipv6_by_another_tunnel_that_no_voice_answers_through_is_not_shown_as_safe() {
    let mut world = World::new(policy());
    world.see([links(&[ETH, WG, ("he-sit", Tunnel, "2001:db8:77::2/64")])]);
    world.see(all_by("wg0", Tunnel));
    let by_sit = || looked_up(RoutePurpose::Spread, "2001:200::11", taken("he-sit", Tunnel, None));
    let unseen = world.pass(3, || {
        let mut facts = seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None))();
        facts.push(by_sit());
        facts
    });
    assert_eq!(
        verdict(&unseen),
        (
            Verdict::Unverified,
            "IPv6 leaves by he-sit, which is not your VPN's tunnel, and no voice sees you through it."
        )
    );
    let mut seen = World::new(policy());
    seen.see([links(&[ETH, WG, ("wg1", Tunnel, "fd00::2/128")])]);
    seen.see(all_by("wg0", Tunnel));
    let both = seen.pass(3, || {
        let mut facts = seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None))();
        facts.extend(seen_by(owned(VPN6, PROVIDER), taken("wg1", Tunnel, None))());
        facts.push(looked_up(RoutePurpose::Spread, "2001:200::11", taken("wg1", Tunnel, None)));
        facts
    });
    assert_eq!(verdict(&both).0, Verdict::Protected, "{both:?}");
}

#[test]
fn another_path_by_which_voices_see_the_accepted_exit_is_not_outside() {
    let judged = |exit_seen: Attributed| {
        let mut world = World::new(policy());
        world.see([links(&[ETH, WG, ("tun7", Tunnel, "10.8.0.2/32")])]);
        world.see(all_by("wg0", Tunnel));
        world.pass(3, seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None)));
        world.see([looked_up(RoutePurpose::Specific, "198.18.0.1", taken("tun7", Tunnel, None))]);
        let assessment = world.pass(3, seen_by(exit_seen.clone(), taken("tun7", Tunnel, None)));
        kinds(&assessment).contains(&FindingKind::RouteOutsideTunnel)
    };
    assert!(!judged(owned(VPN, PROVIDER)));
    assert!(judged(owned(HOME, ISP)), "voices reached by it see home");
}

#[test]
fn a_vpn_that_leads_home_is_accepted_once_it_is_stated() {
    let stated =
        Expectation { exit_prefixes: vec![format!("{HOME}/32").parse().unwrap()], ..Default::default() };
    let judged = |expectation: Expectation, home: Home, by: Link| {
        let mut world = World::new(Policy { expectation, home, ..policy() });
        world.see([links(&[ETH, by]), uplinks(&[("eth0", &[]), (by.0, &[])])]);
        world.see(all_by(by.0, by.1));
        world.see([configured("10.0.0.1"), resolver("198.51.100.53")]);
        world.see([looked_up(RoutePurpose::Resolver, "10.0.0.1", taken(by.0, by.1, None))]);
        let assessment = world.pass(5, seen_by(owned(HOME, ISP), taken(by.0, by.1, None)));
        assert!(kinds(&assessment).is_empty(), "{:?}", kinds(&assessment));
        let (state, sentence) = verdict(&assessment);
        (state, sentence.to_owned())
    };
    let (state, sentence) = judged(Expectation::default(), policy().home, WG);
    assert_eq!(state, Verdict::Off);
    assert!(sentence.contains("by way of wg0. If that VPN leads home on purpose"), "{sentence}");
    let (state, sentence) = judged(stated.clone(), policy().home, WG);
    assert_eq!(state, Verdict::Protected);
    assert!(sentence.contains("inside the tunnel"), "{sentence}");
    let (state, sentence) = judged(stated.clone(), policy().home, ("eth0", Physical, "192.168.1.7/24"));
    assert_eq!(state, Verdict::Off, "{sentence}");
    let (state, sentence) = judged(stated, Home::default(), ("eth0", Physical, "192.168.1.7/24"));
    assert_eq!(state, Verdict::Protected);
    assert!(!sentence.contains("tunnel"), "there is none: {sentence}");
}

#[test]
fn another_address_of_the_home_lines_operator_is_home_on_the_wire_and_not_in_a_tunnel() {
    let home = Home { addresses: vec![ip(HOME)], resolver_asns: vec![Asn(ISP)], ..Home::default() };
    let judged = |(name, kind, net): Link| {
        let mut world = World::new(Policy { home: home.clone(), ..policy() });
        world.see([links(&[ETH, (name, kind, net)]), uplinks(&[("eth0", &[])])]);
        world.see(all_by(name, kind));
        world.pass(5, seen_by(owned("198.51.100.77", ISP), taken(name, kind, None))).shown.verdict.verdict
    };
    assert_eq!(judged(("eth0", Physical, "192.168.1.7/24")), Verdict::Off);
    assert_eq!(judged(WG), Verdict::Protected);
}

#[test]
fn a_bridge_is_outside_only_as_an_uplink() {
    let judged = |is_uplink: bool| {
        let bridge: Link = ("br-ex", Virtual, "192.168.1.7/24");
        let mut world = World::new(policy());
        world.see([links(&[bridge, WG]), uplinks(if is_uplink { &[("br-ex", &[])] } else { &[] })]);
        world.see(all_by("wg0", Tunnel));
        world.pass(3, seen_by(owned(VPN, PROVIDER), taken("wg0", Tunnel, None)));
        world.see([looked_up(RoutePurpose::Specific, "198.18.0.1", taken("br-ex", Virtual, None))]);
        kinds(&world.assess())
    };
    assert_eq!(judged(true), [FindingKind::RouteOutsideTunnel]);
    assert_eq!(judged(false), []);
}

#[test]
fn a_route_where_nothing_was_tried_is_suspect_with_the_reason() {
    let judged = |tests_past_tunnel: bool, tried: Outcome<PhysicalEgress>| {
        let mut world = World::new(Policy { tests_past_tunnel, ..policy() });
        world.see(tunnelled());
        world.pass(3, all_vpn);
        let interface = "eth0".to_owned();
        world.see([
            Fact::KillSwitch(KillSwitchSeen { interface, family: Family::V6, egress: tried }),
            looked_up(RoutePurpose::Spread, "2001:200::11", taken("eth0", Physical, None)),
        ]);
        let assessment = world.assess();
        let (state, sentence) = verdict(&assessment);
        (state, sentence.to_owned())
    };
    let silent = || Outcome::Unknown(Reason::TimedOut);
    let (off, sentence) = judged(false, silent());
    assert_eq!(off, Verdict::Suspect);
    assert!(
        sentence.ends_with("Whether anything gets out there was not tested: past_tunnel is off."),
        "{sentence}"
    );
    let cannot = || Outcome::Unknown(Reason::Failed("could not bind to eth0".to_owned()));
    assert_eq!(judged(true, cannot()).0, Verdict::Suspect);
    assert_eq!(judged(true, silent()).0, Verdict::Exposed, "silence is no kill switch");
    assert_eq!(judged(true, Outcome::Measured(PhysicalEgress::Closed)).0, Verdict::Protected);
}

#[test]
fn an_answer_by_the_path_that_carries_the_exit_proves_no_open_kill_switch() {
    let judged = |exit_asn: u32, source: &str| {
        let expectation =
            Expectation { exit_asns: vec![Asn(PROVIDER)], kill_switch: true, ..Expectation::default() };
        let mut world = World::new(Policy { expectation, ..policy() });
        world.see([links(&[ETH]), uplinks(&[("eth0", &[])])]);
        world.see(all_by("eth0", Physical));
        let by = taken("eth0", Physical, Some(source));
        let assessment = world.pass(3, || {
            let mut facts = seen_by(owned(VPN, exit_asn), by.clone())();
            let egress = Outcome::Measured(PhysicalEgress::Open { by: ip("192.168.1.1") });
            let interface = "eth0".to_owned();
            facts.push(Fact::KillSwitch(KillSwitchSeen { interface, family: Family::V4, egress }));
            facts
        });
        (verdict(&assessment).0, kinds(&assessment).contains(&FindingKind::KillSwitchOpen))
    };
    assert_eq!(judged(PROVIDER, "203.0.113.77"), (Verdict::Protected, false));
    assert!(judged(64_999, "192.168.1.7").1, "another exit than the expected one");
}

#[test]
fn an_ipsec_policy_carries_traffic_without_an_interface() {
    let judged = |policies: Vec<IpsecPolicy>, exit_seen: Attributed| {
        let mut world = World::new(policy());
        world.see([
            links(&[ETH]),
            uplinks(&[("eth0", &[])]),
            Fact::IpsecPolicies(Outcome::Measured(policies)),
        ]);
        world.see(all_by("eth0", Physical));
        let by = taken("eth0", Physical, Some("192.168.1.7"));
        world.pass(3, seen_by(exit_seen, by)).shown.verdict.verdict
    };
    let everything = |action| IpsecPolicy {
        source: "192.168.1.7/32".parse().unwrap(),
        destination: "0.0.0.0/0".parse().unwrap(),
        action,
    };
    let tunnel = IpsecAction::Tunnel { far_end: Some(ip("192.0.2.1")) };
    assert_eq!(judged(vec![everything(tunnel)], owned(VPN, PROVIDER)), Verdict::Protected);
    assert_eq!(judged(vec![everything(IpsecAction::Bypass)], owned(VPN, PROVIDER)), Verdict::Unverified);
    assert_eq!(
        judged(vec![], owned(VPN, PROVIDER)),
        Verdict::Unverified,
        "a foreign network looks like this"
    );
    assert_eq!(judged(vec![everything(tunnel)], owned(HOME, ISP)), Verdict::Off);
}

#[test]
fn routes_into_nothing_are_no_leak() {
    let sink = |destination| {
        looked_up(RoutePurpose::Spread, destination, taken("ipv6leakintrf0", InterfaceKind::Sink, None))
    };
    for interface in [None, Some("wg0".to_owned())] {
        let expectation = Expectation { interface, ..Expectation::default() };
        let mut world = World::new(Policy { expectation, ..policy() });
        world.see(tunnelled());
        let assessment = world.pass(3, || {
            let mut facts = all_vpn();
            facts.push(sink("2001:200::11"));
            facts
        });
        assert_eq!((verdict(&assessment).0, kinds(&assessment)), (Verdict::Protected, vec![]));
    }
}

#[test]
fn a_route_for_one_kind_of_packets_is_named_with_it() {
    let mut world = World::protected();
    let traffic = Some(Traffic { transport: Transport::Udp, port: 53 });
    let Fact::Route(seen) = looked_up(RoutePurpose::Specific, "8.8.8.8", taken("eth0", Physical, None))
    else {
        unreachable!()
    };
    world.see([Fact::Route(RouteSeen { traffic, ..seen })]);
    let assessment = world.assess();
    assert_eq!(verdict(&assessment).1, "Packets to 8.8.8.8 (UDP port 53) leave by eth0 instead of wg0.");
}

#[test]
fn a_route_of_its_own_to_a_resolver_is_judged_by_what_a_query_takes() {
    let judged = |query_by: &str, kind| {
        let mut world = World::protected();
        world.see([
            configured("9.9.9.9"),
            looked_up(RoutePurpose::Resolver, "9.9.9.9", taken(query_by, kind, None)),
            looked_up(RoutePurpose::Specific, "9.9.9.9", taken("eth0", Physical, None)),
        ]);
        world.ms += 2_000;
        world.see(all_vpn());
        kinds(&world.assess())
    };
    assert!(!judged("wg0", Tunnel).contains(&FindingKind::RouteOutsideTunnel));
    assert!(judged("eth0", Physical).contains(&FindingKind::DnsLeak));
}

#[test]
fn the_network_hands_out_a_route_and_the_advice_says_so() {
    let advice = |origin: Option<RouteOrigin>| {
        let mut world = World::protected();
        world.see([Fact::Route(RouteSeen {
            destination: ip("198.18.0.1"),
            purpose: RoutePurpose::Specific,
            taken: Outcome::Measured(taken("eth0", Physical, None)),
            origin,
            traffic: None,
        })]);
        let assessment = world.assess();
        assert_eq!(verdict(&assessment).0, Verdict::Exposed);
        assessment.shown.findings[0].advice.clone()
    };
    assert!(advice(Some(RouteOrigin::Dhcp)).starts_with("This network handed the route out"));
    assert!(advice(Some(RouteOrigin::Program)).contains("`excluded`"));
    assert_eq!(advice(None), "Reconnect the VPN or go offline.");
}
