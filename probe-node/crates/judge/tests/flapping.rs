//! Conditions that come and go: one incident, one notice.

mod world;

use proptest::prelude::*;
use sentinel_model::*;
use std::collections::BTreeMap;
use world::*;

/// Repeats some seconds of home and some seconds of the tunnel.
fn flap(world: &mut World, times: usize, home: u64, vpn: u64) {
    for _ in 0..times {
        world.pass(home, all_home);
        world.pass(vpn, all_vpn);
    }
}

fn alarms(world: &World) -> usize {
    world.notices.iter().filter(|notice| notice.kind == NoticeKind::Alarm).count()
}

#[test]
fn flapping_every_few_seconds_is_one_incident() {
    let mut world = World::protected();
    flap(&mut world, 100, 2, 3);
    assert_eq!(alarms(&world), 1);
    assert!(world.notices.iter().all(|notice| notice.kind == NoticeKind::Alarm), "it is not over");
    world.see(tunnelled());
    world.pass(310, all_vpn);
    assert_eq!(world.titles(), ["Your real address is visible", "Protected again"]);
    assert!(world.notices[1].body.contains("It came back 99 times in between."), "{}", world.notices[1].body);
}

#[test]
fn slower_flapping_is_announced_three_times_at_most() {
    let mut world = World::protected();
    flap(&mut world, 30, 10, 12);
    assert_eq!(alarms(&world), 3);
}

#[test]
fn exposures_far_apart_are_separate_incidents_and_end_separately() {
    let mut world = World::protected();
    for _ in 0..3 {
        world.see(tunnelled());
        world.pass(5, all_home);
        world.pass(10, all_vpn);
        world.pass(700, all_vpn);
    }
    let kinds: Vec<NoticeKind> = world.notices.iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds, [NoticeKind::Alarm, NoticeKind::Resolve].repeat(3));
}

#[test]
fn a_sleep_clears_what_was_only_suspected() {
    let mut world = World::protected();
    let lying = || vec![exit(FRA, HOME), exit(SERVER, VPN), exit(OSLO, VPN)];
    world.pass(2, lying);
    let now = world.now();
    world.judge.handle_wake(now);
    world.pass(2, lying);
    assert!(world.notices.is_empty(), "three samples in a row, but a sleep between them");
    world.pass(2, lying);
    assert_eq!(world.titles(), ["Your real address may be visible"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_incident_is_raised_once_ended_at_most_once_and_raised_rarely(
        phases in prop::collection::vec((1u64..40, 1u64..40), 1..40),
    ) {
        let mut world = World::protected();
        let mut elapsed = 0;
        for (home, vpn) in phases {
            flap(&mut world, 1, home, vpn);
            elapsed += home + vpn;
        }
        let mut notices: BTreeMap<&IncidentId, Vec<NoticeKind>> = BTreeMap::new();
        for notice in &world.notices {
            notices.entry(&notice.incident).or_default().push(notice.kind);
        }
        for (incident, kinds) in &notices {
            let fine = *kinds == [NoticeKind::Alarm] || *kinds == [NoticeKind::Alarm, NoticeKind::Resolve];
            prop_assert!(fine, "{incident}: {kinds:?}");
        }
        // A finding that stays away for less than a minute is not over once it came three times in
        // ten minutes.
        let windows = usize::try_from(elapsed / 600).unwrap() + 1;
        prop_assert!(alarms(&world) <= 3 * windows, "{} alarms in {elapsed} s", alarms(&world));
    }
}
