//! Pairing and membership from the invitation on, between real nodes over loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, TestClock, config, pair, until};
use sentinel_model::Millis;
use sentinel_swarm::{Event, InvitationError, Swarm, SwarmError};

#[tokio::test]
async fn two_nodes_pair_and_store_the_same_log() {
    let (owner, joiner) = (Node::start("vps").await, Node::start("laptop").await);
    let (invitation, expires) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    assert!(expires.0 > 0 && invitation.starts_with("vpnsentinel1"));
    let shown = joiner.swarm.accept(&invitation).await.unwrap();
    assert_eq!(shown.len(), 9, "a short fingerprint like 7QK2-M9XD: {shown}");
    let pending = owner.swarm.view().borrow().pending.clone();
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].name.as_str(), &pending[0].fingerprint), ("laptop", &shown));
    assert!(owner.sees(&joiner.id()).is_none(), "a node is no member before the owner confirms it");

    let wrong = owner.swarm.confirm("AAAA-AAAA").await.unwrap_err();
    assert!(matches!(wrong, SwarmError::UnknownFingerprint(_)), "{wrong}");
    assert_eq!(owner.swarm.confirm(&shown.to_lowercase()).await.unwrap(), joiner.id());
    owner.connected_to(&joiner.id()).await;
    joiner.connected_to(&owner.id()).await;

    until("both have the two entries to store", || owner.log().len() == 2 && joiner.log() == owner.log())
        .await;
    assert!(owner.swarm.view().borrow().pending.is_empty());
    let confirmed = Event::Admitted { node: joiner.id(), name: "laptop".into() };
    assert!(owner.events().contains(&confirmed) && joiner.events().contains(&confirmed));
    assert!(joiner.events().contains(&Event::AwaitingConfirmation { fingerprint: shown }));
    assert_eq!(owner.swarm.view().borrow().refused_peers, 0);
}

#[tokio::test]
async fn a_third_node_connects_to_all_others() {
    let (owner, second, third) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("home").await);
    pair(&owner, &second).await;
    pair(&owner, &third).await;
    second.connected_to(&third.id()).await;
    third.connected_to(&second.id()).await;
    until("the second node has the entry of the third", || second.log().len() == 3).await;
    assert_eq!(second.sees(&third.id()).unwrap().name, "home");

    let not_owner = second.swarm.invite(Millis::secs(600)).await.unwrap_err();
    assert!(not_owner.to_string().contains("vps"), "the error names the node to do it on: {not_owner}");
}

#[tokio::test]
async fn a_revoked_node_stays_out_even_after_a_restart() {
    let (owner, second, third) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("home").await);
    pair(&owner, &second).await;
    pair(&owner, &third).await;
    second.connected_to(&third.id()).await;
    let stopped = third.stop().await;
    let third_id = stopped_id(&stopped);

    owner.swarm.revoke(&second.id()).await.unwrap();
    assert!(owner.sees(&second.id()).is_none());
    until("the revoked node has lost its connections", || {
        second.sees(&owner.id()).is_none_or(|node| node.reachability == sentinel_model::Reachability::Lost)
    })
    .await;
    let again = owner.swarm.revoke(&second.id()).await.unwrap_err();
    assert!(matches!(again, SwarmError::NotMember(_)), "{again}");

    // The node that was down learns of it from the log, and refuses the revoked node's connections.
    let third = stopped.start().await;
    assert_eq!(third.id(), third_id);
    until("the third node has the revocation", || third.sees(&second.id()).is_none()).await;
    let before = owner.swarm.view().borrow().refused_peers;
    until("a connection of the revoked node is refused", || {
        owner.swarm.view().borrow().refused_peers > before
    })
    .await;

    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let revoked = second.stop().await;
    let mut config = revoked.config.clone();
    config.membership.clear();
    let (swarm, _events) = Swarm::start(config).await.unwrap();
    let refused = swarm.accept(&invitation).await.unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
}

fn stopped_id(stopped: &common::Stopped) -> sentinel_model::NodeId {
    let key = std::fs::read(stopped.config.state_dir.join("identity.key")).unwrap();
    let key = libp2p::identity::Keypair::from_protobuf_encoding(&key).unwrap();
    sentinel_model::NodeId(key.public().to_peer_id().to_base58())
}

#[tokio::test]
async fn a_used_invitation_is_refused_with_the_reason() {
    let (owner, first, second) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("thief").await);
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let fingerprint = first.swarm.accept(&invitation).await.unwrap();
    let error = second.swarm.accept(&invitation).await.unwrap_err();
    assert!(error.to_string().contains("already used"), "{error}");
    assert_eq!(owner.swarm.view().borrow().pending.len(), 1, "a leaked invitation yields one request");
    owner.swarm.confirm(&fingerprint).await.unwrap();
    let error = second.swarm.accept(&invitation).await.unwrap_err();
    assert!(error.to_string().contains("already used"), "{error}");
}

#[tokio::test]
async fn expired_damaged_and_unreachable_invitations_have_their_own_errors() {
    let clock = TestClock::default();
    let owner = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let joiner = Node::start_with("laptop", |config| config.clock = clock.clock()).await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(60)).await.unwrap();

    let cut = joiner.swarm.accept(&invitation[..invitation.len() - 5]).await.unwrap_err();
    assert!(matches!(cut, SwarmError::Invitation(InvitationError::Malformed)), "{cut}");
    let other = joiner.swarm.accept("https://example.net/").await.unwrap_err();
    assert!(matches!(other, SwarmError::Invitation(InvitationError::NotAnInvitation)), "{other}");

    clock.advance(Millis::secs(61));
    // The owner's clock decides, whether the joiner's is right or not.
    let slow = Node::start("slow").await;
    for late in [&joiner, &slow] {
        let refused = late.swarm.accept(&invitation).await.unwrap_err();
        assert!(matches!(refused, SwarmError::Refused(_) | SwarmError::Unreachable { .. }), "{refused}");
    }

    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    owner.stop().await;
    let unreachable = tokio::spawn({
        let swarm = joiner.swarm.clone();
        async move { swarm.accept(&invitation).await }
    });
    clock.advance(Millis::secs(11));
    let unreachable = unreachable.await.unwrap().unwrap_err();
    assert!(matches!(unreachable, SwarmError::Unreachable { .. }), "{unreachable}");
}

#[tokio::test]
async fn a_headless_node_uses_the_invitation_in_its_configuration() {
    let owner = Node::start("vps").await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let joiner = Node::start_with("container", |config| config.invitation = Some(invitation)).await;
    let shown = || {
        joiner.events().into_iter().find_map(|event| match event {
            Event::AwaitingConfirmation { fingerprint } => Some(fingerprint),
            _ => None,
        })
    };
    until("the node reports its fingerprint", || shown().is_some()).await;
    owner.swarm.confirm(&shown().unwrap()).await.unwrap();
    joiner.connected_to(&owner.id()).await;

    // After a restart the old invitation is still configured, and is ignored.
    let stopped = joiner.stop().await;
    assert!(stopped.config.invitation.is_some());
    let joiner = stopped.start().await;
    joiner.connected_to(&owner.id()).await;
}

#[tokio::test]
async fn a_member_of_a_swarm_cannot_join_another() {
    let (owner, member, other) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("friend").await);
    pair(&owner, &member).await;
    let (invitation, _) = other.swarm.invite(Millis::secs(600)).await.unwrap();
    let error = member.swarm.accept(&invitation).await.unwrap_err();
    assert!(matches!(error, SwarmError::AlreadyMember { others: 1 }), "{error}");
    // A node that founded a swarm and is still alone in it can.
    let founder = Node::start("founder").await;
    founder.swarm.invite(Millis::secs(600)).await.unwrap();
    pair(&other, &founder).await;
    let restarted = founder.stop().await.start().await;
    restarted.connected_to(&other.id()).await;
}

#[tokio::test]
async fn a_node_with_the_log_of_another_key_starts_and_can_be_invited() {
    let owner = Node::start("vps").await;
    owner.swarm.invite(Millis::secs(600)).await.unwrap();
    until("the swarm is founded", || !owner.log().is_empty()).await;
    let other = tempfile::tempdir().unwrap();
    let mut elsewhere = config("vps", other.path().to_owned());
    elsewhere.membership = owner.log();
    let (swarm, _events) = Swarm::start(elsewhere).await.unwrap();
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let fingerprint = swarm.accept(&invitation).await.unwrap();
    assert_eq!(owner.swarm.confirm(&fingerprint).await.unwrap(), swarm.id());
}
