//! Probes past the tunnel: when they are sent, by which path, and what the answers mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use sentinel_checks::{FarEnd, PastTunnel, Probe, ProbeReply, RoundPlan};
use sentinel_model::{
    ConfiguredResolver, Fact, Family, FarEndEvidence, Interface, InterfaceKind, KillSwitchSeen, Micros,
    Outcome, PhysicalEgress, Reason, ResolverPath, ResolverRole, RoutePurpose, RouteTaken, UnderlaySeen,
};
use std::{net::IpAddr, sync::Arc};
use support::{EPOCH, Machine, checks_on, gathered, settings};

const ENDPOINT: &str = "203.0.113.7";
const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn interface(name: &str, kind: InterfaceKind, up: bool, addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Interface { name: name.into(), kind, up, addresses }
}

/// A laptop with two physical interfaces in use, and a tunnel that is up or not.
fn laptop(tunnel: bool, network: fn(&Probe) -> Outcome<ProbeReply>) -> Machine {
    let interfaces = vec![
        interface("eth0", InterfaceKind::Physical, true, &["192.0.2.2/24", "fe80::1/64"]),
        interface("wlan0", InterfaceKind::Physical, true, &["2001:db8:1::2/64"]),
        interface("eth1", InterfaceKind::Physical, false, &["192.0.2.3/24"]),
        interface("wg0", InterfaceKind::Tunnel, tunnel, &["10.8.0.2/32"]),
    ];
    Machine { interfaces: Outcome::Measured(interfaces), network, ..Machine::default() }
}

/// Runs a round; returns its kill switch and underlay reports and the probes it sent.
async fn round(
    past_tunnel: PastTunnel,
    machine: Machine,
) -> (Vec<KillSwitchSeen>, Vec<UnderlaySeen>, Vec<Probe>) {
    let mut settings = settings();
    settings.past_tunnel = past_tunnel;
    settings.spread = vec!["198.51.100.1".parse().unwrap(), "2001:db8:9::1".parse().unwrap()];
    let probes = Arc::clone(&machine.probes);
    let checks = checks_on(settings, machine);
    let facts = gathered(async |out| checks.round(EPOCH, &RoundPlan::default(), out).await).await;
    let (mut kill_switch, mut underlay) = (Vec::new(), Vec::new());
    for fact in facts {
        match fact {
            Fact::KillSwitch(seen) => kill_switch.push(seen),
            Fact::Underlay(seen) => underlay.push(seen),
            _ => {}
        }
    }
    kill_switch.sort_by(|a, b| a.interface.cmp(&b.interface));
    let probes = probes.lock().unwrap().clone();
    (kill_switch, underlay, probes)
}

/// The first router keeps silent, the second answers.
fn second_router_answers(probe: &Probe) -> Outcome<ProbeReply> {
    match probe.hop_limit {
        Some(2) => Outcome::Measured(ProbeReply { responder: ROUTER, rtt: Micros(900) }),
        _ => Outcome::Unknown(Reason::TimedOut),
    }
}

fn firewall(_: &Probe) -> Outcome<ProbeReply> {
    Outcome::Unknown(Reason::Refused("this machine does not let the packet out".into()))
}

fn silence(_: &Probe) -> Outcome<ProbeReply> {
    Outcome::Unknown(Reason::TimedOut)
}

fn seen(interface: &str, family: Family, egress: Outcome<PhysicalEgress>) -> KillSwitchSeen {
    KillSwitchSeen { interface: interface.into(), family, egress }
}

#[tokio::test]
async fn a_router_that_answers_past_the_tunnel_proves_an_open_kill_switch() {
    let (kill_switch, _, probes) = round(PastTunnel::Quiet, laptop(true, second_router_answers)).await;
    let open = Outcome::Measured(PhysicalEgress::Open { by: ROUTER });
    assert_eq!(kill_switch, [seen("eth0", Family::V4, open.clone()), seen("wlan0", Family::V6, open)]);
    // Quiet: bound to the physical interface, at most three hops, never to the far end.
    assert_eq!(probes.len(), 4);
    for probe in probes {
        assert!(matches!(probe.hop_limit, Some(1..=3)) && probe.interface.is_some(), "{probe:?}");
        assert_ne!(probe.destination.ip().to_string(), ENDPOINT);
    }
}

#[tokio::test]
async fn a_firewall_that_refuses_is_a_closed_kill_switch_and_silence_is_undetermined() {
    let (kill_switch, ..) = round(PastTunnel::Quiet, laptop(true, firewall)).await;
    assert_eq!(kill_switch.len(), 2);
    assert!(kill_switch.iter().all(|seen| seen.egress == Outcome::Measured(PhysicalEgress::Closed)));
    let (kill_switch, _, probes) = round(PastTunnel::Quiet, laptop(true, silence)).await;
    assert_eq!(kill_switch.len(), 2);
    assert!(kill_switch.iter().all(|seen| seen.egress == Outcome::Unknown(Reason::TimedOut)));
    assert_eq!(probes.len(), 6);
}

/// Blocks traceroute and lets the web pass, as many firewalls that are not a kill switch do.
fn web_only(probe: &Probe) -> Outcome<ProbeReply> {
    if probe.destination.port() == 443 { second_router_answers(probe) } else { firewall(probe) }
}

#[tokio::test]
async fn a_firewall_that_lets_the_web_pass_is_not_a_closed_kill_switch() {
    let (kill_switch, ..) = round(PastTunnel::Quiet, laptop(true, web_only)).await;
    let open = |seen: &KillSwitchSeen| matches!(seen.egress, Outcome::Measured(PhysicalEgress::Open { .. }));
    assert!(kill_switch.iter().all(open) && kill_switch.len() == 2, "{kill_switch:?}");
}

#[tokio::test]
async fn a_kill_switch_is_probed_without_a_tunnel_too_and_nothing_is_sent_where_the_user_forbids_it() {
    let (kill_switch, underlay, _) = round(PastTunnel::Quiet, laptop(false, second_router_answers)).await;
    assert!(!kill_switch.is_empty() && underlay.is_empty());
    for (past_tunnel, tunnel) in [(PastTunnel::Off, false), (PastTunnel::Off, true)] {
        let mut machine = laptop(tunnel, second_router_answers);
        let far_end = FarEnd { address: ENDPOINT.parse().unwrap(), evidence: FarEndEvidence::Peer };
        machine.endpoints = Outcome::Measured(vec![far_end]);
        let (kill_switch, underlay, probes) = round(past_tunnel, machine).await;
        assert!(kill_switch.is_empty() && probes.is_empty(), "{past_tunnel:?}");
        // The far end is named all the same: a route to it is expected.
        assert!(matches!(underlay.as_slice(), [named] if named.rtt.measured().is_none()), "{underlay:?}");
    }
}

/// The far end answers, each probe more quickly than the one before.
fn far_end_answers(probe: &Probe) -> Outcome<ProbeReply> {
    let rtt = Micros(u32::from(33_500 - probe.destination.port()) * 1000);
    Outcome::Measured(ProbeReply { responder: probe.destination.ip(), rtt })
}

fn route(machine: &mut Machine, kind: InterfaceKind) {
    let taken = RouteTaken { interface: "x0".into(), kind, gateway: None, source: None };
    machine.route = Outcome::Measured(taken);
    let far_end = FarEnd { address: ENDPOINT.parse().unwrap(), evidence: FarEndEvidence::Peer };
    machine.endpoints = Outcome::Measured(vec![far_end]);
}

#[tokio::test]
async fn the_smallest_of_three_round_trips_to_the_far_end_counts() {
    let mut machine = laptop(true, far_end_answers);
    route(&mut machine, InterfaceKind::Physical);
    let (_, underlay, probes) = round(PastTunnel::Quiet, machine).await;
    let endpoint = ENDPOINT.parse().unwrap();
    let [named, measured] = underlay.as_slice() else { panic!("{underlay:?}") };
    assert_eq!((named.endpoint, named.rtt.measured()), (endpoint, None), "reported before it is measured");
    assert_eq!(
        *measured,
        UnderlaySeen {
            endpoint,
            rtt: Outcome::Measured(Micros(64_000)),
            evidence: FarEndEvidence::Peer,
            owner: None,
        }
    );
    let to_it: Vec<_> = probes.iter().filter(|probe| probe.destination.ip() == endpoint).collect();
    assert!(to_it.len() == 3 && to_it.iter().all(|probe| probe.interface.is_none()));
}

#[tokio::test]
async fn a_far_end_behind_the_tunnels_own_route_is_probed_only_where_everything_is_allowed() {
    for (past_tunnel, interface) in [(PastTunnel::Quiet, None), (PastTunnel::Full, Some("eth0"))] {
        let mut machine = laptop(true, far_end_answers);
        route(&mut machine, InterfaceKind::Tunnel);
        let (_, underlay, probes) = round(past_tunnel, machine).await;
        assert_eq!(underlay.last().unwrap().rtt.measured().is_some(), interface.is_some());
        let mut to_it = probes.iter().filter(|probe| probe.destination.ip().to_string() == ENDPOINT);
        assert!(to_it.all(|probe| probe.interface.as_deref() == interface && interface.is_some()));
    }
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_only_a_host_route_suggests() {
    let mut machine = laptop(true, far_end_answers);
    route(&mut machine, InterfaceKind::Physical);
    let suggested = FarEnd { address: ENDPOINT.parse().unwrap(), evidence: FarEndEvidence::HostRoute };
    machine.endpoints = Outcome::Measured(vec![suggested]);
    let (_, underlay, probes) = round(PastTunnel::Full, machine).await;
    let [named] = underlay.as_slice() else { panic!("{underlay:?}") };
    assert_eq!((named.evidence, named.rtt.measured()), (FarEndEvidence::HostRoute, None));
    assert!(probes.iter().all(|probe| probe.destination.ip() != suggested.address), "{probes:?}");
}

#[tokio::test]
async fn a_silent_far_end_and_a_router_in_its_place_leave_the_round_trip_unknown() {
    for network in [silence, |_: &Probe| Outcome::Measured(ProbeReply { responder: ROUTER, rtt: Micros(5) })]
    {
        let mut machine = laptop(true, network);
        route(&mut machine, InterfaceKind::Physical);
        let (_, underlay, _) = round(PastTunnel::Quiet, machine).await;
        assert!(underlay.iter().all(|seen| seen.rtt.measured().is_none()), "{underlay:?}");
    }
}

/// Runs a round in which asking the configured resolver directly fails.
///
/// Returns the reason, and the interface of the reported route to the resolver.
async fn ask_directly(
    past_tunnel: PastTunnel,
    route: InterfaceKind,
    resolver: ConfiguredResolver,
) -> (Reason, String) {
    let mut settings = settings();
    settings.past_tunnel = past_tunnel;
    let path = ResolverPath::Configured(resolver.address);
    let taken = RouteTaken { interface: "wg0".into(), kind: route, gateway: None, source: None };
    let machine = Machine {
        resolvers: Outcome::Measured(vec![resolver]),
        route: Outcome::Measured(taken),
        ..laptop(true, second_router_answers)
    };
    let plan = RoundPlan { canary_zones: vec!["c.probe.example".into()], ..RoundPlan::default() };
    let checks = checks_on(settings, machine);
    let facts = gathered(async |out| checks.round(EPOCH, &plan, out).await).await;
    let resolvers = facts.iter().find_map(|fact| match fact {
        Fact::Resolver(seen) if seen.path == path => Some(seen.resolvers.clone()),
        _ => None,
    });
    let route = facts.iter().find_map(|fact| match fact {
        Fact::Route(seen) if seen.purpose == RoutePurpose::Resolver => seen.taken.measured().cloned(),
        _ => None,
    });
    match resolvers {
        Some(Outcome::Unknown(reason)) => (reason, route.map(|taken| taken.interface).unwrap_or_default()),
        resolvers => panic!("{resolvers:?}"),
    }
}

#[tokio::test]
async fn a_resolver_that_is_reached_past_the_tunnel_is_not_asked_unless_the_system_asks_it() {
    use InterfaceKind::{Physical, Tunnel};
    // Nothing listens there, so a question that was sent ends in a refusal or a timeout.
    let resolver = |role, interface: Option<&str>| ConfiguredResolver {
        address: "127.0.0.77".parse().unwrap(),
        interface: interface.map(str::to_owned),
        role,
    };
    let held_back = |reason: &Reason| reason.to_string().contains("past_tunnel");
    let quiet = PastTunnel::Quiet;

    let (reason, _) = ask_directly(quiet, Physical, resolver(ResolverRole::Forwarded, None)).await;
    assert!(held_back(&reason), "{reason}");
    // The route leads into the tunnel, but the forwarder binds its question to the physical link,
    // and that path is reported.
    let (reason, interface) =
        ask_directly(quiet, Tunnel, resolver(ResolverRole::Scoped, Some("wlan0"))).await;
    assert!(held_back(&reason) && reason.to_string().contains("wlan0"), "{reason}");
    assert_eq!(interface, "wlan0");

    let (reason, _) = ask_directly(quiet, Tunnel, resolver(ResolverRole::Forwarded, Some("wg0"))).await;
    assert!(!held_back(&reason), "{reason}");
    let (reason, _) = ask_directly(quiet, Physical, resolver(ResolverRole::First, None)).await;
    assert!(!held_back(&reason), "the system asks it: {reason}");
    let (reason, _) = ask_directly(PastTunnel::Full, Physical, resolver(ResolverRole::Forwarded, None)).await;
    assert!(!held_back(&reason), "it is allowed: {reason}");
}
