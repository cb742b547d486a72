//! What happens while the ledger cannot be written: nothing is lost, and nothing waits for it.

use super::harness::{TestNode, alarms, in_time};
use sentinel_model::{Command, Millis, NoticeKind, Reply, StorageView, Timestamp};
use sentinel_store::Store;
use sqlx::Connection;
use std::time::{Duration, Instant};

/// Longer than the longest pause between two attempts to store.
const NEXT_ATTEMPT: Millis = Millis::secs(16);

/// Far less than the ledger's own wait for another process, which is 5 s.
const NO_WAIT: Duration = Duration::from_secs(2);

/// Takes the tunnel away and waits until the alarm is shown.
async fn raise_alarm(node: &TestNode) {
    node.platform.set_tunnel(false);
    node.platform.report_change().await;
    node.until("the alarm is published", alarms).await;
}

async fn end_alarm(node: &TestNode) {
    node.platform.set_tunnel(true);
    node.platform.report_change().await;
    node.until("the incident has ended", |now| !alarms(now)).await;
}

/// Delivers the next notice of a channel and returns its kind.
async fn deliver(node: &TestNode, channel: &str) -> NoticeKind {
    let (id, notice) = in_time("a notice is offered", node.engine.next_notice(channel)).await.unwrap();
    node.engine.delivered(channel, id).unwrap();
    notice.kind
}

#[tokio::test]
async fn a_failed_commit_is_shown_and_retried_and_every_notice_goes_out_once() {
    let node = TestNode::start().await;
    node.break_ledger().await;
    raise_alarm(&node).await;
    assert_eq!(deliver(&node, "early").await, NoticeKind::Alarm, "it is in memory only");
    node.until("the failure is shown", |now| {
        now.storage.unstored > 0 && now.storage.failing_since.is_some() && now.storage.error.is_some()
    })
    .await;
    assert_eq!(node.count_stored_incidents().await, 0);

    node.mend_ledger().await;
    node.advance(NEXT_ATTEMPT).await;
    node.until("everything is stored", |now| now.storage == StorageView::default()).await;
    assert_eq!(node.count_stored_incidents().await, 1);
    end_alarm(&node).await;
    assert_eq!(deliver(&node, "early").await, NoticeKind::Resolve, "the alarm is not offered twice");
    assert_eq!(deliver(&node, "late").await, NoticeKind::Alarm);
    assert_eq!(deliver(&node, "late").await, NoticeKind::Resolve);
}

#[tokio::test]
async fn an_incident_that_ends_before_it_is_stored_keeps_both_notices_in_order() {
    let node = TestNode::start().await;
    node.break_ledger().await;
    raise_alarm(&node).await;
    end_alarm(&node).await;
    assert_eq!(deliver(&node, "early").await, NoticeKind::Alarm);
    node.mend_ledger().await;
    node.advance(NEXT_ATTEMPT).await;
    node.until("everything is stored", |now| now.storage.unstored == 0).await;
    assert_eq!(deliver(&node, "early").await, NoticeKind::Resolve);
    assert_eq!(deliver(&node, "late").await, NoticeKind::Alarm);
    assert_eq!(deliver(&node, "late").await, NoticeKind::Resolve);
    let incidents = node.engine.incidents(Timestamp(0), 10).await.unwrap();
    assert!(incidents.len() == 1 && !incidents[0].state.is_open(), "{incidents:?}");
}

#[tokio::test]
async fn a_write_lock_of_another_process_delays_neither_the_loop_nor_a_notice() {
    let node = TestNode::start().await;
    let lock = node.lock_ledger().await;
    let started = Instant::now();
    raise_alarm(&node).await;
    node.catch_up().await;
    node.advance(Millis::secs(1)).await;
    assert_eq!(deliver(&node, "test").await, NoticeKind::Alarm);
    assert!(started.elapsed() < NO_WAIT, "the alarm took {:?}", started.elapsed());
    node.until("it is shown as not stored", |now| now.storage.unstored > 0).await;

    lock.close().await.unwrap();
    node.advance(NEXT_ATTEMPT).await;
    node.until("everything is stored", |now| now.storage == StorageView::default()).await;
    assert_eq!(node.count_stored_incidents().await, 1);
}

#[tokio::test]
async fn commands_are_carried_out_at_once_and_stored_when_the_lock_is_gone() {
    let node = TestNode::start().await;
    raise_alarm(&node).await;
    node.until("the alarm is stored", |now| now.storage == StorageView::default()).await;
    let incident = node.snapshot().shown.incidents[0].id.clone();
    let lock = node.lock_ledger().await;

    let started = Instant::now();
    let home = "81.2.69.142".parse().unwrap();
    for command in [Command::SetHome { addresses: vec![home] }, Command::Acknowledge { incident }] {
        assert_eq!(node.engine.command(command).await, Ok(Reply::Done));
    }
    assert!(started.elapsed() < NO_WAIT, "the commands took {:?}", started.elapsed());
    assert!(node.snapshot().storage.unstored >= 2, "both are shown as not stored");
    assert!(node.snapshot().shown.incidents[0].acknowledged.is_some());

    lock.close().await.unwrap();
    node.advance(NEXT_ATTEMPT).await;
    node.until("everything is stored", |now| now.storage == StorageView::default()).await;
    node.stop().await;
    let store = Store::open(node.dir.path(), node.time.clock()).await.unwrap().store;
    assert!(store.open_incidents().await.unwrap()[0].acknowledged.is_some());
    assert_eq!(store.home().await.unwrap().unwrap().addresses, [home]);
}

#[tokio::test]
async fn a_shutdown_stores_what_is_waiting() {
    let node = TestNode::start().await;
    node.break_ledger().await;
    raise_alarm(&node).await;
    node.mend_ledger().await;
    node.stop().await;
    let store = Store::open(node.dir.path(), node.time.clock()).await.unwrap().store;
    assert_eq!(store.open_incidents().await.unwrap().len(), 1);
    assert_eq!(store.undelivered("test").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_recorded_is_not_repeated_in_this_run() {
    let node = TestNode::start().await;
    raise_alarm(&node).await;
    node.until("the alarm is stored", |now| now.storage == StorageView::default()).await;
    node.execute_on_ledger(
        "CREATE TRIGGER no_delivery BEFORE INSERT ON delivery BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .await;
    assert_eq!(deliver(&node, "test").await, NoticeKind::Alarm);
    node.until("the failure is shown", |now| now.storage.failing_since.is_some()).await;
    end_alarm(&node).await;
    assert_eq!(deliver(&node, "test").await, NoticeKind::Resolve, "the alarm was delivered before");

    node.execute_on_ledger("DROP TRIGGER no_delivery").await;
    node.advance(NEXT_ATTEMPT).await;
    node.until("the deliveries are stored", |now| now.storage == StorageView::default()).await;
    node.stop().await;
    let store = Store::open(node.dir.path(), node.time.clock()).await.unwrap().store;
    assert_eq!(store.undelivered("test").await.unwrap(), []);
    assert_eq!(store.undelivered("other").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_read_that_fails_does_not_end_a_channel() {
    let node = TestNode::start().await;
    node.execute_on_ledger("ALTER TABLE delivery RENAME TO mislaid").await;
    raise_alarm(&node).await;
    node.until("the alarm is stored", |now| now.storage == StorageView::default()).await;
    let engine = node.engine.clone();
    let offered = tokio::spawn(async move { engine.next_notice("test").await });
    node.advance(Millis::secs(1)).await;
    node.catch_up().await;
    assert!(!offered.is_finished(), "the channel waits");
    node.execute_on_ledger("ALTER TABLE mislaid RENAME TO delivery").await;
    node.advance(NEXT_ATTEMPT).await;
    let (_, notice) = in_time("the notice is offered", offered).await.unwrap().unwrap();
    assert_eq!(notice.kind, NoticeKind::Alarm);
}
