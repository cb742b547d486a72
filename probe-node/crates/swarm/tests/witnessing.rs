//! What nodes are to each other: STUN for members only, attestations that cannot be forged, and witnesses that stay
//! known while they are away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, pair, until};
use futures::StreamExt;
use libp2p::{
    Multiaddr, StreamProtocol, SwarmBuilder,
    identity::Keypair,
    noise, ping,
    request_response::{self, Message, ProtocolSupport, cbor},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use sentinel_model::{Announcement, Certificate, Family, Millis, Reachability};
use sentinel_swarm::{AttestationError, Invitation, NameAnswer, SwarmError, Witness};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::{net::SocketAddr, time::Duration};
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder, MessageEncoderBuilder,
    StunMessageBuilder,
    attributes::stun::{MessageIntegritySha256, UserName, XorMappedAddress},
    methods::BINDING,
};
use tokio::{net::UdpSocket, time::timeout};

/// A node that serves STUN on loopback.
async fn witness(name: &str) -> Node {
    Node::start_with(name, |config| {
        config.stun = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        config.stun_external = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    })
    .await
}

async fn known_witness(node: &Node) -> Witness {
    until("a credential is there", || !node.swarm.witnesses().borrow().is_empty()).await;
    node.swarm.witnesses().borrow()[0].clone()
}

/// One STUN exchange; the address asked from and the address seen, if there was an answer.
async fn stun(to: SocketAddr, username: &str, password: &str) -> Option<(SocketAddr, SocketAddr)> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).await.unwrap();
    let key = HMACKey::new_short_term(password).unwrap();
    let request = StunMessageBuilder::new(BINDING, MessageClass::Request)
        .with_attribute(UserName::new(username).unwrap())
        .with_attribute(MessageIntegritySha256::new(key.clone()))
        .build();
    let mut buffer = [0; 512];
    let length = MessageEncoderBuilder::default().build().encode(&mut buffer, &request).unwrap();
    socket.send_to(&buffer[..length], to).await.unwrap();
    let (length, from) =
        timeout(Duration::from_millis(700), socket.recv_from(&mut buffer)).await.ok()?.unwrap();
    assert_eq!(from, to);
    let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
    let (reply, _) =
        MessageDecoderBuilder::default().with_context(context).build().decode(&buffer[..length]).unwrap();
    assert_eq!(reply.transaction_id(), request.transaction_id());
    assert!(reply.get::<MessageIntegritySha256>().is_some());
    let mapped = reply.get::<XorMappedAddress>()?.as_xor_mapped_address().ok()?;
    Some((socket.local_addr().unwrap(), *mapped.socket_address()))
}

#[tokio::test]
async fn a_witness_answers_members_attests_what_it_saw_and_ignores_wrong_passwords() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let known = known_witness(&laptop).await;
    assert_eq!((known.node.clone(), known.name.as_str(), known.stun.len()), (vps.id(), "vps", 2));
    assert!(!format!("{known:?}").contains(&known.password));

    let nothing_yet = laptop.swarm.attest(&vps.id()).await.unwrap();
    assert_eq!((nothing_yet.node, nothing_yet.seen.len()), (vps.id(), 0));

    for address in &known.stun {
        assert_ne!(address.port(), 0, "port 0 stands for the bound port");
        let (asked_from, seen) = stun(*address, &known.username, &known.password).await.unwrap();
        assert_eq!(asked_from, seen);
    }
    let attested = laptop.swarm.attest(&vps.id()).await.unwrap();
    let families: Vec<_> = attested.seen.iter().map(|seen| (seen.family, seen.address)).collect();
    assert_eq!(families, [(Family::V4, "127.0.0.1".parse().unwrap()), (Family::V6, "::1".parse().unwrap())]);
    assert_eq!(attested.generation, 2);

    assert_eq!(vps.swarm.dropped_stun_packets(), 0);
    assert_eq!(stun(known.stun[0], &known.username, "wrong").await, None);
    assert_eq!(stun(known.stun[0], "nobody", &known.password).await, None);
    assert_eq!(vps.swarm.dropped_stun_packets(), 2);

    vps.swarm.revoke(&laptop.id()).await.unwrap();
    assert_eq!(
        stun(known.stun[0], &known.username, &known.password).await,
        None,
        "a revoked node is a stranger"
    );
}

fn name_answer(name: &str, addresses: &[&str]) -> NameAnswer {
    NameAnswer {
        name: name.to_owned(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        canonical: Some(format!("{name}.cdn.example")),
        certificate: Some(Certificate::Valid),
        age: Millis(400),
    }
}

#[tokio::test]
async fn a_witness_tells_what_names_resolve_to_where_it_sits() {
    let (vps, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    assert_eq!(laptop.swarm.attest(&vps.id()).await.unwrap().answers, [], "it has measured nothing yet");

    let first = name_answer("www.example.com", &["203.0.113.80", "::ffff:203.0.113.81"]);
    vps.swarm.set_answers(vec![first.clone()]).await;
    let told = laptop.swarm.attest(&vps.id()).await.unwrap().answers;
    assert!(told[0].age >= first.age && told[0].age < Millis::secs(30), "{:?}", told[0].age);
    let plain = name_answer("www.example.com", &["203.0.113.80", "203.0.113.81"]);
    assert_eq!(told, [NameAnswer { age: told[0].age, ..plain }], "no address is IPv4-mapped");
    let asked_back = vps.swarm.attest(&laptop.id()).await.unwrap();
    assert_eq!(asked_back.answers, [], "each tells only what it measured itself");

    // The next round replaces what was said, and more than there is room for is left out.
    let many = (0..40).map(|number| name_answer(&format!("n{number}.example"), &["203.0.113.80"; 40]));
    vps.swarm.set_answers(many.collect()).await;
    let told = laptop.swarm.attest(&vps.id()).await.unwrap().answers;
    assert_eq!((told.len(), told[15].name.as_str(), told[15].addresses.len()), (16, "n15.example", 16));
}

#[tokio::test]
async fn a_witness_stays_known_while_it_cannot_be_reached_by_libp2p() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let known = known_witness(&laptop).await;
    let id = vps.id();
    drop(vps);
    laptop.reaches(&id, &[Reachability::Lost]).await;
    assert_eq!(*laptop.swarm.witnesses().borrow(), [known]);
    let error = laptop.swarm.attest(&id).await.unwrap_err();
    assert!(matches!(error, SwarmError::NotConnected(_)), "{error}");
}

// What a hostile member says. These mirror the wire format, so that a change to it does not go unnoticed.

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Request {
    Hello(Hello),
    Entries { after: u64 },
    Credential,
    Attest { challenge: [u8; 32] },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Response {
    Hello(Hello),
    Entries(Vec<ByteBuf>),
    Credential(Option<()>),
    Attested(Signed),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hello {
    generation: u64,
    addresses: Vec<Multiaddr>,
    relay: bool,
    announcement: Option<Announcement>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Signed {
    statement: ByteBuf,
    signature: ByteBuf,
}

#[derive(NetworkBehaviour)]
struct Hostile {
    ping: ping::Behaviour,
    witness: cbor::Behaviour<Request, Response>,
}

/// Plays a member with its own key that signs one thing and sends another.
async fn lie(key: Keypair, victim: Multiaddr) {
    let mut swarm = SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| Hostile {
            ping: ping::Behaviour::default(),
            witness: cbor::Behaviour::new(
                [(StreamProtocol::new("/vpnsentinel/witness/1"), ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(10)))
        .build();
    swarm.dial(victim).unwrap();
    loop {
        let event = swarm.select_next_some().await;
        let SwarmEvent::Behaviour(HostileEvent::Witness(request_response::Event::Message {
            message: Message::Request { request, channel, .. },
            ..
        })) = event
        else {
            continue;
        };
        let response = match request {
            Request::Hello(hello) => {
                Response::Hello(Hello { addresses: Vec::new(), announcement: None, ..hello })
            }
            Request::Entries { .. } => Response::Entries(Vec::new()),
            Request::Credential => Response::Credential(None),
            Request::Attest { challenge } => {
                let mut statement = challenge.to_vec();
                let signature = key.sign(&statement).unwrap();
                statement[0] ^= 1;
                Response::Attested(Signed { statement: statement.into(), signature: signature.into() })
            }
        };
        swarm.behaviour_mut().witness.send_response(channel, response).unwrap();
    }
}

#[tokio::test]
async fn a_hostile_members_attestation_is_rejected_and_counted() {
    let (owner, honest) = (Node::start("vps").await, Node::start("hostile").await);
    pair(&owner, &honest).await;
    let id = honest.id();
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let address = invitation.parse::<Invitation>().unwrap().addresses()[0].clone();
    let stopped = honest.stop().await;
    let key = std::fs::read(stopped.config.state_dir.join("identity.key")).unwrap();
    let key = Keypair::from_protobuf_encoding(&key).unwrap();
    owner.reaches(&id, &[Reachability::Lost]).await;

    let liar = tokio::spawn(lie(key, address));
    owner.connected_to(&id).await;
    let error = owner.swarm.attest(&id).await.unwrap_err();
    assert!(
        matches!(&error, SwarmError::Attestation { cause: AttestationError::Signature, node } if node == "hostile"),
        "{error}"
    );
    assert_eq!(owner.swarm.view().borrow().rejected_attestations, 1);
    liar.abort();
}
