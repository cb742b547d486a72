//! Records are read back as they were written, also after a restart.

mod common;

use common::{NOW, TestClock, fact, flushed, incident, notice, open, reopen, rtt, sample};
use sentinel_model::{Family, Home, IncidentState, NoticeKind, Timestamp};
use sentinel_store::{RecordedFact, StoreError};
use sqlx::Connection;
use std::collections::BTreeMap;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const EXIT_V4: RecordedFact = RecordedFact::Exit(Family::V4);

#[tokio::test]
async fn all_records_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home { addresses: vec!["198.51.100.142".parse().unwrap()], ..Home::default() };
    let store = open(dir.path()).await;
    store.record_samples(vec![sample("vps", 1_000, 40_123.0), sample("vps", 2_000, 40_456.5)]).await;
    store.record_fact(fact(RecordedFact::Verdict, "\"Protected\"", 1_000)).await;
    store
        .commit(vec![incident("a", IncidentState::Firing, 5)], vec![notice("a", NoticeKind::Alarm)])
        .await
        .unwrap();
    store.append_membership(vec![1, 2, 3]).await.unwrap();
    store.append_membership(vec![4]).await.unwrap();
    store.append_membership(vec![1, 2, 3]).await.unwrap();
    store.set_home(&home).await.unwrap();
    let announced = BTreeMap::from([("home-server".into(), vec!["203.0.113.9".parse().unwrap()])]);
    assert!(store.home_announced().await.unwrap().is_empty() && !store.tunnel_known().await.unwrap());
    store.set_home_announced(&announced).await.unwrap();
    store.set_tunnel_known(true).await.unwrap();
    store.close().await;

    let store = open(dir.path()).await;
    let points = flushed(&store).await.series(&rtt("vps"), Timestamp(0), Timestamp(10_000)).await.unwrap();
    let values: Vec<_> = points.iter().map(|point| (point.at.0, point.mean)).collect();
    assert_eq!(values, [(1_000, 40_123.0), (2_000, 40_456.5)]);
    let spans = flushed(&store)
        .await
        .intervals(RecordedFact::Verdict, Timestamp(0), Timestamp(10_000))
        .await
        .unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].value, "\"Protected\"");
    assert_eq!(store.open_incidents().await.unwrap(), [incident("a", IncidentState::Firing, 5)]);
    assert_eq!(store.undelivered("desktop").await.unwrap().len(), 1);
    assert_eq!(store.membership().await.unwrap(), [vec![1, 2, 3], vec![4]]);
    assert_eq!(store.home().await.unwrap(), Some(home));
    assert_eq!(store.home_announced().await.unwrap(), announced);
    assert!(store.tunnel_known().await.unwrap());
    store.set_tunnel_known(false).await.unwrap();
    assert!(!store.tunnel_known().await.unwrap());
}

#[tokio::test]
async fn accepted_records_are_written_when_the_last_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.record_samples(vec![sample("vps", 1_000, 1.0)]).await;
    store.record_fact(fact(EXIT_V4, "1", 1_000)).await;
    drop(store);
    let store = reopen(dir.path()).await;
    assert_eq!(
        flushed(&store).await.series(&rtt("vps"), Timestamp(0), Timestamp(2_000)).await.unwrap().len(),
        1
    );
    assert_eq!(
        flushed(&store).await.intervals(EXIT_V4, Timestamp(0), Timestamp(2_000)).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn an_interval_ends_where_the_value_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (value, at) in [("1", 100), ("1", 200), ("2", 300), ("2", 400), ("1", 500)] {
        store.record_fact(fact(EXIT_V4, value, at)).await;
        store.record_fact(fact(RecordedFact::Exit(Family::V6), "0", at)).await;
    }
    let spans = flushed(&store).await.intervals(EXIT_V4, Timestamp(0), Timestamp(1_000)).await.unwrap();
    let spans: Vec<_> =
        spans.iter().map(|span| (span.value.as_str(), span.since.0, span.until.map(|at| at.0))).collect();
    assert_eq!(spans, [("1", 100, Some(300)), ("2", 300, Some(500)), ("1", 500, None)]);
    let later = flushed(&store).await.intervals(EXIT_V4, Timestamp(350), Timestamp(450)).await.unwrap();
    assert_eq!(later.len(), 1);
    assert_eq!(
        flushed(&store)
            .await
            .intervals(RecordedFact::Exit(Family::V6), Timestamp(0), Timestamp(1_000))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn time_without_a_running_node_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let store = clock.open(dir.path()).await;
    store.record_fact(fact(RecordedFact::Verdict, "1", NOW)).await;
    store.flush().await;
    clock.advance(60_000);
    store.record_fact(fact(RecordedFact::Verdict, "1", NOW + 60_000)).await;
    store.close().await;
    clock.advance(900_000);
    let store = clock.open(dir.path()).await;
    store.record_fact(fact(RecordedFact::Verdict, "1", NOW + 960_000)).await;
    let spans = flushed(&store).await.intervals(RecordedFact::Verdict, Timestamp(0), Timestamp(2 * NOW));
    let spans: Vec<_> = spans
        .await
        .unwrap()
        .iter()
        .map(|span| (span.since.0 - NOW, span.until.map(|at| at.0 - NOW)))
        .collect();
    assert_eq!(spans, [(0, Some(60_000)), (960_000, None)]);
}

#[tokio::test]
async fn a_resolved_incident_is_not_open_and_its_latest_version_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(vec![incident("a", IncidentState::Firing, 10)], vec![]).await.unwrap();
    store.commit(vec![incident("b", IncidentState::Unknown, 20)], vec![]).await.unwrap();
    store.commit(vec![incident("a", IncidentState::Resolved, 30)], vec![]).await.unwrap();
    let open: Vec<_> =
        store.open_incidents().await.unwrap().into_iter().map(|incident| incident.id.0).collect();
    assert_eq!(open, ["b"]);
    let recent: Vec<_> =
        store.incidents(Timestamp(25), 10).await.unwrap().into_iter().map(|i| (i.id.0, i.state)).collect();
    assert_eq!(recent, [("a".to_owned(), IncidentState::Resolved), ("b".to_owned(), IncidentState::Unknown)]);
}

#[tokio::test]
async fn each_channel_is_offered_a_notice_until_it_has_delivered_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let alarm = notice("a", NoticeKind::Alarm);
    store.commit(vec![], vec![alarm.clone(), alarm.clone()]).await.unwrap();
    store.commit(vec![], vec![alarm.clone(), notice("a", NoticeKind::Resolve)]).await.unwrap();
    let waiting = store.undelivered("desktop").await.unwrap();
    assert_eq!(
        waiting.iter().map(|(_, notice)| notice.kind).collect::<Vec<_>>(),
        [NoticeKind::Alarm, NoticeKind::Resolve]
    );
    store.close().await;

    let store = open(dir.path()).await;
    assert_eq!(store.undelivered("desktop").await.unwrap(), waiting, "offered again after a restart");
    store.delivered("desktop", waiting[0].0).await.unwrap();
    store.delivered("desktop", waiting[0].0).await.unwrap();
    assert_eq!(store.undelivered("desktop").await.unwrap(), waiting[1..]);
    assert_eq!(store.undelivered("webhook").await.unwrap(), waiting);
    store.commit(vec![], vec![alarm]).await.unwrap();
    assert_eq!(
        store.undelivered("desktop").await.unwrap(),
        waiting[1..],
        "a delivered notice is not recorded a second time"
    );
}

#[tokio::test]
async fn old_records_are_pruned_and_old_samples_live_on_as_rollups() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW - 800 * DAY);
    let store = clock.open(dir.path()).await;
    let now = NOW;
    let at = |age: i64| now - age;
    // What is recorded at which age, oldest first.
    store.record_fact(fact(EXIT_V4, "1", at(800 * DAY))).await;
    store.flush().await;
    clock.advance(10 * DAY);
    store.record_samples(vec![sample("vps", at(790 * DAY), 90.0)]).await;
    store.record_fact(fact(EXIT_V4, "2", at(790 * DAY))).await;
    let old = incident("old", IncidentState::Resolved, at(790 * DAY));
    let stuck = incident("stuck", IncidentState::Firing, at(790 * DAY));
    store.commit(vec![old, stuck], vec![notice("old", NoticeKind::Alarm)]).await.unwrap();
    store.flush().await;
    clock.advance(750 * DAY);
    store
        .record_samples(vec![sample("vps", at(40 * DAY), 10.0), sample("vps", at(40 * DAY) + 1_000, 30.0)])
        .await;
    store.flush().await;
    clock.advance(38 * DAY);
    store.record_samples(vec![sample("vps", at(2 * DAY), 50.0)]).await;
    store.flush().await;
    clock.advance(2 * DAY);
    store.record_samples(vec![sample("vps", now - 1, 70.0)]).await;
    store.flush().await;
    store.maintain().await.unwrap();
    store.maintain().await.unwrap();

    let points = flushed(&store)
        .await
        .series(&rtt("vps"), Timestamp(at(800 * DAY)), Timestamp(now + 1))
        .await
        .unwrap();
    let sums: Vec<_> = points.iter().map(|point| (point.mean, point.low, point.high, point.count)).collect();
    assert_eq!(sums, [(20.0, 10.0, 30.0, 2), (50.0, 50.0, 50.0, 1), (70.0, 70.0, 70.0, 1)]);
    let raw = store
        .series(&rtt("vps"), Timestamp(at(40 * DAY) - HOUR), Timestamp(at(40 * DAY) + HOUR))
        .await
        .unwrap();
    assert_eq!(raw, [], "the raw samples of that day are pruned");
    assert_eq!(
        flushed(&store).await.intervals(EXIT_V4, Timestamp(0), Timestamp(now)).await.unwrap().len(),
        1
    );
    let left: Vec<_> =
        store.incidents(Timestamp(0), 10).await.unwrap().into_iter().map(|incident| incident.id.0).collect();
    assert_eq!(left, ["stuck"], "an open incident is never pruned");
    assert_eq!(store.undelivered("desktop").await.unwrap(), []);
}

#[tokio::test]
async fn a_long_range_is_answered_in_few_points() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let samples = (0..20_000).map(|n| sample("vps", n * 1_000, 1_000.0)).collect();
    store.record_samples(samples).await;
    let points =
        flushed(&store).await.series(&rtt("vps"), Timestamp(0), Timestamp(20_000_000)).await.unwrap();
    assert!(points.len() <= 730, "{} points", points.len());
    assert_eq!(points.iter().map(|point| point.count).sum::<i64>(), 20_000);
}

#[tokio::test]
async fn nan_and_infinity_are_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store
        .record_samples(vec![
            sample("vps", 1, f64::NAN),
            sample("vps", 2, f64::INFINITY),
            sample("vps", 3, 1.0),
        ])
        .await;
    assert_eq!(
        flushed(&store).await.series(&rtt("vps"), Timestamp(0), Timestamp(10)).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn facts_are_stored_under_their_text_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for recorded in RecordedFact::ALL {
        store.record_fact(fact(recorded, "1", 100)).await;
    }
    store.close().await;
    let url = format!("sqlite://{}", dir.path().join("history.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let facts: Vec<String> = sqlx::query_scalar("SELECT fact FROM interval ORDER BY fact")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(facts, ["exit/v4", "exit/v6", "resolvers", "verdict"]);
}

#[tokio::test]
async fn a_closed_store_refuses_requests() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let other = store.clone();
    store.close().await;
    let refused = other.append_membership(vec![1]).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    other.record_samples(vec![sample("vps", 1, 1.0)]).await;
    other.flush().await;
}
