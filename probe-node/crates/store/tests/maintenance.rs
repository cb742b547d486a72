//! Maintenance keeps the files small without making anything wait.
#![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

mod common;

use common::{NOW, TestClock, flushed, incident, notice, open, rtt, sample};
use sentinel_model::{IncidentState, NoticeKind, Timestamp};
use sqlx::Connection;
use std::{
    path::Path,
    time::{Duration, Instant},
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Returns a number from the history's file.
async fn count(dir: &Path, sql: &'static str) -> i64 {
    let url = format!("sqlite://{}", dir.join("history.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_recorded_between_the_steps_of_a_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for name in ["laptop", "server"] {
        let minutes = 0..30 * 24 * 60;
        store.record_samples(minutes.map(|n| sample(name, NOW - 30 * DAY + n * 60_000, 1.0)).collect()).await;
    }
    store.flush().await;
    let maintained = tokio::spawn({
        let store = store.clone();
        async move { store.maintain().await.unwrap() }
    });
    let (mut commits, mut slowest) = (0, Duration::ZERO);
    while !maintained.is_finished() {
        let begun = Instant::now();
        let id = format!("incident-{commits}");
        store.commit(vec![incident(&id, IncidentState::Firing, NOW)], vec![]).await.unwrap();
        (commits, slowest) = (commits + 1, slowest.max(begun.elapsed()));
    }
    println!("{commits} commits during maintenance, the slowest took {slowest:?}");
    assert!(commits >= 3, "{commits} commits during maintenance, the slowest took {slowest:?}");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM unrolled").await, 0);
    assert_eq!(count(dir.path(), "SELECT sum(count) FROM hourly").await, 86_400);
}

#[tokio::test]
async fn alarms_and_reads_do_not_wait_for_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.record_samples(vec![sample("vps", NOW - 1, 1.0)]).await;
    store.flush().await;
    // The history cannot be written while another connection holds this lock.
    let url = format!("sqlite://{}", dir.path().join("history.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    store.record_samples(vec![sample("vps", NOW, 1.0)]).await;
    let (flushing, maintaining) = (store.clone(), store.clone());
    let flush = tokio::spawn(async move { flushing.flush().await });
    let maintenance = tokio::spawn(async move { maintaining.maintain().await });
    let served = async {
        store.commit(vec![incident("a", IncidentState::Firing, NOW)], vec![]).await.unwrap();
        store.series(&rtt("vps"), Timestamp(NOW - HOUR), Timestamp(NOW + 1)).await.unwrap()
    };
    let points =
        tokio::time::timeout(Duration::from_secs(3), served).await.expect("the history is waited for");
    assert_eq!(points.len(), 1, "what is not written yet is not read");
    assert!(!flush.is_finished() && !maintenance.is_finished(), "the history's writer waits for the lock");
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    flush.await.unwrap();
    maintenance.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_hour_is_rolled_up_again_when_a_late_sample_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (at, value) in [(NOW - 2 * HOUR, 10.0), (NOW - 2 * HOUR + 1, 30.0)] {
        store.record_samples(vec![sample("vps", at, value)]).await;
        store.maintain().await.unwrap();
        let store = flushed(&store).await;
        store.maintain().await.unwrap();
    }
    let points = store.series(&rtt("vps"), Timestamp(NOW - 3 * DAY), Timestamp(NOW)).await.unwrap();
    assert_eq!(points.iter().map(|point| (point.mean, point.count)).collect::<Vec<_>>(), [(20.0, 2)]);
}

#[tokio::test]
async fn a_chart_shows_each_sample_once_whether_or_not_it_is_rolled_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let chart = async |since: i64| {
        let points =
            flushed(&store).await.series(&rtt("vps"), Timestamp(since), Timestamp(NOW + DAY)).await.unwrap();
        points.iter().map(|point| point.count).sum::<i64>()
    };
    store.record_samples((0..600).map(|n| sample("vps", NOW - 10 * HOUR + n * 60_000, 1.0)).collect()).await;
    assert_eq!(chart(NOW - 3 * DAY).await, 600);
    store.maintain().await.unwrap();
    assert_eq!(chart(NOW - 3 * DAY).await, 600);
    store.record_samples((0..60).map(|n| sample("vps", NOW + n * 60_000, 1.0)).collect()).await;
    assert_eq!(chart(NOW - 3 * DAY).await, 660);
    store.record_samples(vec![sample("vps", NOW - 5 * HOUR + 1, 1.0)]).await;
    assert_eq!(chart(NOW - 3 * DAY).await, 661, "a late sample");
}

#[tokio::test]
async fn a_series_without_samples_is_removed_and_may_return() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW - 800 * DAY);
    let store = clock.open(dir.path()).await;
    store.record_samples(vec![sample("gone", NOW - 800 * DAY, 1.0)]).await;
    store.flush().await;
    clock.advance(800 * DAY);
    store.record_samples(vec![sample("here", NOW, 1.0)]).await;
    store.flush().await;
    store.maintain().await.unwrap();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM series").await, 1);
    store.record_samples(vec![sample("gone", NOW, 1.0)]).await;
    let points = flushed(&store).await.series(&rtt("gone"), Timestamp(NOW - HOUR), Timestamp(NOW + 1)).await;
    assert_eq!(points.unwrap().len(), 1);
}

#[tokio::test]
async fn many_old_records_are_pruned_in_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let old = NOW - 800 * DAY;
    let clock = TestClock::at(old + DAY / 2);
    let store = clock.open(dir.path()).await;
    store.record_samples((0..20_000).map(|n| sample("vps", old + n * 1_000, 1.0)).collect()).await;
    store.flush().await;
    for n in 0..500 {
        let id = format!("incident-{n}");
        store
            .commit(vec![incident(&id, IncidentState::Resolved, old)], vec![notice(&id, NoticeKind::Alarm)])
            .await
            .unwrap();
    }
    clock.advance(800 * DAY);
    store.maintain().await.unwrap();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM sample").await, 0);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM hourly").await, 0);
    assert_eq!(store.incidents(Timestamp(0), 1000).await.unwrap(), []);
    assert_eq!(store.undelivered("desktop").await.unwrap(), []);
}

#[tokio::test]
async fn notices_may_be_delivered_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let waiting = async |store: &sentinel_store::Store| {
        let page = store.undelivered("desktop").await.unwrap();
        page.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    for id in ["a", "b", "c", "d"] {
        store.commit(vec![], vec![notice(id, NoticeKind::Alarm)]).await.unwrap();
    }
    let ids = waiting(&store).await;
    for (delivered, left) in
        [(2, vec![ids[0], ids[1], ids[3]]), (0, vec![ids[1], ids[3]]), (3, vec![ids[1]]), (1, vec![])]
    {
        store.delivered("desktop", ids[delivered]).await.unwrap();
        assert_eq!(waiting(&store).await, left);
    }
    store.delivered("desktop", 1_000).await.unwrap();
    store.commit(vec![], vec![notice("e", NoticeKind::Alarm)]).await.unwrap();
    assert_eq!(waiting(&store).await.len(), 1);
    assert_eq!(store.undelivered("webhook").await.unwrap().len(), 5);
}
