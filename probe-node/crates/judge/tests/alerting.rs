//! Notices, and which findings inhibit others; each rule beside its fault-free twin.

mod world;

use sentinel_judge::{ExitChange, Policy, Thresholds};
use sentinel_model::*;
use world::*;

const LEAK: &str = "DNS leaves the tunnel";
const ROUTE: &str = "Traffic leaves outside the tunnel";

fn mute() -> Vec<Fact> {
    vec![silent(FRA, Family::V4), silent(SERVER, Family::V4)]
}

#[test]
fn silence_is_reported_although_the_vpn_client_keeps_changing_the_routes() {
    let mut world = World::protected();
    for _ in 0..4 {
        world.network_change();
        world.see(tunnelled());
        world.pass(30, mute);
    }
    assert_eq!(world.titles(), ["Cannot verify your VPN"]);
    let mut twin = World::protected();
    for _ in 0..4 {
        twin.network_change();
        twin.see(tunnelled());
        twin.pass(30, all_vpn);
    }
    assert!(twin.notices.is_empty());
}

fn silent_node(name: &str, heard: u64) -> NodeView {
    NodeView {
        id: NodeId(name.into()),
        name: name.into(),
        role: NodeRole::Home,
        is_self: false,
        reachability: Reachability::Direct,
        name_error: None,
        announced: None,
        last_heard: Some(moment(heard).wall),
    }
}

#[test]
fn after_an_outage_no_node_is_reported_silent_at_once() {
    let mut world = World::protected();
    let hear = |world: &mut World| {
        let heard = world.ms;
        world.judge.update_nodes(&[silent_node("vps-fra", heard), silent_node("home-server", heard)]);
    };
    hear(&mut world);
    world.pass(1, all_vpn);
    world.pass(300, mute);
    world.pass(3, all_vpn);
    assert_eq!(world.titles(), ["Cannot verify your VPN"], "they were cut off, not silent");
    world.pass(40, all_vpn);
    assert_eq!(world.titles().iter().filter(|title| title.ends_with("has fallen silent")).count(), 2);
    let mut twin = World::protected();
    hear(&mut twin);
    twin.pass(300, mute);
    hear(&mut twin);
    twin.pass(20, all_vpn);
    assert!(twin.titles().iter().all(|title| !title.ends_with("has fallen silent")));
}

#[test]
fn a_route_outside_the_tunnel_inhibits_a_leak_only_until_it_fires() {
    let mut world = World::protected();
    world.see([route("8.8.8.8", "eth0"), resolver("198.51.100.53")]);
    world.assess();
    assert!(world.notices.is_empty(), "the notice waits until it is clear what happened");
    world.pass(3, all_vpn);
    assert_eq!(world.titles(), [ROUTE, LEAK]);
    let mut other = World::protected();
    other.see([route("8.8.8.8", "eth0"), resolver("198.51.100.53")]);
    other.assess();
    other.see(all_home());
    other.pass(10, all_home);
    assert_eq!(other.titles(), ["Your real address is visible"], "the exit speaks for both");
}

#[test]
fn a_rule_without_notices_inhibits_nothing() {
    let titles = |notify: bool| {
        let mut policy = policy();
        for rule in policy.rules.iter_mut().filter(|rule| rule.finding == FindingKind::ExitExposed) {
            rule.notify = notify;
        }
        let mut world = World::new(policy);
        world.see(tunnelled());
        world.pass(3, all_vpn);
        world.see([resolver("198.51.100.53")]);
        world.see(all_home());
        world.pass(3, all_home);
        world.titles().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(titles(true), ["Your real address is visible"]);
    assert_eq!(titles(false), [LEAK]);
}

#[test]
fn an_acknowledged_exposure_inhibits_nothing_that_begins_later() {
    let mut world = World::protected();
    let incident = world.pass(2, all_home).shown.incidents[0].id.clone();
    let mut twin = World { judge: world.judge.clone(), ms: world.ms, ..World::new(policy()) };
    let now = world.now();
    world.judge.acknowledge(&incident, now);
    for world in [&mut world, &mut twin] {
        world.ms += 1_000;
        world.see([resolver("198.51.100.53")]);
        world.pass(3, all_home);
    }
    assert_eq!(world.titles(), ["Your real address is visible", LEAK]);
    assert!(twin.notices.is_empty());
}

#[test]
fn an_incident_that_was_never_announced_ends_without_a_notice_after_a_restart() {
    let restored = |severity| {
        let mut world = World::protected();
        let mut open = world.pass(3, all_home).shown.incidents;
        open[0].kind = FindingKind::DnsInterception;
        open[0].rule = RuleId(FindingKind::DnsInterception.name().to_owned());
        open[0].entity = Some(Entity::Interceptor(Interceptor::Stranger));
        open[0].severity = severity;
        let mut next = World::new(policy());
        next.judge.restore_incidents(open);
        next.see(tunnelled());
        let way = |transport| TransportSeen {
            transport,
            egress_addresses: Outcome::Measured(vec![attributed("9.9.9.9")]),
            second_answer: false,
        };
        let clean = || {
            let seen = InterceptionSeen {
                resolver: "Quad9".to_owned(),
                address: attributed("9.9.9.9"),
                transports: vec![way(DnsTransport::Udp), way(DnsTransport::Tls)],
            };
            all_vpn().into_iter().chain([Fact::Interception(seen)]).collect()
        };
        next.pass(60, clean);
        next.notices.len()
    };
    assert_eq!(restored(Severity::Information), 0);
    assert_eq!(restored(Severity::Warning), 1);
}

const ELSEWHERE: &str = "192.0.2.200";

fn elsewhere() -> Vec<Fact> {
    vec![exit(FRA, ELSEWHERE), exit(SERVER, ELSEWHERE), resolver("192.0.2.201")]
}

#[test]
fn a_move_that_must_not_happen_is_reported_until_it_is_acknowledged_or_undone() {
    let moved = |exit_change| {
        let thresholds = Thresholds { exit_change, ..Thresholds::default() };
        let mut world = World::new(Policy { thresholds, ..policy() });
        world.see(tunnelled());
        world.pass(3, all_vpn);
        world.pass(300, elsewhere);
        world
    };
    assert_eq!(moved(ExitChange::Inform).verdict(), Verdict::Protected);
    let mut undone = moved(ExitChange::Alarm);
    assert_eq!(undone.verdict(), Verdict::Suspect);
    undone.see([resolver(VPN)]);
    assert_eq!(undone.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected);
    let mut known = moved(ExitChange::Alarm);
    let incident = known.assess().shown.incidents[0].id.clone();
    let now = known.now();
    assert!(known.judge.acknowledge(&incident, now));
    assert_eq!(known.pass(3, elsewhere).shown.verdict.verdict, Verdict::Protected);
    assert_eq!(known.titles(), ["Your exit moved to another operator", "Your exit has settled"]);
}

/// Returns what this machine itself contributed to the evidence of an exposure, and at which
/// millisecond.
fn own_evidence(facts: Vec<Fact>) -> Vec<(String, i64)> {
    let mut world = World::protected();
    world.ms += 100;
    world.see(facts);
    world.ms += 300;
    world.see([exit(FRA, HOME)]);
    let assessment = world.assess();
    let exposed = assessment.shown.findings.iter().filter(|finding| finding.kind == FindingKind::ExitExposed);
    let own = exposed.flat_map(|finding| &finding.evidence).filter(|evidence| evidence.voice.is_none());
    own.map(|evidence| (evidence.saw.clone(), evidence.at.0 - moment(0).wall.0)).collect()
}

#[test]
fn local_facts_that_corroborate_one_voice_are_among_the_evidence() {
    assert_eq!(own_evidence(vec![interfaces(false)]), [("The tunnel wg0 is gone".to_owned(), 3_100)]);
    assert_eq!(
        own_evidence(vec![route("8.8.8.8", "eth0")]),
        [("packets to 8.8.8.8 leave by eth0".to_owned(), 3_100)]
    );
    assert_eq!(
        own_evidence(vec![resolver("198.51.100.53")]),
        [("c.probe.example was asked by 198.51.100.53 (Example ISP)".to_owned(), 3_100)]
    );
    let mut twin = World::protected();
    twin.see(all_home());
    assert!(twin.assess().shown.findings[0].evidence.iter().all(|evidence| evidence.voice.is_some()));
}

#[test]
fn a_silent_nodes_last_announcement_is_evidence() {
    let announced = Announcement {
        verdict: Verdict::Suspect,
        since: Timestamp(0),
        open_incidents: 1,
        leaving: false,
        home_exit: Vec::new(),
        at: moment(2_000).wall,
    };
    for (announced, expected) in [
        (Some(announced), "it last said Suspect, at 00:00:02 by its own clock"),
        (None, "it had not said how it was"),
    ] {
        let mut world = World::protected();
        world.judge.update_nodes(&[NodeView { announced, ..silent_node("vps-fra", 3_000) }]);
        let assessment = world.pass(50, all_vpn);
        let evidence = &assessment.shown.findings[0].evidence[0];
        assert_eq!((evidence.saw.as_str(), evidence.at), (expected, moment(3_000).wall));
    }
}
