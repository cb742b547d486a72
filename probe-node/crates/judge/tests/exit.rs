//! Which exit the voices see, and what follows; each rule beside its fault-free twin.

mod world;

use sentinel_judge::{ExitChange, Policy, Thresholds};
use sentinel_model::*;
use world::*;

#[test]
fn two_agreeing_nodes_make_it_protected() {
    let mut world = World::protected();
    let assessment = world.assess();
    assert_eq!(
        assessment.shown.verdict.sentence,
        "2 of your nodes see you at 203.0.113.12 (Example VPN, Sweden); names are resolved inside the tunnel."
    );
    assert_eq!(assessment.shown.verdict.assurance, Some(Assurance::Witnessed));
    assert!(assessment.shown.findings.is_empty() && world.notices.is_empty());
}

#[test]
fn home_seen_by_two_is_exposed_at_once_and_reported_in_full() {
    let mut world = World::protected();
    world.network_change();
    world.ms += 40;
    world.see([interfaces(false), route("8.8.8.8", "eth0"), route("1.1.1.1", "eth0")]);
    world.ms += 40;
    world.see(all_home());
    assert_eq!(world.verdict(), Verdict::Exposed);
    assert_eq!(world.titles(), ["Your real address is visible"]);
    assert_eq!(
        world.notices[0].body,
        "198.51.100.142 (home line) seen over IPv4 by home-server and vps-fra since 00:00:03. \
         The tunnel wg0 is gone. Reconnect the VPN or go offline."
    );
    assert_eq!(world.changed[0].id.0, format!("exit-exposed-v4-{}", moment(3_080).wall.0));
}

#[test]
fn the_notice_of_a_recovery_says_how_long_it_lasted() {
    let mut world = World::protected();
    world.pass(41, all_home);
    world.pass(20, all_vpn);
    assert_eq!(world.titles(), ["Your real address is visible", "Protected again"]);
    assert_eq!(world.notices[1].body, "Exposed for 46 s over IPv4. 82 of 94 probes left outside the tunnel.");
    assert_eq!(world.notices[0].incident, world.notices[1].incident);
}

#[test]
fn home_seen_by_one_alone_is_suspect_and_measured_again() {
    let mut world = World::protected();
    world.ms += 500;
    world.see([exit(FRA, HOME)]);
    let assessment = world.assess();
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Suspect);
    assert!(assessment.remeasure);
    assert!(!world.assess().remeasure, "once per suspicion");
    assert!(world.notices.is_empty());
}

#[test]
fn one_voice_with_local_evidence_is_proof() {
    for evidence in [vec![interfaces(false)], vec![route("8.8.8.8", "eth0")], vec![resolver("198.51.100.53")]]
    {
        let mut world = World::protected();
        world.see(evidence);
        world.see([exit(FRA, HOME)]);
        assert!(kinds(&world.assess()).contains(&FindingKind::ExitExposed));
    }
    let mut twin = World::protected();
    twin.see([exit(FRA, HOME)]);
    assert!(!kinds(&twin.assess()).contains(&FindingKind::ExitExposed));
}

#[test]
fn a_lying_voice_stays_a_suspicion_however_often_it_lies() {
    let mut world = World::protected();
    world.pass(10, || vec![exit(FRA, HOME), exit(SERVER, VPN), exit(OSLO, VPN)]);
    assert_eq!(world.verdict(), Verdict::Suspect);
    assert_eq!(world.titles(), ["Your real address may be visible"]);
}

#[test]
fn two_voices_of_one_network_are_one() {
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([exit(("a", 7), VPN), exit(("b", 7), VPN)]);
    assert_eq!(world.verdict(), Verdict::Unverified);
    world.see([exit(("c", 8), VPN)]);
    assert_eq!(world.verdict(), Verdict::Protected);
}

#[test]
fn a_private_address_is_no_voice() {
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([exit(FRA, VPN), exit(SERVER, "192.168.1.7")]);
    assert_eq!(world.verdict(), Verdict::Unverified);
}

#[test]
fn public_services_alone_give_less_assurance() {
    let service = |name: &str, asn| {
        let voice = Voice {
            source: Source::Service(name.to_owned()),
            name: name.to_owned(),
            network: NetworkKey::Asn(Asn(asn)),
        };
        let address = Outcome::Measured(attributed(VPN));
        Fact::Exit(ExitSeen { family: Family::V4, voice, path: ExitPath::Stun, address, route: None })
    };
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([service("stun.one", 1), service("stun.two", 2)]);
    let verdict = world.assess().shown.verdict;
    assert_eq!((verdict.verdict, verdict.assurance), (Verdict::Protected, Some(Assurance::PublicOnly)));
    world.ms += 30_000;
    assert_eq!(world.verdict(), Verdict::Protected, "asked once per round, they count until the next");
    world.ms += 90_000;
    assert_eq!(world.verdict(), Verdict::Unverified);
}

#[test]
fn services_that_were_cut_off_with_the_beacons_do_not_count_longer() {
    let echo = |name: &str, asn| match exit((name, asn), VPN) {
        Fact::Exit(seen) => Fact::Exit(ExitSeen { path: ExitPath::HttpsEcho, ..seen }),
        other => other,
    };
    let echoes = || vec![echo("echo.one", 1), echo("echo.two", 2)];
    let mute = || vec![silent(FRA, Family::V4), silent(SERVER, Family::V4)];
    let mut world = World::protected();
    world.see(echoes());
    assert_eq!(world.pass(10, mute).shown.verdict.verdict, Verdict::Unverified, "a blackhole swallows both");
    world.see(echoes());
    assert_eq!(world.pass(30, mute).shown.verdict.verdict, Verdict::Protected, "only the witnesses are down");
}

#[test]
fn silence_is_unverified_then_an_incident_and_never_safe() {
    let mut world = World::protected();
    let mute = || vec![silent(FRA, Family::V4), silent(SERVER, Family::V4)];
    let assessment = world.pass(10, mute);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Unverified);
    assert_eq!(kinds(&assessment), [FindingKind::WitnessesSilent]);
    world.pass(60, mute);
    assert_eq!(world.titles(), ["Cannot verify your VPN"]);
    assert!(world.notices[0].body.ends_with("Protection is unknown, not confirmed."));
    world.pass(10, all_vpn);
    assert_eq!(world.titles()[1..], ["Your VPN can be verified again"]);
}

#[test]
fn an_exposure_that_can_no_longer_be_determined_stays_open_as_unknown() {
    let mut world = World::protected();
    world.pass(3, all_home);
    let assessment = world.pass(600, || vec![silent(FRA, Family::V4), silent(SERVER, Family::V4)]);
    let exposed =
        assessment.shown.incidents.iter().find(|incident| incident.kind == FindingKind::ExitExposed).unwrap();
    assert_eq!(exposed.state, IncidentState::Unknown);
    assert!(world.notices.iter().all(|notice| notice.kind == NoticeKind::Alarm));
}

#[test]
fn a_silent_ipv6_does_not_count_as_safe() {
    let mut world = World::protected();
    world.see([exit(FRA, HOME6), exit(SERVER, HOME6)]);
    assert_eq!(world.verdict(), Verdict::Exposed);
    let assessment = world.pass(30, all_vpn);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Unverified);
    assert!(
        assessment
            .shown
            .verdict
            .sentence
            .starts_with("Nobody can tell whether this is over: 2001:db8:51:7::9")
    );
    world.network_change();
    world.see(tunnelled());
    world.see([no_route("2001:db8::1"), no_route("2620:fe::fe")]);
    let assessment = world.pass(10, all_vpn);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected, "{:?}", assessment.shown.verdict);
}

#[test]
fn expectations_decide_without_home() {
    let expecting = |asn| Policy {
        home: Home::default(),
        expectation: Expectation { exit_asns: vec![Asn(asn)], ..Expectation::default() },
        ..policy()
    };
    let mut met = World::new(expecting(64_510));
    met.see(all_vpn());
    assert_eq!(met.verdict(), Verdict::Protected);
    let mut broken = World::new(expecting(64_599));
    broken.see(all_vpn());
    assert_eq!(broken.verdict(), Verdict::Exposed);
    assert_eq!(broken.titles(), ["Your exit is not the one you expect"]);
}

#[test]
fn blocked_ipv6_that_gets_out_is_unexpected() {
    let expectation = Expectation { ipv6: FamilyPolicy::Blocked, ..Expectation::default() };
    let mut world = World::new(Policy { expectation, ..policy() });
    world.see(tunnelled());
    world.pass(3, all_vpn);
    assert_eq!(world.verdict(), Verdict::Protected);
    world.see([exit(FRA, VPN6), exit(SERVER, VPN6)]);
    assert_eq!(kinds(&world.assess()), [FindingKind::ExitUnexpected]);
}

#[test]
fn a_moved_exit_is_information_and_another_operator_a_warning() {
    let mut same = World::protected();
    let assessment = same.pass(2, || vec![exit(FRA, "203.0.113.77"), exit(SERVER, "203.0.113.77")]);
    assert_eq!(kinds(&assessment), [FindingKind::ExitAddressChanged]);
    assert!(same.notices.is_empty());
    let mut other = World::protected();
    let move_away = || vec![exit(FRA, "192.0.2.200"), exit(SERVER, "192.0.2.200"), resolver("192.0.2.201")];
    let assessment = other.pass(2, move_away);
    assert_eq!(kinds(&assessment), [FindingKind::ExitOperatorChanged]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected);
    other.pass(65, move_away);
    assert_eq!(other.titles(), ["Your exit moved to another operator", "Your exit has settled"]);
    let mut spread = World::protected();
    let assessment = spread.pass(9, || vec![exit(FRA, VPN), exit(SERVER, "203.0.113.77")]);
    assert!(assessment.shown.findings.is_empty(), "several exits of one provider are one exit");
}

#[test]
fn a_server_without_a_vpn_asks_for_home_and_never_alarms() {
    let mut world = World::new(Policy { home: Home::default(), ..policy() });
    world.see([
        interfaces(false),
        route("8.8.8.8", "eth0"),
        resolver("198.51.100.53"),
        configured("198.51.100.53"),
    ]);
    let assessment = world.pass(10, || vec![exit(FRA, "192.0.2.10"), exit(OSLO, "192.0.2.10")]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Unverified);
    assert_eq!(assessment.shown.needs, [Need::Home]);
    world.pass(200, || vec![silent(FRA, Family::V4), silent(OSLO, Family::V4)]);
    assert!(world.notices.is_empty() && world.changed.is_empty());
}

#[test]
fn a_vpn_that_was_never_on_is_off_and_turning_it_on_raises_nothing() {
    let mut world = World::new(policy());
    world.see([
        interfaces(false),
        route("8.8.8.8", "eth0"),
        configured("198.51.100.53"),
        resolver("198.51.100.53"),
    ]);
    let assessment = world.pass(5, all_home);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Off);
    world.network_change();
    world.see([interfaces(true), route("8.8.8.8", "eth0")]);
    world.see(all_home());
    assert_eq!(world.verdict(), Verdict::Off);
    world.see([route("8.8.8.8", "wg0")]);
    world.assess();
    world.network_change();
    world.see(tunnelled());
    world.pass(5, all_vpn);
    assert_eq!(world.verdict(), Verdict::Protected);
    assert!(world.notices.is_empty(), "{:?}", world.titles());
}

#[test]
fn a_vpn_known_from_before_a_restart_is_expected() {
    let mut world = World::new(Policy { own_tunnel_known: true, ..policy() });
    world.see(all_home());
    assert_eq!(world.verdict(), Verdict::Exposed);
}

#[test]
fn a_router_vpn_that_dies_in_the_same_network_is_exposed_but_coming_home_is_not() {
    let mut world = World::new(policy());
    world.see(all_vpn());
    assert_eq!(world.verdict(), Verdict::Unverified, "it may as well be a strange network");
    let mut roaming = World { judge: world.judge.clone(), ..World::new(policy()) };
    world.ms += 1_000;
    world.see(all_home());
    assert_eq!(world.verdict(), Verdict::Exposed);
    roaming.ms += 1_000;
    roaming.network_change();
    roaming.see(all_home());
    assert_eq!(roaming.verdict(), Verdict::Off);
}

#[test]
fn a_network_change_does_not_flicker() {
    let mut world = World::protected();
    world.network_change();
    for _ in 0..19 {
        world.ms += 100;
        assert_eq!(world.verdict(), Verdict::Protected);
    }
    world.ms += 200;
    assert_eq!(world.verdict(), Verdict::Unverified);
    let mut home = World::protected();
    home.network_change();
    home.see([exit(FRA, HOME)]);
    assert_eq!(home.verdict(), Verdict::Suspect, "new evidence wins at once");
}

#[test]
fn what_was_measured_in_another_epoch_is_discarded() {
    let mut world = World::protected();
    let before = world.epoch;
    world.network_change();
    let now = world.now();
    for fact in all_home() {
        world.judge.observe(&Observation { at: now, epoch: before, fact });
    }
    assert_eq!(world.verdict(), Verdict::Protected);
}

#[test]
fn paused_is_off_and_offline_silences() {
    let mut world = World::protected();
    let now = world.now();
    world.judge.set_paused(true, now);
    world.pass(5, all_home);
    assert_eq!(world.verdict(), Verdict::Off);
    let mut offline = World::protected();
    offline.network_change();
    offline.see([Fact::Connectivity(Connectivity::Offline), interfaces(false)]);
    let assessment = offline.pass(100, Vec::new);
    assert_eq!(kinds(&assessment), [FindingKind::Offline]);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Unverified);
    assert!(world.notices.is_empty() && offline.notices.is_empty());
}

#[test]
fn an_answer_that_was_on_its_way_does_not_prove_a_network_and_one_asked_for_since_does() {
    let mut world = World::protected();
    let before = world.epoch;
    world.network_change();
    world.see([Fact::Connectivity(Connectivity::Offline), interfaces(true)]);
    world.ms += 50;
    let now = std::mem::replace(&mut world.epoch, before);
    world.see(all_vpn());
    world.epoch = now;
    assert_eq!(kinds(&world.assess()), [FindingKind::Offline]);
    world.see(all_vpn());
    assert_eq!(world.verdict(), Verdict::Protected);
}

#[test]
fn a_route_says_nothing_against_a_portal_and_a_voice_does() {
    let mut world = World::protected();
    world.network_change();
    world.see([Fact::Connectivity(Connectivity::Portal)]);
    assert_eq!(kinds(&world.pass(4, Vec::new)), [FindingKind::Offline]);
    for _ in 0..3 {
        world.network_change();
        world.see([Fact::Connectivity(Connectivity::Routed), interfaces(true)]);
        assert_eq!(kinds(&world.assess()), [FindingKind::Offline]);
    }
    let ended = |world: &World| world.changed.iter().any(|it| it.state == IncidentState::Resolved);
    assert!(!ended(&world), "each change of the network would report the portal anew");
    world.see(all_vpn());
    assert_eq!((world.verdict(), kinds(&world.assess())), (Verdict::Protected, vec![]));
    let mut forgotten = World::protected();
    forgotten.network_change();
    forgotten.see([Fact::Connectivity(Connectivity::Portal)]);
    forgotten.pass(100, Vec::new);
    forgotten.see([Fact::Connectivity(Connectivity::Routed)]);
    assert!(!kinds(&forgotten.assess()).contains(&FindingKind::Offline), "not found again for long");
}

#[test]
fn an_incident_survives_a_restart_and_resolves_in_the_next_run() {
    let mut world = World::protected();
    let open = world.pass(3, all_home).shown.incidents;
    let mut next = World::new(Policy { own_tunnel_known: true, ..policy() });
    next.judge.restore_incidents(open.clone());
    next.ms = 60_000;
    next.see(tunnelled());
    next.pass(10, all_vpn);
    assert_eq!(next.titles(), ["Protected again"]);
    assert_eq!(next.notices[0].incident, open[0].id);
}

#[test]
fn a_foreign_network_without_a_vpn_is_not_protected() {
    let cafe = || vec![exit(FRA, "192.0.2.10"), exit(SERVER, "192.0.2.10")];
    let mut world = World::new(policy());
    world.see([interfaces(false), route("8.8.8.8", "eth0")]);
    let assessment = world.pass(10, cafe);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Unverified);
    assert!(
        assessment.shown.verdict.sentence.starts_with(
            "You are at 192.0.2.10, which is not your home line, but no tunnel interface carries your traffic"
        ),
        "{}",
        assessment.shown.verdict.sentence
    );
    assert!(world.notices.is_empty());
    let mut blind = World::new(policy());
    assert!(blind.pass(3, cafe).shown.verdict.sentence.contains("nothing tells whether a tunnel is in use"));
}

#[test]
fn a_tunnel_or_a_stated_expectation_makes_the_same_exit_protection() {
    let mut tunnel = World::new(policy());
    tunnel.see(tunnelled());
    assert_eq!(tunnel.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected);
    let expectation = Expectation { exit_asns: vec![Asn(64_510)], ..Expectation::default() };
    let mut router = World::new(Policy { expectation, ..policy() });
    router.see([interfaces(false), route("8.8.8.8", "eth0")]);
    assert_eq!(router.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected);
    // An expectation that only says how to measure confirms no exit.
    let expectation = Expectation { kill_switch: true, ..Expectation::default() };
    let mut measuring = World::new(Policy { expectation, ..policy() });
    measuring.see([interfaces(false), route("8.8.8.8", "eth0")]);
    assert_eq!(measuring.pass(3, all_vpn).shown.verdict.verdict, Verdict::Unverified);
}

#[test]
fn a_moved_exit_means_what_the_user_says() {
    use FindingKind::{ExitAddressChanged as Address, ExitOperatorChanged as Operator};
    let judged = |exit_change, to: &'static str| {
        let mut world = World::new(Policy {
            thresholds: Thresholds { exit_change, ..Thresholds::default() },
            ..policy()
        });
        world.see(tunnelled());
        world.pass(3, all_vpn);
        let assessment = world.pass(2, || vec![exit(FRA, to), exit(SERVER, to)]);
        let found = assessment.shown.findings.iter().find(|f| f.kind != FindingKind::DnsForeignResolver);
        (found.map(|finding| (finding.kind, finding.severity)), assessment.shown.verdict.verdict)
    };
    let (other, near) = ("192.0.2.200", "203.0.113.77");
    for (change, to, found, verdict) in [
        (ExitChange::Ignore, other, None, Verdict::Protected),
        (ExitChange::Ignore, near, None, Verdict::Protected),
        (ExitChange::Inform, other, Some((Operator, Severity::Warning)), Verdict::Protected),
        (ExitChange::Inform, near, Some((Address, Severity::Information)), Verdict::Protected),
        (ExitChange::Alarm, other, Some((Operator, Severity::Critical)), Verdict::Suspect),
        (ExitChange::Alarm, near, Some((Address, Severity::Warning)), Verdict::Protected),
        (ExitChange::Alarm, VPN, None, Verdict::Protected),
    ] {
        assert_eq!(judged(change, to), (found, verdict), "{change:?} {to}");
    }
}

#[test]
fn a_voice_that_keeps_contradicting_is_named_and_changes_no_verdict() {
    let seen = |oslo: &'static str| vec![exit(FRA, VPN), exit(SERVER, VPN), exit(OSLO, oslo)];
    let mut world = World::protected();
    let early = world.pass(8, || seen("192.0.2.9"));
    assert!(early.shown.findings.is_empty(), "a voice may notice a move later than the others");
    let assessment = world.pass(20, || seen("192.0.2.9"));
    assert_eq!(kinds(&assessment), [FindingKind::VoiceDissents]);
    assert_eq!(
        assessment.shown.findings[0].sentence,
        "vps-osl sees 192.0.2.9 over IPv4 where 2 others see 203.0.113.12 (Example VPN, Sweden)."
    );
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected);
    assert!(world.notices.is_empty());
    assert!(world.pass(5, || seen(VPN)).shown.findings.is_empty());
    let mut twin = World::protected();
    assert!(
        twin.pass(60, || seen("203.0.113.99")).shown.findings.is_empty(),
        "another exit of the same operator"
    );
}

#[test]
fn one_dissenter_among_five_changes_no_verdict_and_two_do() {
    let voices = |against: usize| -> Vec<Fact> {
        let seen = |n: usize| if n < against { "192.0.2.9" } else { VPN };
        (0..5).map(|n| exit((["a", "b", "c", "d", "e"][n], [1, 2, 3, 4, 5][n]), seen(n))).collect()
    };
    let verdict = |against| {
        let mut world = World::new(policy());
        world.see(tunnelled());
        world.pass(40, || voices(against)).shown.verdict.verdict
    };
    assert_eq!(
        [verdict(0), verdict(1), verdict(2)],
        [Verdict::Protected, Verdict::Protected, Verdict::Unverified]
    );
}
