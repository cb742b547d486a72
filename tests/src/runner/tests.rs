//! What the runner makes of snapshots, without a world.

use super::*;
use sentinel_model::Severity;
use serde_json::json;
use tokio::time::sleep;

fn snapshot(verdict: &str, findings: &[&str], incidents: &[(&str, &str)]) -> Snapshot {
    let moment = json!({ "boot": 0, "wall": 0 });
    let finding = |kind: &&str| {
        json!({ "kind": kind, "family": "v4", "title": "t", "severity": "critical", "weight": "proof", "sentence": "s",
                "advice": "", "evidence": [], "since": moment })
    };
    let incident = |(kind, state): &(&str, &str)| {
        json!({ "id": kind, "rule": "r", "kind": kind, "family": "v4", "title": "t", "severity": "critical", "state": state,
                "sentence": "s", "advice": "", "evidence": [], "opened": moment, "changed": moment, "acknowledged": null })
    };
    serde_json::from_value(json!({
        "schema": 1, "sequence": 1, "at": 0, "offset": 0, "epoch": 0, "node": "n", "name": "laptop",
        "verdict": { "verdict": verdict, "assurance": null, "sentence": "s", "since": 0, "verified_at": null },
        "connectivity": "online", "exits": [], "latency": [], "tunnel": null, "needs": [],
        "dns": { "resolvers": { "measured": [] }, "configured": [], "since": 0 },
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "incidents": incidents.iter().map(incident).collect::<Vec<_>>(),
        "swarm": { "nodes": [], "pending": [], "rejected_attestations": 0, "refused_peers": 0 },
        "schedule": { "last_round": null, "next_round": null, "round_every": 1, "beacon_every": 1, "paused": null },
    }))
    .unwrap()
}

/// Plays a scenario against snapshots sent at the given times in milliseconds, the first of them before settling.
async fn play(text: &str, snapshots: Vec<(u64, Snapshot)>) -> Outcome {
    play_with(text, snapshots, || Control::Needless("there is no world")).await
}

async fn play_with(text: &str, snapshots: Vec<(u64, Snapshot)>, control: impl Fn() -> Control) -> Outcome {
    let scenario: Scenario = toml::from_str(text).unwrap();
    let (sender, mut events) = mpsc::channel(16);
    let feed = tokio::spawn(async move {
        let began = Instant::now();
        for (ms, snapshot) in snapshots {
            sleep(Duration::from_millis(ms).saturating_sub(began.elapsed())).await;
            sender.send(Ok(Arrived { at: Instant::now(), snapshot })).await.unwrap();
        }
        sender.closed().await;
    });
    let mut print = |_: &Value| {};
    let mut play = Play::new(&scenario, &mut print);
    if play.settle(&mut events).await.unwrap() {
        play.story(&mut events, async |_| Ok((Instant::now(), control()))).await.unwrap();
    }
    feed.abort();
    play.finish()
}

const REMOVED: &str = r#"
watch_ms = 700
[settle]
within_ms = 1000
for_ms = 100
resolvers = false
[[fault]]
id = "removed"
at_ms = 0
do = "tunnel-removed"
[[expect]]
after = "removed"
within_ms = 300
verdict = "Exposed"
finding = "exit-exposed"
family = "v4"
incident_state = "firing"
"#;

fn leak() -> Snapshot {
    snapshot("Exposed", &["exit-exposed"], &[("exit-exposed", "firing")])
}

fn protected() -> Snapshot {
    snapshot("Protected", &[], &[])
}

#[tokio::test]
async fn what_comes_in_time_is_met_and_timed() {
    let outcome = play(REMOVED, vec![(0, protected()), (200, leak())]).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let took = outcome.took[0].unwrap();
    assert!(took > Duration::from_millis(50) && took < Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn what_comes_late_or_in_part_is_missed() {
    let half = snapshot("Exposed", &["exit-exposed"], &[("exit-exposed", "pending")]);
    let outcome = play(REMOVED, vec![(0, protected()), (200, half), (500, leak())]).await;
    assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
    assert!(outcome.failures[0].contains("within 300 ms"));
}

#[tokio::test]
async fn an_exposure_before_the_story_is_a_failure() {
    let outcome = play(REMOVED, vec![(0, leak()), (50, protected()), (250, leak())]).await;
    let finding = "the finding exit-exposed before the story begins: s";
    assert_eq!(outcome.failures, ["the verdict Exposed before the story begins", finding]);
}

#[tokio::test]
async fn a_world_that_never_settles_fails() {
    let outcome = play(REMOVED, vec![(0, snapshot("Unverified", &[], &[]))]).await;
    assert_eq!(outcome.failures, ["the world does not settle: the verdict is Unverified"]);
}

#[tokio::test]
async fn the_forbidden_is_caught_once() {
    let text =
        "watch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nfindings = [\"dns-leak\"]\n";
    let wrong = snapshot("Protected", &["dns-leak"], &[]);
    let outcome = play(text, vec![(0, protected()), (150, wrong.clone()), (200, wrong)]).await;
    assert_eq!(outcome.failures, ["the finding dns-leak: s"]);
}

#[tokio::test]
async fn a_twin_allows_nothing() {
    let text = "watch_ms = 200\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nanything = true\n";
    for (wrong, word) in [
        (snapshot("Suspect", &[], &[]), "verdict"),
        (snapshot("Protected", &["exit-address-changed"], &[]), "finding"),
        (snapshot("Protected", &[], &[("node-silent", "firing")]), "incident"),
    ] {
        let outcome = play(text, vec![(0, protected()), (120, wrong)]).await;
        assert!(outcome.failures.len() == 1 && outcome.failures[0].contains(word), "{:?}", outcome.failures);
    }
}

#[tokio::test]
async fn a_second_incident_about_the_same_is_counted() {
    let text = "watch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nsecond_incident = true\n";
    let with = |id: &str| {
        let mut snapshot = leak();
        snapshot.shown.incidents[0].id.0 = id.to_owned();
        snapshot
    };
    let one =
        play(text, vec![(0, protected()), (100, with("a")), (150, protected()), (200, with("a"))]).await;
    assert!(one.failures.is_empty(), "{:?}", one.failures);
    let two = play(text, vec![(0, protected()), (100, with("a")), (200, with("b"))]).await;
    assert_eq!(two.failures, ["a second incident exit-exposed"]);
}

#[tokio::test]
async fn a_resolved_incident_is_one_that_was_there() {
    let text = REMOVED.replace("firing", "resolved").replace("verdict = \"Exposed\"", "");
    let never_there = play(&text, vec![(0, protected()), (200, protected())]).await;
    assert_eq!(never_there.failures.len(), 1);
    let over = play(&text, vec![(0, protected()), (150, leak()), (250, protected())]).await;
    assert!(over.failures.is_empty(), "{:?}", over.failures);
}

#[tokio::test]
async fn settling_needs_the_witnesses_and_the_resolvers() {
    for (settle, word) in [("witnesses = 1\nresolvers = false", "0 of 1 own nodes"), ("", "resolves names")] {
        let text = format!("[settle]\nwithin_ms = 100\n{settle}");
        let outcome = play(&text, vec![(0, protected())]).await;
        assert!(outcome.failures.len() == 1 && outcome.failures[0].contains(word), "{:?}", outcome.failures);
    }
}

#[tokio::test]
async fn what_is_wrong_before_the_story_keeps_it_from_beginning() {
    let text = "[settle]\nwithin_ms = 200\nfor_ms = 50\nresolvers = false\n";
    let leak = snapshot("Protected", &["dns-leak"], &[]);
    let critical = play(text, vec![(0, leak.clone()), (50, protected())]).await;
    assert_eq!(critical.failures, ["the finding dns-leak before the story begins: s"]);
    let mut warning = leak;
    warning.shown.findings[0].severity = Severity::Warning;
    let never = play(text, vec![(0, warning.clone())]).await;
    assert_eq!(never.failures, ["the world does not settle: dns-leak is found: s"]);
    assert_eq!(never.spoiled, never.failures);
    let over = play(text, vec![(0, warning), (50, protected())]).await;
    assert!(over.failures.is_empty(), "{:?}", over.failures);
}

/// A snapshot after so many rounds, the last of which took 20 ms.
fn after_round(number: i64) -> Snapshot {
    let mut snapshot = protected();
    snapshot.schedule.last_round = Some(Timestamp(number));
    snapshot.schedule.last_round_took = Some(Millis(20));
    snapshot
}

#[tokio::test]
async fn what_was_so_before_counts_only_after_a_later_round() {
    let text =
        REMOVED.replace("\nfinding = \"exit-exposed\"\nfamily = \"v4\"\nincident_state = \"firing\"", "");
    let text = text.replace("verdict = \"Exposed\"", "verdict = \"Protected\"");
    let old = play(&text, vec![(0, after_round(1)), (200, after_round(1))]).await;
    assert!(old.failures[0].contains("within 300 ms"), "{:?}", old.failures);
    // It began before the fault, which comes after 100 ms.
    let under_way = play(&text, vec![(0, after_round(1)), (110, after_round(2))]).await;
    assert_eq!(under_way.failures.len(), 1, "{:?}", under_way.failures);
    let fresh = play(&text, vec![(0, after_round(1)), (250, after_round(2))]).await;
    assert!(fresh.failures.is_empty(), "{:?}", fresh.failures);
}

#[tokio::test]
async fn what_must_last_is_met_once_it_has() {
    let text = REMOVED.replace("within_ms = 300", "within_ms = 300\nfor_ms = 200");
    let lasting = play(&text, vec![(0, protected()), (150, leak())]).await;
    assert!(lasting.failures.is_empty(), "{:?}", lasting.failures);
    let short = play(&text, vec![(0, protected()), (150, leak()), (250, protected())]).await;
    assert_eq!(short.failures.len(), 1, "{:?}", short.failures);
}

#[tokio::test]
async fn a_calm_story_is_spoiled_by_what_alarms_and_by_nothing_else() {
    let text = "calm = true\nwatch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nexcept = [\"offline\"]\n";
    for (wrong, failures) in [
        (snapshot("Suspect", &[], &[]), vec!["the verdict Suspect"]),
        (snapshot("Protected", &["latency-drop"], &[]), vec!["the finding latency-drop: s"]),
        (snapshot("Unverified", &["offline"], &[]), Vec::new()),
    ] {
        let outcome = play(text, vec![(0, protected()), (150, wrong)]).await;
        assert_eq!(outcome.failures, failures);
    }
}

#[tokio::test]
async fn a_fault_that_is_not_seen_spoils_the_story() {
    let watch = || Control::never(Duration::from_millis(100));
    let outcome = play_with(REMOVED, vec![(0, protected()), (200, leak())], watch).await;
    assert!(
        outcome.failures.len() == 1 && outcome.failures[0].contains("uncontrolled"),
        "{:?}",
        outcome.failures
    );
    assert_eq!(outcome.spoiled, outcome.failures);
}
