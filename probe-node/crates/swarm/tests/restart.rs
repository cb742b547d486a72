//! A node starts with whatever a crash left of its membership log, and with any invitation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, Stopped, pair, until};
use sentinel_model::Millis;
use sentinel_swarm::{Event, SwarmError};

/// Returns an owner and a stopped second node that has all three entries of the log.
async fn owner_and_stopped_member() -> (Node, Stopped) {
    let (owner, second, third) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("home").await);
    pair(&owner, &second).await;
    pair(&owner, &third).await;
    until("the second node has the whole log", || second.log().len() == 3).await;
    (owner, second.stop().await)
}

#[tokio::test]
async fn a_member_with_a_gap_in_its_log_starts_and_fetches_the_missing_entries() {
    for missing in [1, 2] {
        let (owner, mut stopped) = owner_and_stopped_member().await;
        let complete = stopped.config.membership.clone();
        stopped.config.membership.remove(missing);
        let restarted = stopped.start().await;
        restarted.connected_to(&owner.id()).await;
        until("the missing entry is there to be stored", || restarted.log().contains(&complete[missing]))
            .await;
        // The store keeps the order in which entries came, so the late one is the last.
        let again = restarted.stop().await.start().await;
        again.connected_to(&owner.id()).await;
        assert_eq!(again.swarm.view().borrow().nodes.len(), 3);
    }
}

#[tokio::test]
async fn a_member_with_a_damaged_entry_starts_and_replaces_it() {
    for damaged in [1, 2] {
        let (owner, mut stopped) = owner_and_stopped_member().await;
        let last = stopped.config.membership[damaged].len() - 1;
        stopped.config.membership[damaged][last] ^= 1;
        let restarted = stopped.start().await;
        restarted.connected_to(&owner.id()).await;
        until("all nodes are known again", || restarted.swarm.view().borrow().nodes.len() == 3).await;
    }
}

#[tokio::test]
async fn a_member_without_the_first_entry_starts_and_can_be_invited_again() {
    let (owner, mut stopped) = owner_and_stopped_member().await;
    stopped.config.membership.remove(0);
    let restarted = stopped.start().await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    restarted.swarm.accept(&invitation).await.unwrap();
    restarted.connected_to(&owner.id()).await;
}

#[tokio::test]
async fn an_owner_with_a_gap_in_its_log_signs_nothing_until_it_has_caught_up() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fixed = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let owner = Node::start_with("vps", |config| config.listen = vec![fixed]).await;
    let (second, third) = (Node::start("laptop").await, Node::start("home").await);
    pair(&owner, &second).await;
    pair(&owner, &third).await;
    until("the other nodes have the whole log", || second.log().len() == 3 && third.log().len() == 3).await;
    let (second_id, third_id) = (second.id(), third.id());
    let (second, mut stopped) = (second.stop().await, owner.stop().await);
    let third = third.stop().await;
    // The entry of the third node is lost, and no other node is there to send it.
    let last = stopped.config.membership[2].len() - 1;
    stopped.config.membership[2][last] ^= 1;
    let owner = stopped.start().await;
    let refused = owner.swarm.revoke(&second_id).await.unwrap_err();
    assert!(matches!(refused, SwarmError::IncompleteLog { have: 2, last: 3 }), "{refused}");
    let refused = owner.swarm.invite(Millis::secs(600)).await.unwrap_err();
    assert!(matches!(refused, SwarmError::IncompleteLog { .. }), "{refused}");

    let second = second.start().await;
    until("the owner has caught up", || owner.sees(&third_id).is_some()).await;
    owner.swarm.revoke(&third_id).await.unwrap();
    until("the revocation arrives", || second.sees(&third_id).is_none()).await;
    drop(third);
}

#[tokio::test]
async fn an_owner_without_any_usable_entry_founds_no_second_swarm() {
    let owner = Node::start("vps").await;
    owner.swarm.invite(Millis::secs(600)).await.unwrap();
    until("the swarm is founded", || !owner.log().is_empty()).await;
    let mut stopped = owner.stop().await;
    stopped.config.membership[0][40] ^= 1;
    let owner = stopped.start().await;
    let refused = owner.swarm.invite(Millis::secs(600)).await.unwrap_err();
    assert!(matches!(refused, SwarmError::IncompleteLog { have: 0, last: 1 }), "{refused}");
}

#[tokio::test]
async fn an_unusable_invitation_never_stops_a_node() {
    let owner = Node::start("vps").await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let cut = invitation[..invitation.len() - 5].to_owned();
    for unusable in ["", "https://example.net/", &cut] {
        let node =
            Node::start_with("container", |config| config.invitation = Some(unusable.to_owned())).await;
        let reported = || node.events().iter().any(|event| matches!(event, Event::PairingFailed { .. }));
        until("the unusable invitation is reported", reported).await;
        assert_eq!(node.swarm.view().borrow().nodes.len(), 1);
    }
    // A used invitation is refused by the node that made it.
    let first = Node::start("laptop").await;
    let fingerprint = first.swarm.accept(&invitation).await.unwrap();
    owner.swarm.confirm(&fingerprint).await.unwrap();
    first.connected_to(&owner.id()).await;
    until("the member has the whole log", || first.log().len() == 2).await;
    let late = Node::start_with("container", |config| config.invitation = Some(invitation.clone())).await;
    assert_eq!(late.swarm.view().borrow().nodes.len(), 1);
    let mut member = first.stop().await;
    member.config.invitation = Some(cut);
    member.start().await.connected_to(&owner.id()).await;
}
