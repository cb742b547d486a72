//! A wall clock that is wrong deletes nothing and does not distort the history.
#![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

mod common;

use common::{NOW, TestClock, fact, flushed, incident, notice, rtt, sample};
use sentinel_model::{IncidentState, Notice, NoticeKind, Timestamp};
use sentinel_store::{RecordedFact, Store};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Returns the verdict's intervals as value, start and length, relative to [`NOW`].
async fn spans(store: &Store) -> Vec<(String, i64, Option<i64>)> {
    let spans = flushed(store)
        .await
        .intervals(RecordedFact::Verdict, Timestamp(0), Timestamp(2 * NOW))
        .await
        .unwrap();
    spans
        .into_iter()
        .map(|span| (span.value, span.since.0 - NOW, span.until.map(|until| until.0 - span.since.0)))
        .collect()
}

async fn verdict(store: &Store, clock: &TestClock, value: &str) {
    store.record_fact(fact(RecordedFact::Verdict, value, clock.now())).await;
    store.flush().await;
}

#[tokio::test]
async fn a_wrong_clock_deletes_nothing_and_charts_continue() {
    let steps = [3 * HOUR, 2 * DAY, 3 * YEAR, 30 * YEAR];
    // One millisecond more, because a second sample of the same millisecond replaces the first.
    for step in steps.into_iter().flat_map(|step| [step + 1, -step + 1]) {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::at(NOW);
        let store = clock.open(dir.path()).await;
        verdict(&store, &clock, "1").await;
        let at = Timestamp(NOW);
        let alarm = Notice { at, ..notice("a", NoticeKind::Alarm) };
        store.commit(vec![incident("a", IncidentState::Resolved, NOW)], vec![alarm]).await.unwrap();
        // Ten days, an hour of wrong time, and another ten days, with a restart in the wrong time.
        let mut recorded = 0;
        let mut run = async |store: &Store, hours: i64| {
            for _ in 0..hours {
                clock.advance(HOUR);
                store.record_samples(vec![sample("vps", clock.now(), 1.0)]).await;
                store.flush().await;
                store.maintain().await.unwrap();
            }
            recorded += hours;
        };
        run(&store, 240).await;
        clock.set_wall(step);
        run(&store, 1).await;
        store.close().await;
        let store = clock.open(dir.path()).await;
        store.maintain().await.unwrap();
        clock.set_wall(-step);
        run(&store, 240).await;
        let chart = async |since: i64, until: i64| {
            let points = store.series(&rtt("vps"), Timestamp(since), Timestamp(until)).await.unwrap();
            points.iter().map(|point| point.count).sum::<i64>()
        };
        let wrong = NOW + 241 * HOUR + step;
        let beside = i64::from(!(NOW..NOW + 482 * HOUR).contains(&wrong));
        assert_eq!(chart(NOW, NOW + 482 * HOUR).await, recorded - beside, "{step}: charts are whole");
        assert_eq!(chart(wrong, wrong + 1).await, 1, "{step}: raw samples are kept");
        let spans = spans(&store).await;
        assert!(spans.iter().any(|span| span.1 == 0), "{step}: intervals are kept: {spans:?}");
        assert_eq!(store.incidents(Timestamp(0), 10).await.unwrap().len(), 1, "{step}");
        assert_eq!(store.undelivered("desktop").await.unwrap().len(), 1, "{step}");
    }
}

#[tokio::test]
async fn an_interval_has_the_length_that_was_measured_when_the_clock_is_set() {
    for step in [3 * HOUR, -3 * HOUR, 3 * YEAR, -3 * YEAR, 2 * DAY, -2 * DAY, -3_000] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::at(NOW);
        let store = clock.open(dir.path()).await;
        verdict(&store, &clock, "1").await;
        clock.advance(HOUR);
        store.record_samples(vec![sample("vps", clock.now(), 1.0)]).await;
        clock.set_wall(step);
        store.record_samples(vec![sample("vps", clock.now(), 1.0)]).await;
        clock.advance(HOUR);
        verdict(&store, &clock, "2").await;
        let spans = spans(&store).await;
        let lasted: i64 = spans.iter().filter(|span| span.0 == "1").filter_map(|span| span.2).sum();
        assert!((lasted - 2 * HOUR).abs() <= 5_000, "{step}: {spans:?}");
        for (_, _, length) in &spans {
            assert!(
                length.is_none_or(|length| (1..=2 * HOUR + 5_000).contains(&length)),
                "{step}: {spans:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_short_interval_is_not_empty_when_the_clock_is_corrected_a_little() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let store = clock.open(dir.path()).await;
    verdict(&store, &clock, "1").await;
    clock.advance(2_000);
    clock.set_wall(-4_000);
    verdict(&store, &clock, "2").await;
    let spans = spans(&store).await;
    assert!(spans.contains(&("1".to_owned(), 0, Some(2_000))), "{spans:?}");
}

#[tokio::test]
async fn a_clock_that_was_ahead_before_a_restart_makes_no_long_interval() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let store = clock.open(dir.path()).await;
    verdict(&store, &clock, "1").await;
    clock.advance(HOUR);
    clock.set_wall(YEAR);
    store.record_samples(vec![sample("vps", clock.now(), 1.0)]).await;
    store.close().await;
    clock.set_wall(-YEAR);
    clock.advance(HOUR);
    let store = clock.open(dir.path()).await;
    let spans = spans(&store).await;
    for (_, _, length) in &spans {
        assert!(length.is_some_and(|length| length <= 2 * HOUR), "{spans:?}");
    }
    assert_eq!(spans.iter().filter_map(|span| span.2).sum::<i64>(), HOUR, "{spans:?}");
}
