//! One program past a healthy tunnel, each rule beside its fault-free twin.

mod world;

use sentinel_judge::{Assessment, Policy};
use sentinel_model::*;
use world::*;

const PEER: &str = "192.0.2.80:443";

fn program(name: &str) -> Outcome<Program> {
    Outcome::Measured(Program { name: name.to_owned(), executable: None })
}

/// A TCP connection beside the tunnel whose peer has just answered.
fn zoom() -> OutsideSocket {
    OutsideSocket {
        id: 1,
        protocol: TransportProtocol::Tcp,
        peer: PEER.parse().unwrap(),
        interface: "eth0".to_owned(),
        program: program("zoom"),
        user: "alice".to_owned(),
        is_system_user: false,
        leaves_by: Outcome::Measured("eth0".to_owned()),
        heard_ago: Some(Millis(20)),
        exceeds_tunnel: false,
    }
}

fn udp() -> OutsideSocket {
    OutsideSocket { protocol: TransportProtocol::Udp, heard_ago: None, ..zoom() }
}

fn table(sockets: Vec<OutsideSocket>) -> Fact {
    Fact::Sockets(Outcome::Measured(SocketTable { sockets, is_complete: true }))
}

fn expecting(expectation: Expectation) -> Policy {
    Policy { expectation, ..policy() }
}

/// A protected laptop whose socket table has been looked at before, without a finding.
fn watched(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.see(tunnelled());
    world.pass(3, all_vpn);
    for _ in 0..2 {
        look(&mut world, vec![]);
    }
    world
}

/// Looks at the table, as happens every few seconds.
fn look(world: &mut World, sockets: Vec<OutsideSocket>) -> Assessment {
    world.pass(4, all_vpn);
    world.see(tunnelled());
    world.see([table(sockets)]);
    world.assess()
}

fn found(assessment: &Assessment) -> Vec<String> {
    let outside = |finding: &&Finding| finding.kind == FindingKind::ApplicationOutsideTunnel;
    let entity = |finding: &Finding| finding.entity.as_ref().unwrap().name().to_owned();
    assessment.shown.findings.iter().filter(outside).map(entity).collect()
}

/// Returns the programs found in the second of two looks at the same sockets.
fn found_under(policy: Policy, socket: OutsideSocket) -> Vec<String> {
    let mut world = watched(policy);
    look(&mut world, vec![socket.clone()]);
    found(&look(&mut world, vec![socket]))
}

fn is_found(socket: OutsideSocket) -> bool {
    !found_under(policy(), socket).is_empty()
}

#[test]
fn an_answered_connection_beside_the_tunnel_is_reported_at_once_and_until_two_looks_lack_it() {
    let mut world = watched(policy());
    let assessment = look(&mut world, vec![zoom()]);
    assert_eq!(found(&assessment), ["zoom"]);
    let finding = &assessment.shown.findings[0];
    assert_eq!((finding.severity, finding.family), (Severity::Warning, Some(Family::V4)));
    assert_eq!(finding.title, "A program bypasses the tunnel");
    assert_eq!(finding.sentence, "zoom is connected to 192.0.2.80:443 by eth0 instead of wg0.");
    assert!(finding.advice.contains("excluded_programs"), "{}", finding.advice);
    assert_eq!(finding.evidence[0].saw, "TCP to 192.0.2.80:443 leaves by eth0 and is answered");
    let verdict = &assessment.shown.verdict;
    assert_eq!(verdict.verdict, Verdict::Protected, "the rest is in the tunnel");
    assert!(verdict.sentence.ends_with(" But zoom bypasses the tunnel."), "{}", verdict.sentence);
    assert_eq!(world.titles(), ["A program bypasses the tunnel"]);
    assert_eq!(found(&look(&mut world, vec![])), ["zoom"], "one look may have been between two connections");
    assert!(found(&look(&mut world, vec![])).is_empty());
    world.pass(6, all_vpn);
    assert_eq!(world.titles()[1..], ["zoom no longer bypasses the tunnel"]);
}

#[test]
fn a_connection_that_is_stalled_or_idle_is_no_leak() {
    let inside = Outcome::Measured("wg0".to_owned());
    assert!(!is_found(OutsideSocket { leaves_by: inside.clone(), ..zoom() }), "it leaves by the tunnel");
    assert!(!is_found(OutsideSocket { heard_ago: Some(Millis::secs(600)), ..zoom() }), "nobody answers");
    assert!(!is_found(OutsideSocket { heard_ago: None, ..zoom() }));
    let nowhere = Outcome::Unknown(Reason::Unreachable);
    assert!(!is_found(OutsideSocket { leaves_by: nowhere, ..zoom() }), "there is no route");
    assert!(
        is_found(OutsideSocket { leaves_by: inside, exceeds_tunnel: true, ..zoom() }),
        "it cannot be inside"
    );
}

#[test]
fn packets_that_were_under_way_when_the_tunnel_came_up_prove_nothing() {
    let judged = |heard_ago: u64| {
        let mut world = watched(policy());
        world.network_change();
        look(&mut world, vec![OutsideSocket { heard_ago: Some(Millis(10)), ..zoom() }]);
        // The next look comes five seconds later.
        world.ms += 1_000;
        found(&look(&mut world, vec![OutsideSocket { heard_ago: Some(Millis(heard_ago)), ..zoom() }]))
    };
    assert!(judged(4_500).is_empty());
    assert_eq!(judged(3_900), ["zoom"]);
}

#[test]
fn a_udp_socket_is_reported_after_two_looks_unless_the_kill_switch_holds_it() {
    let judged = |egress: Option<PhysicalEgress>| {
        let mut world = watched(policy());
        world.see(egress.map(|egress| {
            let egress = Outcome::Measured(egress);
            Fact::KillSwitch(KillSwitchSeen { interface: "eth0".to_owned(), family: Family::V4, egress })
        }));
        let first = found(&look(&mut world, vec![udp()]));
        assert!(first.is_empty(), "{first:?}");
        (world.judge.awaits_sockets(), found(&look(&mut world, vec![udp()])))
    };
    assert_eq!(judged(None), (true, vec!["zoom".to_owned()]));
    assert_eq!(judged(Some(PhysicalEgress::Open { by: ip("192.168.1.1") })).1, ["zoom"]);
    assert_eq!(judged(Some(PhysicalEgress::Closed)), (false, vec![]));
}

#[test]
fn looks_that_follow_each_other_at_once_are_one() {
    let mut world = watched(policy());
    look(&mut world, vec![udp()]);
    world.ms += 10;
    world.see([table(vec![udp()])]);
    assert!(found(&world.assess()).is_empty());
}

#[test]
fn what_the_user_excluded_and_what_belongs_to_the_tunnel_or_the_line_is_not_reported() {
    let programs =
        |name: &str| Expectation { excluded_programs: vec![name.to_owned()], ..Expectation::default() };
    assert!(found_under(expecting(programs("zoom")), zoom()).is_empty());
    assert_eq!(found_under(expecting(programs("skype")), zoom()), ["zoom"]);
    let network = Expectation { excluded: vec!["192.0.2.0/24".parse().unwrap()], ..Expectation::default() };
    assert!(found_under(expecting(network), zoom()).is_empty());
    let endpoint = Expectation { endpoint: Some(ip("192.0.2.80")), ..Expectation::default() };
    assert!(found_under(expecting(endpoint), zoom()).is_empty(), "the tunnel's own connection");
    assert!(!is_found(OutsideSocket { program: program("NetworkManager"), ..zoom() }), "it tests the line");
    assert!(!is_found(OutsideSocket { peer: "10.1.2.3:443".parse().unwrap(), ..zoom() }), "not public");
}

#[test]
fn a_program_whose_name_cannot_be_read_is_named_by_its_user() {
    let unnamed = |is_system_user, user: &str| OutsideSocket {
        program: Outcome::Unknown(Reason::Refused("not permitted".to_owned())),
        user: user.to_owned(),
        is_system_user,
        ..zoom()
    };
    let mut world = watched(policy());
    let assessment = look(&mut world, vec![unnamed(false, "alice")]);
    assert_eq!(found(&assessment), ["user alice"]);
    let sentence = &assessment.shown.findings[0].sentence;
    assert!(sentence.starts_with("A program of user alice is connected to "), "{sentence}");
    assert!(sentence.contains("could not be read: refused: not permitted"), "{sentence}");
    assert!(!is_found(unnamed(true, "root")), "it may be the VPN's client");
    let endpoint = Expectation { endpoint: Some(ip("192.0.2.1")), ..Expectation::default() };
    assert_eq!(found_under(expecting(endpoint), unnamed(true, "root")), ["user root"]);
}

#[test]
fn strict_users_are_exposed_by_it() {
    let strict = Expectation { strict_programs: true, ..Expectation::default() };
    let mut world = watched(expecting(strict));
    let assessment = look(&mut world, vec![zoom()]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Exposed);
    assert_eq!(assessment.shown.findings[0].severity, Severity::Critical);
}

#[test]
fn a_table_that_cannot_be_read_resolves_nothing() {
    let unreadable = || Fact::Sockets(Outcome::Unknown(Reason::TimedOut));
    let cut_off = || Fact::Sockets(Outcome::Measured(SocketTable { sockets: vec![], is_complete: false }));
    for fact in [unreadable, cut_off] {
        let mut world = watched(policy());
        look(&mut world, vec![zoom()]);
        for _ in 0..4 {
            world.pass(4, all_vpn);
            world.see(tunnelled());
            world.see([fact()]);
        }
        world.pass(6, all_vpn);
        assert_eq!(world.titles(), ["A program bypasses the tunnel"], "it has not ended");
    }
}

#[test]
fn without_a_healthy_tunnel_it_is_another_finding() {
    let mut world = watched(policy());
    world.see([interfaces(false), table(vec![zoom()])]);
    assert!(found(&world.assess()).is_empty(), "the tunnel is gone");
    let mut world = watched(policy());
    world.see([route("8.8.8.8", "eth0"), table(vec![zoom()])]);
    assert!(found(&world.assess()).is_empty(), "everything bypasses it");
    let mut world = World::new(policy());
    world.see([interfaces(false), route("8.8.8.8", "eth0"), table(vec![zoom()])]);
    assert!(found(&world.pass(3, all_home)).is_empty(), "there is no tunnel");
}

#[test]
fn families_and_programs_are_reported_apart() {
    let mut world = watched(policy());
    world.see([route("2620:fe::fe", "wg0")]);
    let six = OutsideSocket { id: 2, peer: "[2001:db9::80]:443".parse().unwrap(), ..zoom() };
    let other = OutsideSocket { id: 3, program: program("torrent"), ..zoom() };
    world.pass(4, all_vpn);
    world.see(tunnelled());
    world.see([route("2620:fe::fe", "wg0"), table(vec![zoom(), six, other])]);
    let assessment = world.assess();
    let keys: Vec<_> =
        assessment.shown.findings.iter().map(|found| (found.family, found.entity.clone())).collect();
    let entity = |name: &str| Some(Entity::Program(name.to_owned()));
    assert_eq!(
        keys,
        [
            (Some(Family::V4), entity("torrent")),
            (Some(Family::V4), entity("zoom")),
            (Some(Family::V6), entity("zoom"))
        ]
    );
    let sentence = &assessment.shown.verdict.sentence;
    assert!(sentence.ends_with(" But torrent and zoom bypass the tunnel."), "{sentence}");
}
