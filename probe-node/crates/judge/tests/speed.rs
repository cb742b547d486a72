//! Round trips that drop, and what that means; each rule beside its fault-free twin.

mod world;

use proptest::prelude::*;
use sentinel_judge::{
    Assessment, Policy, Thresholds,
    latency::{Detector, Params},
};
use sentinel_model::*;
use world::*;

fn trips(fra: u32, server: u32, oslo: u32) -> Vec<Fact> {
    let mut facts = all_vpn();
    facts.extend([trip(FRA, fra), trip(SERVER, server), trip(OSLO, oslo)]);
    facts
}

fn underlay(millis: u32) -> Fact {
    Fact::Underlay(UnderlaySeen {
        endpoint: ip("192.0.2.1"),
        rtt: Outcome::Measured(Micros(millis * 1_000)),
        evidence: FarEndEvidence::Peer,
        owner: None,
    })
}

/// A world whose line was full from the start: everything takes 80 ms longer.
fn learned_under_load(measured: bool) -> World {
    let mut world = World::protected();
    world.pass(15, || trips(120, 130, 140));
    if measured {
        world.see([underlay(100)]);
    }
    world.pass(25, || trips(120, 130, 140));
    world
}

#[test]
fn the_end_of_a_load_under_which_the_baseline_was_learned_is_no_drop() {
    let mut world = learned_under_load(true);
    world.see([underlay(20)]);
    let relieved = world.pass(60, || trips(40, 50, 60));
    assert_eq!((kinds(&relieved), relieved.shown.verdict.verdict), (vec![], Verdict::Protected));
    assert!(world.notices.is_empty(), "{:?}", world.titles());
    let mut left = World::protected();
    left.see([underlay(60)]);
    left.pass(40, || trips(120, 130, 140));
    left.see([underlay(60)]);
    assert_eq!(
        kinds(&left.pass(6, || trips(70, 80, 90))),
        [FindingKind::LatencyDrop],
        "the line is as it was"
    );
}

#[test]
fn a_drop_that_the_underlay_does_not_share_counts() {
    let mut world = World::protected();
    world.see([underlay(20)]);
    world.pass(40, || trips(80, 90, 100));
    world.see([underlay(20)]);
    assert_eq!(kinds(&world.pass(6, || trips(30, 40, 50))), [FindingKind::LatencyDrop]);
    // The far end itself came nearer: what lies beyond it became faster by twice as much.
    let mut nearer = World::protected();
    nearer.see([underlay(24)]);
    nearer.pass(40, || trips(80, 90, 100));
    nearer.see([underlay(2)]);
    assert_eq!(kinds(&nearer.pass(6, || trips(36, 46, 56))), [FindingKind::LatencyDrop]);
}

#[test]
fn without_an_underlay_young_paths_that_all_drop_by_the_same_do_not_count() {
    let mut world = learned_under_load(false);
    let relieved = world.pass(60, || trips(40, 50, 60));
    assert_eq!((kinds(&relieved), relieved.shown.verdict.verdict), (vec![], Verdict::Protected));
    let mut differently = learned_under_load(false);
    assert_eq!(kinds(&differently.pass(6, || trips(40, 20, 100))), [FindingKind::LatencyDrop]);
    let mut grown = World::protected();
    grown.pass(620, || trips(120, 130, 140));
    assert_eq!(kinds(&grown.pass(6, || trips(40, 50, 60))), [FindingKind::LatencyDrop]);
}

#[test]
fn with_other_evidence_the_same_drop_counts() {
    let mut world = learned_under_load(false);
    world.pass(10, || trips(40, 50, 60));
    world.see([resolver("198.51.100.53")]);
    let assessment = world.assess();
    let fall =
        assessment.shown.findings.iter().find(|finding| finding.kind == FindingKind::LatencyDrop).unwrap();
    assert_eq!(fall.severity, Severity::Critical);
}

#[test]
fn a_server_asked_once_a_round_counts_for_the_whole_round() {
    let service = |name: &str, millis: u32| match trip((name, u32::from(name.as_bytes()[0])), millis) {
        Fact::RoundTrip(trip) => {
            let source = Source::Service(name.to_owned());
            Fact::RoundTrip(RoundTrip { target: Voice { source, ..trip.target }, ..trip })
        }
        other => other,
    };
    let round = |world: &mut World, [one, two]: [u32; 2]| {
        world.see([service("a", one), service("b", two)]);
        (0..30)
            .map(|_| kinds(&world.pass(1, all_vpn)).contains(&FindingKind::LatencyDrop))
            .collect::<Vec<_>>()
    };
    let mut world = World::protected();
    for _ in 0..30 {
        assert!(!round(&mut world, [80, 90]).contains(&true));
    }
    let found: Vec<bool> = (0..6).flat_map(|_| round(&mut world, [30, 30])).collect();
    let first = found.iter().position(|found| *found).unwrap();
    assert!(found[first..].iter().all(|found| *found), "{found:?}");
}

#[test]
fn the_second_sample_of_a_drop_makes_a_finding() {
    let mut world = World::protected();
    world.pass(40, || trips(80, 90, 100));
    assert_eq!(kinds(&world.pass(1, || trips(56, 55, 80))), []);
    assert_eq!(kinds(&world.pass(1, || trips(56, 55, 80))), [FindingKind::LatencyDrop]);
}

#[test]
fn drops_of_fifteen_percent_count_and_smaller_ones_only_where_asked_for() {
    let smallest = |latency_drop| Policy {
        thresholds: Thresholds { latency_drop, ..Thresholds::default() },
        ..policy()
    };
    for (policy, [fra, server, oslo], found) in [
        (policy(), [68, 75, 82], true),
        (policy(), [73, 83, 93], false),
        (smallest(0.10), [72, 80, 88], true),
        (smallest(0.10), [77, 87, 96], false),
    ] {
        let mut world = World::new(policy);
        world.see(tunnelled());
        world.pass(40, || trips(80, 90, 100));
        let fallen = kinds(&world.pass(6, || trips(fra, server, oslo)));
        assert_eq!(fallen.contains(&FindingKind::LatencyDrop), found, "{fra}");
    }
}

/// Feeds a detector one sample a second. Returns after which samples it noticed a drop.
fn feed(detector: &mut Detector, from: u64, samples: &[u32]) -> Vec<usize> {
    let at = |second: u64| Moment { boot: Monotonic(second * 1_000), wall: Timestamp(0) };
    let noticed = (1usize..)
        .zip(from..)
        .zip(samples)
        .filter(|((_, second), rtt)| detector.push(at(*second), Micros(**rtt)).is_some());
    noticed.map(|((nth, _), _)| nth).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_only_lengthens_round_trips_is_no_drop(
        path in 1_000u32..200_000,
        delays in prop::collection::vec(prop_oneof![0u32..1_000, 0u32..500_000], 0..500),
    ) {
        let mut detector = Detector::new(Params::default());
        let known = [path; 20];
        let samples: Vec<u32> = delays.iter().map(|delay| path + delay).collect();
        prop_assert_eq!(feed(&mut detector, 0, &known), Vec::<usize>::new());
        prop_assert_eq!(feed(&mut detector, 20, &samples), Vec::<usize>::new());
        prop_assert_eq!(detector.drop(), None);
    }

    #[test]
    fn a_shorter_path_is_found_with_its_second_sample_whatever_the_load_before(
        path in 20_000u32..200_000,
        delays in prop::collection::vec(0u32..500_000, 0..300),
        kept in 50u32..=85,
    ) {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, 0, &[path; 20]);
        let samples: Vec<u32> = delays.iter().map(|delay| path + delay).collect();
        feed(&mut detector, 20, &samples);
        prop_assert_eq!(feed(&mut detector, 320, &[path / 100 * kept; 10]), vec![2]);
    }
}

/// The same round trips, seen from another exit or over IPv6.
fn changed(facts: Vec<Fact>, change: impl Fn(&mut RoundTrip)) -> Vec<Fact> {
    let change_trip = |mut fact: Fact| {
        if let Fact::RoundTrip(trip) = &mut fact {
            change(trip);
        }
        fact
    };
    facts.into_iter().map(change_trip).collect()
}

#[test]
fn each_target_and_family_is_shown_with_its_own_baseline_for_ten_minutes() {
    let mut world = World::protected();
    world.pass(30, || trips(80, 90, 100));
    world.pass(30, || changed(trips(30, 40, 50), |trip| trip.family = Family::V6));
    let baselines = |assessment: Assessment| -> Vec<(Family, String, Option<u32>)> {
        let shown = assessment.shown.latency.into_iter();
        let mut all: Vec<_> = shown
            .map(|view| (view.family, view.target.name, view.baseline.map(|usual| usual.0 / 1_000)))
            .collect();
        all.sort();
        all
    };
    let mut expected: Vec<_> = [(FRA, 80), (SERVER, 90), (OSLO, 100)]
        .into_iter()
        .flat_map(|((name, _), rtt)| {
            [(Family::V4, rtt), (Family::V6, rtt - 50)].map(|(f, rtt)| (f, name.to_owned(), Some(rtt)))
        })
        .collect();
    expected.sort();
    assert_eq!(baselines(world.assess()), expected);
    let four =
        |all: Vec<(Family, String, Option<u32>)>| all.iter().filter(|(f, ..)| *f == Family::V4).count();
    assert_eq!(four(baselines(world.pass(570, all_vpn))), 3, "600 s old");
    assert_eq!(four(baselines(world.pass(1, all_vpn))), 0, "601 s old");
}

#[test]
fn a_network_has_dropped_only_if_all_its_targets_have() {
    let neighbour = ("neighbour", FRA.1);
    for (rtt, found) in [(85, vec![]), (30, vec![FindingKind::LatencyDrop])] {
        let mut world = World::protected();
        let with = |rtt, mut facts: Vec<Fact>| {
            facts.push(trip(neighbour, rtt));
            facts
        };
        world.pass(40, || with(85, trips(80, 90, 100)));
        assert_eq!(kinds(&world.pass(6, || with(rtt, trips(30, 40, 100)))), found, "{rtt}");
    }
}

#[test]
fn of_a_target_the_path_in_use_last_is_judged() {
    let other_exit = |facts| changed(facts, |trip| trip.exit = Some(attributed("192.0.2.77")));
    let mut world = World::protected();
    world.pass(40, || other_exit(trips(80, 90, 100)));
    world.pass(40, || trips(80, 90, 100));
    assert_eq!(kinds(&world.pass(4, || trips(30, 35, 70))), [FindingKind::LatencyDrop]);
    assert_eq!(kinds(&world.pass(1, || other_exit(trips(80, 90, 100)))), []);
    assert_eq!(kinds(&world.pass(1, || trips(30, 35, 70))), [FindingKind::LatencyDrop]);
}
