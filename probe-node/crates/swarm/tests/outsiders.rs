//! Nodes that are not members never get a member protocol, whether or not an invitation is open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, TestClock, until};
use futures::StreamExt;
use libp2p::{
    Multiaddr, StreamProtocol, SwarmBuilder, identify, noise, ping,
    request_response::{self, OutboundFailure, ProtocolSupport, cbor},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use sentinel_model::Millis;
use sentinel_swarm::Invitation;
use std::time::Duration;
use tokio::time::timeout;

#[derive(NetworkBehaviour)]
struct OutsiderProtocols {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    witness: cbor::Behaviour<String, String>,
}

fn outsider() -> libp2p::Swarm<OutsiderProtocols> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| OutsiderProtocols {
            identify: identify::Behaviour::new(identify::Config::new("/vpnsentinel/1".into(), key.public())),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(200))),
            witness: cbor::Behaviour::new(
                [(StreamProtocol::new("/vpnsentinel/witness/1"), ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(1)))
        .build()
}

/// Opens an invitation for 60 seconds, and returns an address of the node from it.
async fn address_of(node: &Node) -> Multiaddr {
    let (text, _) = node.swarm.invite(Millis::secs(60)).await.unwrap();
    text.parse::<Invitation>().unwrap().addresses()[0].clone()
}

#[tokio::test]
async fn the_connection_of_an_outsider_is_closed_and_counted() {
    let clock = TestClock::default();
    let node = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let address = address_of(&node).await;
    clock.advance(Millis::secs(61));
    // The node stops accepting pairing connections with its next tick.
    let mut outsider = outsider();
    let peer = node.id().0.parse().unwrap();
    let mut received = Vec::new();
    let closed = timeout(Duration::from_secs(20), async {
        loop {
            if !outsider.is_connected(&peer) {
                // Fails if a dial is already in progress.
                let _ = outsider.dial(address.clone());
            }
            match outsider.select_next_some().await {
                SwarmEvent::Behaviour(OutsiderProtocolsEvent::Identify(identify::Event::Received {
                    info,
                    ..
                })) => {
                    received.push(info);
                }
                SwarmEvent::ConnectionClosed { .. } if node.swarm.view().borrow().refused_peers > 0 => break,
                _ => {}
            }
        }
    });
    closed.await.expect("the connection was not closed");
    assert!(received.is_empty(), "an outsider received {received:?}");
    assert!(node.swarm.view().borrow().refused_peers > 0);
}

#[tokio::test]
async fn an_outsider_is_offered_only_the_pairing_protocol() {
    let clock = TestClock::default();
    let node = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let address = address_of(&node).await;
    let mut outsider = outsider();
    outsider.dial(address).unwrap();
    let peer = node.id().0.parse().unwrap();
    let (mut requested, mut refused_request, mut refused_ping) = (false, false, false);
    let refused = timeout(Duration::from_secs(20), async {
        while !(refused_request && refused_ping) {
            match outsider.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } if !requested => {
                    requested = true;
                    outsider.behaviour_mut().witness.send_request(&peer, "hello".into());
                }
                SwarmEvent::Behaviour(OutsiderProtocolsEvent::Witness(
                    request_response::Event::OutboundFailure { error, .. },
                )) => {
                    assert!(matches!(error, OutboundFailure::UnsupportedProtocols), "{error}");
                    refused_request = true;
                }
                SwarmEvent::Behaviour(OutsiderProtocolsEvent::Ping(event)) => {
                    assert!(matches!(event.result, Err(ping::Failure::Unsupported)), "{event:?}");
                    refused_ping = true;
                }
                SwarmEvent::Behaviour(OutsiderProtocolsEvent::Identify(identify::Event::Received {
                    info,
                    ..
                })) => {
                    panic!("an outsider received {info:?}");
                }
                _ => {}
            }
        }
    });
    refused.await.expect("the outsider was not refused");
    assert_eq!(node.swarm.view().borrow().nodes.len(), 1);

    // A pairing connection without a proof is closed.
    clock.advance(Millis::secs(11));
    let closed = timeout(Duration::from_secs(20), async {
        while !matches!(outsider.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
    });
    closed.await.expect("the connection was not closed");
    until("no node is pending", || node.swarm.view().borrow().pending.is_empty()).await;
}
