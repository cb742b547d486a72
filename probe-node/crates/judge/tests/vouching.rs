//! What makes a machine protected, and what holds that back; each rule beside its fault-free twin.

mod world;

use sentinel_judge::Policy;
use sentinel_model::*;
use world::*;

fn expecting(expectation: Expectation) -> Policy {
    Policy { expectation, ..policy() }
}

fn cafe() -> Vec<Fact> {
    vec![exit(FRA, "192.0.2.10"), exit(SERVER, "192.0.2.10")]
}

/// Returns the verdict in a foreign network without a tunnel, under this expectation.
fn in_a_cafe(expectation: Expectation) -> Verdict {
    let mut world = World::new(expecting(expectation));
    world.see([interfaces(false), route("8.8.8.8", "eth0")]);
    world.pass(5, cafe).shown.verdict.verdict
}

#[test]
fn an_expectation_that_names_no_exit_confirms_none_in_a_foreign_network() {
    let resolvers = Expectation { resolvers: vec![ip("10.64.0.1")], ..Expectation::default() };
    assert_eq!(in_a_cafe(resolvers), Verdict::Unverified);
    let blocked = Expectation { ipv6: FamilyPolicy::Blocked, ..Expectation::default() };
    assert_eq!(in_a_cafe(blocked.clone()), Verdict::Unverified);
    let prefix =
        |net: &str| Expectation { exit_prefixes: vec![net.parse().unwrap()], ..Expectation::default() };
    assert_eq!(in_a_cafe(prefix("192.0.2.0/24")), Verdict::Protected, "the user named it");
    let mut tunnel = World::new(expecting(blocked));
    tunnel.see(tunnelled());
    assert_eq!(tunnel.pass(3, all_vpn).shown.verdict.verdict, Verdict::Protected, "a tunnel is in use");
}

#[test]
fn an_expectation_that_names_no_exit_still_shows_a_loss() {
    let resolvers = Expectation { resolvers: vec![ip("10.64.0.1")], ..Expectation::default() };
    let mut world = World::new(expecting(resolvers));
    assert_eq!(world.pass(3, all_home).shown.verdict.verdict, Verdict::Exposed);
}

#[test]
fn an_expectation_of_ipv4_leaves_ipv6_to_be_compared_with_home() {
    let expectation =
        Expectation { exit_prefixes: vec!["203.0.113.0/24".parse().unwrap()], ..Expectation::default() };
    let six = |address: &'static str| {
        vec![exit(FRA, VPN), exit(SERVER, VPN), exit(FRA, address), exit(SERVER, address)]
    };
    let mut world = World::new(expecting(expectation));
    world.see(tunnelled());
    let assessment = world.pass(5, || six(VPN6));
    assert_eq!((kinds(&assessment), assessment.shown.verdict.verdict), (vec![], Verdict::Protected));
    assert_eq!(kinds(&world.pass(1, || six(HOME6))), [FindingKind::ExitExposed]);
    let assessment = world.pass(5, || vec![exit(FRA, "192.0.2.10"), exit(SERVER, "192.0.2.10")]);
    assert!(kinds(&assessment).contains(&FindingKind::ExitUnexpected));
}

const NEW_LINE: &str = "198.51.100.77";

fn at_home(address: &str) -> Policy {
    Policy { home: Home { addresses: vec![ip(address)], ..Home::default() }, ..policy() }
}

fn new_line() -> Vec<Fact> {
    vec![exit(FRA, NEW_LINE), exit(SERVER, NEW_LINE)]
}

#[test]
fn an_exit_that_turns_out_to_be_home_is_no_longer_confirmed() {
    let mut world = World::new(policy());
    world.see([interfaces(false), route("8.8.8.8", "eth0")]);
    world.pass(3, new_line);
    world.judge.set_policy(at_home(NEW_LINE));
    assert_eq!(world.pass(3, new_line).shown.verdict.verdict, Verdict::Off, "the VPN was never on");
    assert!(world.notices.is_empty(), "{:?}", world.titles());
    let mut twin = World::new(policy());
    twin.see([interfaces(false), route("8.8.8.8", "eth0")]);
    twin.pass(3, all_vpn);
    twin.judge.set_policy(policy());
    assert_eq!(twin.pass(3, all_home).shown.verdict.verdict, Verdict::Exposed, "the router's VPN died");
}

#[test]
fn stating_home_with_the_vpn_off_is_no_loss_of_the_tunnel() {
    let mut world = World::protected();
    world.network_change();
    world.see([interfaces(false), route("8.8.8.8", "eth0")]);
    world.see(new_line());
    world.assess();
    let mut twin =
        World { judge: world.judge.clone(), ms: world.ms, epoch: world.epoch, ..World::new(policy()) };
    world.judge.adopt_home(at_home(NEW_LINE));
    assert_eq!(world.pass(10, new_line).shown.verdict.verdict, Verdict::Off);
    assert!(world.notices.is_empty(), "{:?}", world.titles());
    world.network_change();
    world.see(tunnelled());
    world.pass(5, all_vpn);
    assert_eq!(world.pass(3, new_line).shown.verdict.verdict, Verdict::Exposed, "a tunnel is in use again");
    twin.judge.set_policy(at_home(NEW_LINE));
    assert_eq!(
        twin.pass(10, new_line).shown.verdict.verdict,
        Verdict::Exposed,
        "nobody said that it is off on purpose"
    );
}

#[test]
fn a_leak_that_was_not_measured_again_holds_protection_back() {
    let change = |before: &str| {
        let mut world = World::protected();
        world.see([resolver(before)]);
        world.pass(3, all_vpn);
        world.network_change();
        world.see([interfaces(true), route("8.8.8.8", "wg0"), route("1.1.1.1", "wg0")]);
        world.ms += 2_500;
        world.see(all_vpn());
        world
    };
    let mut world = change("198.51.100.53");
    let verdict = world.assess().shown.verdict;
    assert_eq!(verdict.verdict, Verdict::Unverified, "{}", verdict.sentence);
    assert!(verdict.sentence.starts_with("Nobody can tell whether this is over: Names are answered by"));
    world.see(tunnelled());
    assert_eq!(
        world.pass(1, all_vpn).shown.verdict.verdict,
        Verdict::Protected,
        "it was measured, and is gone"
    );
    assert_eq!(change(VPN).verdict(), Verdict::Protected);
}

#[test]
fn one_voice_naming_home_among_seven_is_not_outvoted() {
    let others = || ["a", "b", "c", "d", "e", "f"].into_iter().zip(1..).map(|who| exit(who, VPN));
    let mut world = World::new(policy());
    world.see(tunnelled());
    assert_eq!(world.pass(3, || others().collect()).shown.verdict.verdict, Verdict::Protected);
    let lied = world.pass(3, || others().chain([exit(OSLO, HOME)]).collect());
    assert_eq!(lied.shown.verdict.verdict, Verdict::Suspect);
}

#[test]
fn a_family_that_only_one_voice_sees_holds_protection_back_unless_it_is_known_to_be_inside() {
    let judged = |six: &'static str, routes: Vec<Fact>| {
        let mut world = World::new(policy());
        world.see(tunnelled());
        world.see(routes);
        world.pass(5, || vec![exit(FRA, VPN), exit(SERVER, VPN), exit(FRA, six)]).shown.verdict
    };
    let stranger = "2001:db8:77::1";
    let lone = judged(stranger, Vec::new());
    assert_eq!(lone.verdict, Verdict::Unverified);
    assert_eq!(lone.sentence, "Only vps-fra sees you over IPv6, at 2001:db8:77::1; one voice is not enough.");
    assert_eq!(judged(VPN6, Vec::new()).verdict, Verdict::Protected, "the same operator");
    assert_eq!(
        judged(stranger, vec![route("2620:fe::fe", "wg0")]).verdict,
        Verdict::Protected,
        "in the tunnel"
    );
}

#[test]
fn a_network_that_keeps_changing_does_not_uphold_protection() {
    let service = |name: &str, asn| match exit((name, asn), VPN) {
        Fact::Exit(seen) => Fact::Exit(ExitSeen { path: ExitPath::HttpsEcho, ..seen }),
        other => other,
    };
    let changing = |answered: bool| {
        let mut world = World::protected();
        world.see([service("one", 1), service("two", 2)]);
        let mut verdicts = Vec::new();
        for _ in 0..10 {
            world.network_change();
            world.see([interfaces(true), route("8.8.8.8", "wg0")]);
            for _ in 0..15 {
                world.ms += 100;
                verdicts.push(world.verdict());
            }
            if answered {
                world.see(all_vpn());
            }
        }
        verdicts
    };
    let deaf = changing(false);
    assert!(deaf[25..].iter().all(|verdict| *verdict == Verdict::Unverified), "{deaf:?}");
    assert!(changing(true).iter().all(|verdict| *verdict == Verdict::Protected));
}

#[test]
fn reports_from_before_a_change_uphold_protection_only_as_long_as_a_beacons() {
    let service = |name: &str, asn| match exit((name, asn), VPN) {
        Fact::Exit(seen) => Fact::Exit(ExitSeen { path: ExitPath::HttpsEcho, ..seen }),
        other => other,
    };
    for (silence, expected) in [(2_000, Verdict::Protected), (20_000, Verdict::Unverified)] {
        let mut world = World::new(policy());
        world.see(tunnelled());
        world.see([service("one", 1), service("two", 2)]);
        world.ms += silence;
        assert_eq!(world.verdict(), Verdict::Protected, "asked once a round");
        world.network_change();
        world.ms += 500;
        assert_eq!(world.verdict(), expected, "{silence}");
    }
}

fn attested(who: (&str, u32), address: &str) -> Fact {
    match exit(who, address) {
        Fact::Exit(seen) => Fact::Exit(ExitSeen { path: ExitPath::Attested, ..seen }),
        other => other,
    }
}

#[test]
fn an_attested_report_does_not_outvote_the_same_witness_later_answer() {
    let judged = |later: bool| {
        let mut world = World::protected();
        world.ms += 500;
        world.see([attested(SERVER, HOME)]);
        assert_eq!(world.verdict(), Verdict::Suspect, "it is the latest it said");
        world.ms += 500;
        if later {
            world.see(all_vpn());
        }
        world.verdict()
    };
    assert_eq!([judged(true), judged(false)], [Verdict::Protected, Verdict::Suspect]);
}

#[test]
fn an_attested_report_counts_for_as_long_as_a_beacons() {
    let mut world = World::new(policy());
    world.see(tunnelled());
    world.see([attested(FRA, VPN), attested(SERVER, VPN)]);
    world.ms += 4_000;
    assert_eq!(world.verdict(), Verdict::Protected);
    world.ms += 4_000;
    assert_eq!(world.verdict(), Verdict::Unverified);
}
