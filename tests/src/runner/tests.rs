//! The runner's treatment of snapshots, without a world.

use super::{outcome::Outcome, scenario_run::ScenarioRun};
use crate::{faults::PositiveControl, node_api::ReceivedSnapshot, scenario::Scenario};
use sentinel_model::{Millis, Severity, Snapshot, Timestamp};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::sleep};

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

/// Runs a scenario against snapshots sent at these times in milliseconds, the first before
/// settling.
async fn run(text: &str, snapshots: Vec<(u64, Snapshot)>) -> Outcome {
    run_with(text, snapshots, || PositiveControl::NotNeeded("there is no world")).await
}

async fn run_with(
    text: &str,
    snapshots: Vec<(u64, Snapshot)>,
    control: impl Fn() -> PositiveControl,
) -> Outcome {
    let scenario: Scenario = toml::from_str(text).unwrap();
    let (sender, mut events) = mpsc::channel(16);
    let feed = tokio::spawn(async move {
        let began = Instant::now();
        for (ms, snapshot) in snapshots {
            sleep(Duration::from_millis(ms).saturating_sub(began.elapsed())).await;
            sender.send(Ok(ReceivedSnapshot { at: Instant::now(), snapshot })).await.unwrap();
        }
        sender.closed().await;
    });
    let mut print = |_: &Value| {};
    let mut run = ScenarioRun::new(&scenario, &mut print);
    if run.settle(&mut events).await.unwrap() {
        run.play_faults(&mut events, async |_| Ok((Instant::now(), control()))).await.unwrap();
    }
    feed.abort();
    run.finish()
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
async fn a_state_in_time_meets_its_expectation() {
    let outcome = run(REMOVED, vec![(0, protected()), (200, leak())]).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let took = outcome.took[0].unwrap();
    assert!(took > Duration::from_millis(50) && took < Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn a_late_or_incomplete_state_misses_its_expectation() {
    let half = snapshot("Exposed", &["exit-exposed"], &[("exit-exposed", "pending")]);
    let outcome = run(REMOVED, vec![(0, protected()), (200, half), (500, leak())]).await;
    assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
    assert!(outcome.failures[0].contains("within 300 ms"));
}

#[tokio::test]
async fn an_exposure_before_the_first_fault_is_a_failure() {
    let outcome = run(REMOVED, vec![(0, leak()), (50, protected()), (250, leak())]).await;
    let finding = "the finding exit-exposed before the first fault: s";
    assert_eq!(outcome.failures, ["the verdict Exposed before the first fault", finding]);
}

#[tokio::test]
async fn a_world_that_does_not_settle_is_a_failure() {
    let outcome = run(REMOVED, vec![(0, snapshot("Unverified", &[], &[]))]).await;
    assert_eq!(outcome.failures, ["the world does not settle: the verdict is Unverified"]);
}

#[tokio::test]
async fn a_forbidden_finding_fails_once() {
    let text =
        "watch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nfindings = [\"dns-leak\"]\n";
    let wrong = snapshot("Protected", &["dns-leak"], &[]);
    let outcome = run(text, vec![(0, protected()), (150, wrong.clone()), (200, wrong)]).await;
    assert_eq!(outcome.failures, ["the finding dns-leak: s"]);
}

#[tokio::test]
async fn a_twin_allows_no_finding_incident_or_other_verdict() {
    let text = "watch_ms = 200\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nanything = true\n";
    for (wrong, word) in [
        (snapshot("Suspect", &[], &[]), "verdict"),
        (snapshot("Protected", &["exit-address-changed"], &[]), "finding"),
        (snapshot("Protected", &[], &[("node-silent", "firing")]), "incident"),
    ] {
        let outcome = run(text, vec![(0, protected()), (120, wrong)]).await;
        assert!(outcome.failures.len() == 1 && outcome.failures[0].contains(word), "{:?}", outcome.failures);
    }
}

#[tokio::test]
async fn a_second_incident_about_the_same_subject_is_a_failure() {
    let text = "watch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nsecond_incident = true\n";
    let with = |id: &str| {
        let mut snapshot = leak();
        snapshot.shown.incidents[0].id.0 = id.to_owned();
        snapshot
    };
    let one = run(text, vec![(0, protected()), (100, with("a")), (150, protected()), (200, with("a"))]).await;
    assert!(one.failures.is_empty(), "{:?}", one.failures);
    let two = run(text, vec![(0, protected()), (100, with("a")), (200, with("b"))]).await;
    assert_eq!(two.failures, ["a second incident exit-exposed"]);
}

#[tokio::test]
async fn a_resolved_incident_must_have_existed() {
    let text = REMOVED.replace("firing", "resolved").replace("verdict = \"Exposed\"", "");
    let never_there = run(&text, vec![(0, protected()), (200, protected())]).await;
    assert_eq!(never_there.failures.len(), 1);
    let over = run(&text, vec![(0, protected()), (150, leak()), (250, protected())]).await;
    assert!(over.failures.is_empty(), "{:?}", over.failures);
}

#[tokio::test]
async fn settling_requires_the_witnesses_and_the_resolvers() {
    for (settle, word) in
        [("witnesses = 1\nresolvers = false", "0 of 1 own nodes"), ("", "resolvers are unknown")]
    {
        let text = format!("[settle]\nwithin_ms = 100\n{settle}");
        let outcome = run(&text, vec![(0, protected())]).await;
        assert!(outcome.failures.len() == 1 && outcome.failures[0].contains(word), "{:?}", outcome.failures);
    }
}

#[tokio::test]
async fn findings_before_the_first_fault_fail_or_delay_settling() {
    let text = "[settle]\nwithin_ms = 200\nfor_ms = 50\nresolvers = false\n";
    let leak = snapshot("Protected", &["dns-leak"], &[]);
    let critical = run(text, vec![(0, leak.clone()), (50, protected())]).await;
    assert_eq!(critical.failures, ["the finding dns-leak before the first fault: s"]);
    let mut warning = leak;
    warning.shown.findings[0].severity = Severity::Warning;
    let never = run(text, vec![(0, warning.clone())]).await;
    assert_eq!(never.failures, ["the world does not settle: dns-leak is found: s"]);
    assert_eq!(never.spoiled, never.failures);
    let over = run(text, vec![(0, warning), (50, protected())]).await;
    assert!(over.failures.is_empty(), "{:?}", over.failures);
}

/// Returns a snapshot after a number of rounds, the last of which took 20 ms.
fn after_round(number: i64) -> Snapshot {
    let mut snapshot = protected();
    snapshot.schedule.last_round = Some(Timestamp(number));
    snapshot.schedule.last_round_took = Some(Millis(20));
    snapshot
}

#[tokio::test]
async fn a_state_from_before_the_fault_counts_only_after_a_later_round() {
    let text =
        REMOVED.replace("\nfinding = \"exit-exposed\"\nfamily = \"v4\"\nincident_state = \"firing\"", "");
    let text = text.replace("verdict = \"Exposed\"", "verdict = \"Protected\"");
    let old = run(&text, vec![(0, after_round(1)), (200, after_round(1))]).await;
    assert!(old.failures[0].contains("within 300 ms"), "{:?}", old.failures);
    // The round began before the fault, which happens at 100 ms.
    let in_progress = run(&text, vec![(0, after_round(1)), (110, after_round(2))]).await;
    assert_eq!(in_progress.failures.len(), 1, "{:?}", in_progress.failures);
    let fresh = run(&text, vec![(0, after_round(1)), (250, after_round(2))]).await;
    assert!(fresh.failures.is_empty(), "{:?}", fresh.failures);
}

#[tokio::test]
async fn a_state_that_must_last_is_met_only_if_it_lasts() {
    let text = REMOVED.replace("within_ms = 300", "within_ms = 300\nfor_ms = 200");
    let lasting = run(&text, vec![(0, protected()), (150, leak())]).await;
    assert!(lasting.failures.is_empty(), "{:?}", lasting.failures);
    let short = run(&text, vec![(0, protected()), (150, leak()), (250, protected())]).await;
    assert_eq!(short.failures.len(), 1, "{:?}", short.failures);
}

#[tokio::test]
async fn a_calm_scenario_fails_on_alarms_only() {
    let text = "calm = true\nwatch_ms = 300\n[settle]\nfor_ms = 50\nresolvers = false\n[never]\nexcept = [\"offline\"]\n";
    for (wrong, failures) in [
        (snapshot("Suspect", &[], &[]), vec!["the verdict Suspect"]),
        (snapshot("Protected", &["latency-drop"], &[]), vec!["the finding latency-drop: s"]),
        (snapshot("Unverified", &["offline"], &[]), Vec::new()),
    ] {
        let outcome = run(text, vec![(0, protected()), (150, wrong)]).await;
        assert_eq!(outcome.failures, failures);
    }
}

#[tokio::test]
async fn a_fault_without_an_observed_effect_spoils_the_scenario() {
    let watch = || PositiveControl::never(Duration::from_millis(100));
    let outcome = run_with(REMOVED, vec![(0, protected()), (200, leak())], watch).await;
    assert!(
        outcome.failures.len() == 1 && outcome.failures[0].contains("uncontrolled"),
        "{:?}",
        outcome.failures
    );
    assert_eq!(outcome.spoiled, outcome.failures);
}
