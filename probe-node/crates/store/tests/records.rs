//! What is put into the store is there afterwards, in the form it was promised.

mod common;

use common::{fact, incident, notice, open, reopen, rtt, sample};
use sentinel_model::{Home, IncidentState, NoticeKind, Timestamp};
use sentinel_store::StoreError;
use std::collections::BTreeMap;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home { addresses: vec!["198.51.100.142".parse().unwrap()], ..Home::default() };
    let store = open(dir.path()).await;
    store.samples(vec![sample("vps", 1_000, 40_123.0), sample("vps", 2_000, 40_456.5)]).await;
    store.interval(fact("verdict", "\"Protected\"", 1_000)).await;
    store
        .commit(vec![incident("a", IncidentState::Firing, 5)], vec![notice("a", NoticeKind::Alarm)])
        .await
        .unwrap();
    store.append_membership(vec![1, 2, 3]).await.unwrap();
    store.append_membership(vec![4]).await.unwrap();
    store.append_membership(vec![1, 2, 3]).await.unwrap();
    store.set_home(&home).await.unwrap();
    let said = BTreeMap::from([("home-server".into(), vec!["203.0.113.9".parse().unwrap()])]);
    assert!(store.home_announced().await.unwrap().is_empty() && !store.tunnel_known().await.unwrap());
    store.set_home_announced(&said).await.unwrap();
    store.set_tunnel_known(true).await.unwrap();
    store.close().await;

    let store = open(dir.path()).await;
    let points = store.series(&rtt("vps"), Timestamp(0), Timestamp(10_000)).await.unwrap();
    let values: Vec<_> = points.iter().map(|point| (point.at.0, point.mean)).collect();
    assert_eq!(values, [(1_000, 40_123.0), (2_000, 40_456.5)]);
    let spans = store.intervals("verdict", Timestamp(0), Timestamp(10_000)).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].value, "\"Protected\"");
    assert_eq!(store.open_incidents().await.unwrap(), [incident("a", IncidentState::Firing, 5)]);
    assert_eq!(store.undelivered("desktop").await.unwrap().len(), 1);
    assert_eq!(store.membership().await.unwrap(), [vec![1, 2, 3], vec![4]]);
    assert_eq!(store.home().await.unwrap(), Some(home));
    assert_eq!(store.home_announced().await.unwrap(), said);
    assert!(store.tunnel_known().await.unwrap());
    store.set_tunnel_known(false).await.unwrap();
    assert!(!store.tunnel_known().await.unwrap());
}

#[tokio::test]
async fn what_was_accepted_is_written_when_the_last_handle_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.samples(vec![sample("vps", 1_000, 1.0)]).await;
    store.interval(fact("exit/v4", "1", 1_000)).await;
    drop(store);
    let store = reopen(dir.path()).await;
    assert_eq!(store.series(&rtt("vps"), Timestamp(0), Timestamp(2_000)).await.unwrap().len(), 1);
    assert_eq!(store.intervals("exit/v4", Timestamp(0), Timestamp(2_000)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_interval_ends_where_the_value_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (value, at) in [("1", 100), ("1", 200), ("2", 300), ("2", 400), ("1", 500)] {
        store.interval(fact("exit/v4", value, at)).await;
        store.interval(fact("exit/v6", "0", at)).await;
    }
    let spans = store.intervals("exit/v4", Timestamp(0), Timestamp(1_000)).await.unwrap();
    let spans: Vec<_> =
        spans.iter().map(|span| (span.value.as_str(), span.since.0, span.until.map(|at| at.0))).collect();
    assert_eq!(spans, [("1", 100, Some(300)), ("2", 300, Some(500)), ("1", 500, None)]);
    let asked_late = store.intervals("exit/v4", Timestamp(350), Timestamp(450)).await.unwrap();
    assert_eq!(asked_late.len(), 1);
    assert_eq!(store.intervals("exit/v6", Timestamp(0), Timestamp(1_000)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_time_the_node_was_away_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.interval(fact("verdict", "1", 100)).await;
    store.interval(fact("verdict", "1", 700)).await;
    store.close().await;
    let store = open(dir.path()).await;
    store.interval(fact("verdict", "1", 9_000)).await;
    let spans = store.intervals("verdict", Timestamp(0), Timestamp(10_000)).await.unwrap();
    let spans: Vec<_> = spans.iter().map(|span| (span.since.0, span.until.map(|at| at.0))).collect();
    assert_eq!(spans, [(100, Some(700)), (9_000, None)]);
}

#[tokio::test]
async fn a_resolved_incident_is_past_and_the_latest_word_counts() {
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
async fn a_notice_is_offered_to_each_channel_until_that_channel_delivers_it() {
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
        "a delivered notice is not recorded anew"
    );
}

#[tokio::test]
async fn old_samples_live_on_as_rollups_and_the_rest_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let now = 800 * DAY;
    let at = |age: i64| now - age;
    store
        .samples(vec![
            sample("vps", at(40 * DAY), 10.0),
            sample("vps", at(40 * DAY) + 1_000, 30.0),
            sample("vps", at(DAY), 50.0),
            sample("vps", now - 1, 70.0),
            sample("vps", at(790 * DAY), 90.0),
        ])
        .await;
    store.interval(fact("exit/v4", "1", at(799 * DAY))).await;
    store.interval(fact("exit/v4", "2", at(790 * DAY))).await;
    let old = incident("old", IncidentState::Resolved, at(790 * DAY));
    let stuck = incident("stuck", IncidentState::Firing, at(790 * DAY));
    store.commit(vec![old, stuck], vec![notice("old", NoticeKind::Alarm)]).await.unwrap();
    store.maintain(Timestamp(now)).await.unwrap();
    store.maintain(Timestamp(now)).await.unwrap();

    let points = store.series(&rtt("vps"), Timestamp(0), Timestamp(now + 1)).await.unwrap();
    let sums: Vec<_> = points.iter().map(|point| (point.mean, point.low, point.high, point.count)).collect();
    assert_eq!(sums, [(20.0, 10.0, 30.0, 2), (50.0, 50.0, 50.0, 1), (70.0, 70.0, 70.0, 1)]);
    let raw = store
        .series(&rtt("vps"), Timestamp(at(40 * DAY) - HOUR), Timestamp(at(40 * DAY) + HOUR))
        .await
        .unwrap();
    assert_eq!(raw, [], "the raw samples of that day are gone");
    assert_eq!(store.intervals("exit/v4", Timestamp(0), Timestamp(now)).await.unwrap().len(), 1);
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
    store.samples(samples).await;
    let points = store.series(&rtt("vps"), Timestamp(0), Timestamp(20_000_000)).await.unwrap();
    assert!(points.len() <= 730, "{} points", points.len());
    assert_eq!(points.iter().map(|point| point.count).sum::<i64>(), 20_000);
}

#[tokio::test]
async fn numbers_that_are_none_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store
        .samples(vec![sample("vps", 1, f64::NAN), sample("vps", 2, f64::INFINITY), sample("vps", 3, 1.0)])
        .await;
    assert_eq!(store.series(&rtt("vps"), Timestamp(0), Timestamp(10)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let other = store.clone();
    store.close().await;
    let refused = other.append_membership(vec![1]).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    other.samples(vec![sample("vps", 1, 1.0)]).await;
    other.flush().await;
}
