//! Pauses, and what follows the wall clock no longer.

use super::{
    ONE_ROUND,
    harness::{TestNode, until},
};
use sentinel_model::{Command, Millis, Reply, Timestamp};

/// A node that is paused for a quarter of an hour.
async fn paused_node() -> TestNode {
    let node = TestNode::start().await;
    let end = Timestamp(node.snapshot().at.0 + 900_000);
    assert_eq!(node.engine.command(Command::Pause { until: Some(end) }).await, Ok(Reply::Done));
    node.until("the pause is shown", |now| now.schedule.paused.is_some()).await;
    node
}

#[tokio::test]
async fn a_pause_holds_every_check_and_ends_when_its_time_has_passed() {
    let node = TestNode::start().await;
    let quarter = Millis::secs(900);
    let end = Timestamp(node.snapshot().at.0 + 900_000);
    assert_eq!(node.engine.command(Command::Pause { until: Some(end) }).await, Ok(Reply::Done));
    node.until("the pause is shown", |now| now.schedule.paused.is_some()).await;
    let asked = node.platform.calls();
    node.advance(Millis::secs(600)).await;
    node.catch_up().await;
    assert_eq!(node.platform.calls(), asked, "no check ran while paused");
    assert_eq!(node.snapshot().schedule.next_round, None);
    node.advance(quarter).await;
    node.until("the pause has ended", |now| now.schedule.paused.is_none()).await;
    until("checks run again", || node.platform.calls() > asked).await;
}

#[tokio::test]
async fn a_paused_node_measures_when_asked_and_then_holds_again() {
    let node = TestNode::start().await;
    node.engine.command(Command::Pause { until: None }).await.unwrap();
    let asked = node.platform.calls();
    node.advance(ONE_ROUND).await;
    let engine = node.engine.clone();
    let check = tokio::spawn(async move { engine.command(Command::CheckNow).await });
    until("the local checks run", || node.platform.calls() > asked).await;
    node.advance(Millis(1)).await;
    assert_eq!(check.await.unwrap(), Ok(Reply::Done));
    let asked = node.platform.calls();
    node.advance(ONE_ROUND).await;
    node.catch_up().await;
    assert_eq!(node.platform.calls(), asked);
}

#[tokio::test]
async fn a_pause_ends_in_time_when_the_wall_clock_is_set_back() {
    let node = paused_node().await;
    node.time.set_wall_clock(-3_600);
    node.advance(Millis::secs(901)).await;
    node.until("the pause has ended", |now| now.schedule.paused.is_none()).await;
}

#[tokio::test]
async fn a_pause_lasts_when_the_wall_clock_is_set_forward_and_shows_its_end_on_that_clock() {
    let node = paused_node().await;
    node.time.set_wall_clock(3_600);
    node.advance(Millis::secs(600)).await;
    node.catch_up().await;
    let now = node.snapshot();
    let end = now.schedule.paused.and_then(|pause| pause.until).map(|until| until.0 - now.at.0);
    assert!(end.is_some_and(|left| (298_000..=301_000).contains(&left)), "{end:?} ms are left");
    node.advance(Millis::secs(301)).await;
    node.until("the pause has ended", |now| now.schedule.paused.is_none()).await;
}

#[tokio::test]
async fn snapshots_go_on_when_the_wall_clock_is_set_back_or_forward() {
    let node = TestNode::start().await;
    for by in [-3_600, 7_200, -86_400] {
        node.time.set_wall_clock(by);
        let before = node.snapshot().sequence;
        node.advance(Millis::secs(1)).await;
        node.until("the heartbeat is published", |now| now.sequence > before).await;
        let before = node.snapshot().sequence;
        node.advance(Millis::secs(1)).await;
        node.until("the next heartbeat is published", |now| now.sequence > before).await;
    }
}
