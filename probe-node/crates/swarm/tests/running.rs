//! Restarts, lost connections, relays, and a shutdown that is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, pair, until};
use sentinel_model::Reachability;
use sentinel_swarm::{Swarm, SwarmError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

#[tokio::test]
async fn a_restarted_node_finds_the_others_by_its_log() {
    let (owner, second) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &second).await;
    until("the log is complete", || second.log().len() == 2).await;
    let (owner_id, second_id) = (owner.id(), second.id());
    // The owner still listens on the address in the log. The second node gets another port.
    let second = second.stop().await.start().await;
    assert_eq!(second.id(), second_id);
    second.connected_to(&owner_id).await;
    owner.connected_to(&second_id).await;
}

#[tokio::test]
async fn a_network_change_ends_the_backoff() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fixed = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let owner = Node::start_with("vps", |config| config.listen = vec![fixed]).await;
    // The laptop does not listen, so only it can dial.
    let laptop = Node::start_with("laptop", |config| config.listen.clear()).await;
    pair(&owner, &laptop).await;
    until("the log is complete", || owner.log().len() == 2).await;
    let id = owner.id();
    let stopped = owner.stop().await;
    laptop.reaches(&id, &[Reachability::Lost]).await;
    // Long enough for several failed dials: the backoff is then longer than the time allowed below.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let owner = stopped.start().await;
    let began = Instant::now();
    laptop.swarm.network_changed().await;
    laptop.connected_to(&id).await;
    assert!(began.elapsed() < Duration::from_secs(1), "took {:?}", began.elapsed());
    drop(owner);
}

#[tokio::test]
async fn two_nodes_behind_routers_connect_through_a_relay() {
    let relay = Node::start_with("vps", |config| config.relay = true).await;
    let first = Node::start_with("laptop", |config| config.listen.clear()).await;
    let second = Node::start_with("home", |config| config.listen.clear()).await;
    pair(&relay, &first).await;
    pair(&relay, &second).await;
    first.reaches(&second.id(), &[Reachability::Relayed]).await;
    second.reaches(&first.id(), &[Reachability::Relayed]).await;
    first.swarm.attest(&second.id()).await.expect("members can exchange requests through the relay");
    assert_eq!(first.sees(&relay.id()).unwrap().reachability, Reachability::Direct);
}

#[tokio::test]
async fn two_nodes_pair_over_quic() {
    let owner = Node::start_with("vps", |config| {
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    })
    .await;
    let laptop = Node::start("laptop").await;
    pair(&owner, &laptop).await;
}

#[tokio::test]
async fn shutdown_is_bounded_and_later_commands_fail() {
    let (owner, second) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &second).await;
    let other = owner.swarm.clone();
    let began = Instant::now();
    owner.swarm.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3), "took {:?}", began.elapsed());
    let error = other.invite(sentinel_model::Millis::secs(60)).await.unwrap_err();
    assert!(matches!(error, SwarmError::Stopped), "{error}");
}

#[tokio::test]
async fn the_swarm_stops_with_its_last_handle() {
    let dir = tempfile::tempdir().unwrap();
    let config = common::config("vps", dir.path().to_owned());
    let (swarm, mut events) = Swarm::start(config).await.unwrap();
    let clone = swarm.clone();
    drop(swarm);
    clone.invite(sentinel_model::Millis::secs(60)).await.unwrap();
    assert!(events.recv().await.is_some());
    drop(clone);
    let ended = timeout(Duration::from_secs(5), async { while events.recv().await.is_some() {} });
    ended.await.expect("the task kept running without a handle");
}

#[tokio::test]
async fn the_error_names_a_port_in_use() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = common::config("vps", dir.path().to_owned());
    config.stun = vec![address];
    let error = Swarm::start(config).await.unwrap_err();
    assert!(
        matches!(error, SwarmError::Bind { .. }) && error.to_string().contains(&address.to_string()),
        "{error}"
    );
}
