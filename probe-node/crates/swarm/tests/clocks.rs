//! A wall clock that is wrong by a day decides nothing: neither joining nor attestations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{DAY, Node, TestClock, pair};
use sentinel_model::Millis;

#[tokio::test]
async fn nodes_pair_and_attest_whichever_wall_clock_is_wrong() {
    for (owner_error, joiner_error) in [(DAY, 0), (-DAY, 0), (0, DAY), (0, -DAY)] {
        let (owner_clock, joiner_clock) = (TestClock::default(), TestClock::default());
        owner_clock.set_wall_error(owner_error);
        joiner_clock.set_wall_error(joiner_error);
        let owner = Node::start_with("vps", |config| config.clock = owner_clock.clock()).await;
        let joiner = Node::start_with("laptop", |config| config.clock = joiner_clock.clock()).await;
        pair(&owner, &joiner).await;
        joiner.swarm.attest(&owner.id()).await.unwrap();
        owner.swarm.attest(&joiner.id()).await.unwrap();
    }
}

#[tokio::test]
async fn setting_the_wall_clock_neither_ends_nor_prolongs_an_invitation() {
    let clock = TestClock::default();
    let owner = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let joiner = Node::start("laptop").await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    clock.set_wall_error(DAY);
    let fingerprint = joiner.swarm.accept(&invitation).await.unwrap();
    owner.swarm.confirm(&fingerprint).await.unwrap();
    joiner.connected_to(&owner.id()).await;

    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let late = Node::start("home").await;
    let fingerprint = late.swarm.accept(&invitation).await.unwrap();
    clock.set_wall_error(-DAY);
    clock.advance(Millis::secs(601));
    owner.swarm.confirm(&fingerprint).await.unwrap_err();
    assert!(owner.swarm.view().borrow().pending.is_empty(), "an expired request is still shown");
}
