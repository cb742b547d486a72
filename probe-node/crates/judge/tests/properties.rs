//! What must hold whatever is observed, in whatever order.

mod world;

use proptest::prelude::*;
use sentinel_model::*;
use std::collections::{BTreeMap, BTreeSet};
use world::*;

const ADDRESSES: [&str; 4] = [VPN, "203.0.113.77", "192.0.2.200", HOME];
const ADDRESSES6: [&str; 3] = [VPN6, HOME6, "2001:db8:77::1"];

/// One event.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a test holds few of them")]
enum Event {
    See(Fact),
    Pass(u64),
    Change,
    Wake,
    Pause(bool),
    Round,
}

/// Seven nodes in six networks.
fn who(index: usize) -> (&'static str, u32) {
    [("n0", 1), ("n1", 1), ("n2", 2), ("n3", 3), ("n4", 4), ("n5", 5), ("n6", 6)][index % 7]
}

fn v4_exit() -> impl Strategy<Value = Fact> {
    // Home is rare, or nothing would ever be protected.
    let address = prop_oneof![6 => Just(0usize), 1 => Just(1), 1 => Just(2), 1 => Just(3)];
    (0usize..7, address).prop_map(|(node, address)| exit(who(node), ADDRESSES[address]))
}

fn v6() -> impl Strategy<Value = Fact> {
    let interface = prop_oneof![Just("eth0"), Just("wg0"), Just("wg1")];
    prop_oneof![
        (0usize..7, 0usize..3).prop_map(|(node, address)| exit(who(node), ADDRESSES6[address])),
        (0usize..7).prop_map(|node| silent(who(node), Family::V6)),
        interface.prop_map(|interface| route("2620:fe::fe", interface)),
        Just(no_route("2620:fe::fe")),
        (0usize..7, 1u32..200).prop_map(|(node, millis)| match trip(who(node), millis) {
            Fact::RoundTrip(trip) => {
                Fact::RoundTrip(RoundTrip { family: Family::V6, exit: Some(attributed(VPN6)), ..trip })
            }
            other => other,
        }),
    ]
}

fn unknown() -> impl Strategy<Value = Fact> {
    let reason = Reason::TimedOut;
    prop_oneof![
        (0usize..7).prop_map(|node| silent(who(node), Family::V4)),
        (0usize..7).prop_map(|node| silent(who(node), Family::V6)),
        Just(Fact::Interfaces(Outcome::Unknown(reason.clone()))),
        Just(Fact::ResolverConfig(Outcome::Unknown(reason.clone()))),
        Just(Fact::Resolver(ResolverSeen {
            path: ResolverPath::System,
            zone: "c.probe.example".to_owned(),
            resolvers: Outcome::Unknown(reason.clone()),
        })),
        Just(Fact::Route(RouteSeen {
            destination: ip("8.8.8.8"),
            purpose: RoutePurpose::Spread,
            taken: Outcome::Unknown(reason),
            origin: None,
            traffic: None,
        })),
    ]
}

/// What is measured outside the tunnel: its far end, the kill switch, and interceptions.
fn past_the_tunnel() -> impl Strategy<Value = Fact> {
    let egress = || prop_oneof![Just("9.9.9.9"), Just("192.0.2.200"), Just("198.51.100.53"), Just(VPN)];
    let endpoint = ip("192.0.2.1");
    prop_oneof![
        (0u32..100_000).prop_map(move |rtt| {
            Fact::Underlay(UnderlaySeen {
                endpoint,
                rtt: Outcome::Measured(Micros(rtt)),
                evidence: FarEndEvidence::Peer,
                owner: None,
            })
        }),
        any::<bool>().prop_map(move |closed| {
            let egress = if closed { PhysicalEgress::Closed } else { PhysicalEgress::Open { by: endpoint } };
            let interface = "eth0".to_owned();
            Fact::KillSwitch(KillSwitchSeen {
                interface,
                family: Family::V4,
                egress: Outcome::Measured(egress),
            })
        }),
        (any::<bool>(), any::<bool>(), 0u64..5_000).prop_map(|(is_tcp, is_outside, heard)| {
            let socket = OutsideSocket {
                id: heard,
                protocol: if is_tcp { TransportProtocol::Tcp } else { TransportProtocol::Udp },
                peer: std::net::SocketAddr::from(([192, 0, 2, 80], 443)),
                interface: "eth0".to_owned(),
                program: Outcome::Unknown(Reason::Unreachable),
                user: "alice".to_owned(),
                is_system_user: false,
                leaves_by: Outcome::Measured(if is_outside { "eth0" } else { "wg0" }.to_owned()),
                heard_ago: is_tcp.then_some(Millis(heard)),
                exceeds_tunnel: false,
            };
            Fact::Sockets(Outcome::Measured(SocketTable { sockets: vec![socket], is_complete: true }))
        }),
        (egress(), egress(), any::<bool>()).prop_map(|(udp, tls, second_answer)| {
            let way = |transport, egress, second_answer| TransportSeen {
                transport,
                egress_addresses: Outcome::Measured(vec![attributed(egress)]),
                second_answer,
            };
            Fact::Interception(InterceptionSeen {
                resolver: "Quad9".to_owned(),
                address: attributed("9.9.9.9"),
                transports: vec![
                    way(DnsTransport::Udp, udp, second_answer),
                    way(DnsTransport::Tls, tls, false),
                ],
            })
        }),
    ]
}

fn local() -> impl Strategy<Value = Fact> {
    let connectivity = prop_oneof![3 => Just(Connectivity::Online), 1 => Just(Connectivity::Offline)];
    prop_oneof![
        any::<bool>().prop_map(interfaces),
        prop_oneof![Just("wg0"), Just("eth0")].prop_map(|interface| route("8.8.8.8", interface)),
        prop_oneof![Just(VPN), Just("9.9.9.9"), Just("198.51.100.53")].prop_map(resolver),
        prop_oneof![Just("10.64.0.1"), Just("198.51.100.53")].prop_map(configured),
        connectivity.prop_map(Fact::Connectivity),
        past_the_tunnel(),
        (0usize..7, 0u32..300).prop_map(|(node, millis)| trip(who(node), millis)),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => v4_exit().prop_map(Event::See),
        3 => v6().prop_map(Event::See),
        2 => unknown().prop_map(Event::See),
        3 => local().prop_map(Event::See),
        6 => (0u64..3_000).prop_map(Event::Pass),
        1 => (0u64..100_000).prop_map(Event::Pass),
        1 => Just(Event::Change),
        1 => prop_oneof![Just(Event::Wake), any::<bool>().prop_map(Event::Pause), Just(Event::Round)],
    ]
}

fn apply(world: &mut World, event: &Event) {
    let (epoch, now) = (world.epoch, world.now());
    match event {
        Event::See(fact) => world.see([fact.clone()]),
        Event::Pass(ms) => world.ms += ms,
        Event::Change => world.network_change(),
        Event::Wake => world.judge.handle_wake(now),
        Event::Pause(paused) => world.judge.set_paused(*paused, now),
        Event::Round => world.judge.finish_round(epoch, now),
    }
}

/// What each voice reported last over IPv4, recorded independently of the judge.
///
/// Of two reports of the same instant, the one that names home counts, else the one with the higher
/// address.
#[derive(Default)]
struct Ledger {
    reports: BTreeMap<Source, (NetworkKey, Report)>,
    epoch: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    at: u64,
    epoch: u64,
    names_home: bool,
    address: std::net::IpAddr,
}

impl Ledger {
    fn note(&mut self, event: &Event, ms: u64) {
        match event {
            Event::See(Fact::Exit(ExitSeen {
                family: Family::V4,
                voice,
                address: Outcome::Measured(seen),
                ..
            })) => {
                let address = seen.address;
                let report = Report { at: ms, epoch: self.epoch, names_home: address == ip(HOME), address };
                let entry =
                    self.reports.entry(voice.source.clone()).or_insert((voice.network, report.clone()));
                entry.1 = report.max(entry.1.clone());
            }
            Event::Wake => self.reports.clear(),
            Event::Change => self.epoch += 1,
            _ => {}
        }
    }

    /// Returns what each network reports now.
    fn fresh(&self, ms: u64) -> BTreeMap<NetworkKey, BTreeSet<String>> {
        let mut networks: BTreeMap<NetworkKey, BTreeSet<String>> = BTreeMap::new();
        for (network, report) in self.reports.values().filter(|(_, report)| ms - report.at <= 5_000) {
            networks.entry(*network).or_default().insert(report.address.to_string());
        }
        networks
    }
}

fn all_events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn protected_always_rests_on_two_fresh_voices_and_never_beside_a_report_of_home(events in all_events()) {
        let mut world = World::new(policy());
        let mut ledger = Ledger::default();
        for event in &events {
            ledger.note(event, world.ms);
            apply(&mut world, event);
            let verdict = world.assess().shown.verdict;
            // What rests on IPv6 alone is not counted here.
            let shown = verdict.sentence.split(';').next().unwrap_or_default();
            let Some(operator) = ["203.0.113.", "192.0.2."].into_iter().find(|prefix| shown.contains(prefix)) else {
                continue;
            };
            if verdict.verdict != Verdict::Protected {
                continue;
            }
            let networks = ledger.fresh(world.ms);
            let agreeing = networks.values().filter(|seen| seen.iter().any(|a| a.starts_with(operator))).count();
            prop_assert!(agreeing >= 2, "{verdict:?} {networks:?}");
            // What was seen before a network change describes another network.
            let home = networks.values().filter(|seen| seen.contains(HOME)).count();
            let changed = ledger.epoch > 0;
            prop_assert!(home == 0 || changed, "{verdict:?} {networks:?}");
        }
    }

    #[test]
    fn every_incident_is_announced_before_it_ends_and_ends_at_most_once(events in all_events()) {
        let mut world = World::new(policy());
        for event in &events {
            apply(&mut world, event);
            world.assess();
        }
        let mut notices: BTreeMap<&IncidentId, Vec<NoticeKind>> = BTreeMap::new();
        for notice in &world.notices {
            notices.entry(&notice.incident).or_default().push(notice.kind);
        }
        for (incident, kinds) in notices {
            let fine = kinds == [NoticeKind::Alarm] || kinds == [NoticeKind::Alarm, NoticeKind::Resolve];
            prop_assert!(fine, "{incident}: {kinds:?}");
        }
    }

    #[test]
    fn undetermined_observations_resolve_no_incident(
        before in all_events(),
        after in prop::collection::vec((unknown(), 0u64..20_000), 1..80),
    ) {
        let mut world = World::new(policy());
        for event in &before {
            apply(&mut world, event);
            world.assess();
        }
        // What was measured last takes effect before the silence begins.
        world.network_change();
        world.assess();
        let open: BTreeSet<IncidentId> = world.assess().shown.incidents.into_iter().map(|incident| incident.id).collect();
        world.changed.clear();
        for (fact, ms) in after {
            world.ms += ms;
            world.see([fact]);
            world.assess();
        }
        let silent = |incident: &&Incident| open.contains(&incident.id) && incident.kind != FindingKind::Offline;
        for incident in world.changed.iter().filter(silent) {
            prop_assert_ne!(incident.state, IncidentState::Resolved, "{:?}", incident);
        }
    }

    #[test]
    fn every_finding_has_evidence(events in all_events()) {
        let mut world = World::new(policy());
        for event in &events {
            apply(&mut world, event);
            for finding in world.assess().shown.findings {
                prop_assert!(finding.evidence.iter().any(|one| !one.saw.is_empty()), "{finding:?}");
            }
        }
    }

    #[test]
    fn ipv6_does_not_change_how_ipv4_is_judged(events in prop::collection::vec(event(), 1..100), six in prop::collection::vec(v6(), 100)) {
        let is_six = |event: &Event| match event {
            Event::See(Fact::Exit(seen)) => seen.family == Family::V6,
            Event::See(Fact::RoundTrip(trip)) => trip.family == Family::V6,
            Event::See(Fact::Route(route)) => Family::of(route.destination) == Family::V6,
            _ => false,
        };
        let (mut with, mut without) = (World::new(policy()), World::new(policy()));
        for (event, fact) in events.iter().zip(six).filter(|(event, _)| !is_six(event)) {
            with.see([fact]);
            apply(&mut with, event);
            apply(&mut without, event);
            let of_four = |world: &mut World| -> Vec<Finding> {
                world.assess().shown.findings.into_iter().filter(|finding| finding.family == Some(Family::V4)).collect()
            };
            prop_assert_eq!(of_four(&mut with), of_four(&mut without));
        }
    }

    #[test]
    fn the_order_of_simultaneous_voices_does_not_matter(
        seen in prop::collection::vec(v4_exit(), 1..12),
        seed in any::<u64>(),
    ) {
        let mut shuffled = seen.clone();
        let mut state = seed;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        let judged = |facts: Vec<Fact>| {
            let mut world = World::new(policy());
            world.see(tunnelled());
            world.ms = 5_000;
            world.assess();
            world.see(facts);
            world.assess()
        };
        prop_assert_eq!(judged(seen), judged(shuffled));
    }
}
