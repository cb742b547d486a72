//! Who is no member gets no protocol of the members: not before, not during, not after an invitation is open.

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
struct Curious {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    witness: cbor::Behaviour<String, String>,
}

fn stranger() -> libp2p::Swarm<Curious> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Curious {
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

/// Opens an invitation that lapses by the node's own clock, and says where the node listens.
async fn address_of(node: &Node) -> Multiaddr {
    let (text, _) = node.swarm.invite(Millis::secs(60)).await.unwrap();
    text.parse::<Invitation>().unwrap().addresses()[0].clone()
}

#[tokio::test]
async fn a_strangers_connection_is_closed_and_counted() {
    let clock = TestClock::default();
    let node = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let address = address_of(&node).await;
    clock.forward(Millis::secs(61));
    // The door closes with the next tick.
    let mut stranger = stranger();
    let peer = node.id().0.parse().unwrap();
    let mut learned = Vec::new();
    let closed = timeout(Duration::from_secs(20), async {
        loop {
            if !stranger.is_connected(&peer) {
                // A dial that is already under way is as good.
                let _ = stranger.dial(address.clone());
            }
            match stranger.select_next_some().await {
                SwarmEvent::Behaviour(CuriousEvent::Identify(identify::Event::Received { info, .. })) => {
                    learned.push(info);
                }
                SwarmEvent::ConnectionClosed { .. } if node.swarm.view().borrow().refused_peers > 0 => break,
                _ => {}
            }
        }
    });
    closed.await.expect("the connection was not closed");
    assert!(learned.is_empty(), "a stranger was told {learned:?}");
    assert!(node.swarm.view().borrow().refused_peers > 0);
}

#[tokio::test]
async fn a_guest_is_offered_pairing_and_nothing_else() {
    let clock = TestClock::default();
    let node = Node::start_with("vps", |config| config.clock = clock.clock()).await;
    let address = address_of(&node).await;
    let mut guest = stranger();
    guest.dial(address).unwrap();
    let peer = node.id().0.parse().unwrap();
    let (mut asked, mut refused_request, mut refused_ping) = (false, false, false);
    let looked = timeout(Duration::from_secs(20), async {
        while !(refused_request && refused_ping) {
            match guest.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } if !asked => {
                    asked = true;
                    guest.behaviour_mut().witness.send_request(&peer, "hello".into());
                }
                SwarmEvent::Behaviour(CuriousEvent::Witness(request_response::Event::OutboundFailure {
                    error,
                    ..
                })) => {
                    assert!(matches!(error, OutboundFailure::UnsupportedProtocols), "{error}");
                    refused_request = true;
                }
                SwarmEvent::Behaviour(CuriousEvent::Ping(event)) => {
                    assert!(matches!(event.result, Err(ping::Failure::Unsupported)), "{event:?}");
                    refused_ping = true;
                }
                SwarmEvent::Behaviour(CuriousEvent::Identify(identify::Event::Received { info, .. })) => {
                    panic!("a guest was told {info:?}");
                }
                _ => {}
            }
        }
    });
    looked.await.expect("the guest was never refused");
    assert_eq!(node.swarm.view().borrow().nodes.len(), 1);

    // A guest that proves nothing is shown out.
    clock.forward(Millis::secs(11));
    let left = timeout(Duration::from_secs(20), async {
        while !matches!(guest.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
    });
    left.await.expect("the guest was allowed to stay");
    until("nobody is pending", || node.swarm.view().borrow().pending.is_empty()).await;
}
