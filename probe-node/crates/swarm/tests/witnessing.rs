//! Witnesses: STUN for members only, attestations that cannot be forged, and witnesses that stay
//! listed while they are disconnected.

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

/// Starts a node that serves STUN on loopback.
async fn witness(name: &str) -> Node {
    Node::start_with(name, |config| {
        config.stun = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        config.stun_external = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    })
    .await
}

async fn listed_witness(node: &Node) -> Witness {
    until("the node has a credential", || !node.swarm.witnesses().borrow().is_empty()).await;
    node.swarm.witnesses().borrow()[0].clone()
}

/// Makes one STUN exchange. Returns the local address and the mapped one, if there was a response.
async fn stun_exchange(to: SocketAddr, username: &str, password: &str) -> Option<(SocketAddr, SocketAddr)> {
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
    let (response, _) =
        MessageDecoderBuilder::default().with_context(context).build().decode(&buffer[..length]).unwrap();
    assert_eq!(response.transaction_id(), request.transaction_id());
    assert!(response.get::<MessageIntegritySha256>().is_some());
    let mapped = response.get::<XorMappedAddress>()?.as_xor_mapped_address().ok()?;
    Some((socket.local_addr().unwrap(), *mapped.socket_address()))
}

/// Returns a signed STUN request.
fn stun_request(witness: &Witness) -> Vec<u8> {
    let key = HMACKey::new_short_term(&witness.password).unwrap();
    let request = StunMessageBuilder::new(BINDING, MessageClass::Request)
        .with_attribute(UserName::new(&witness.username).unwrap())
        .with_attribute(MessageIntegritySha256::new(key))
        .build();
    let mut buffer = [0; 512];
    let length = MessageEncoderBuilder::default().build().encode(&mut buffer, &request).unwrap();
    buffer[..length].to_vec()
}

/// Sends a packet from a source address. Returns true if there was a response in time.
async fn is_answered(from: &str, to: SocketAddr, packet: &[u8]) -> bool {
    let socket = UdpSocket::bind(from).await.unwrap();
    socket.send_to(packet, to).await.unwrap();
    timeout(Duration::from_millis(700), socket.recv_from(&mut [0; 512])).await.is_ok()
}

/// Sends two packets from each of 6,000 addresses of this machine.
#[cfg(target_os = "linux")]
fn flood(to: SocketAddr, packet: &[u8]) {
    for number in 0..6000_u32 {
        let source = std::net::Ipv4Addr::from(0x7f01_0001 + number);
        let socket = std::net::UdpSocket::bind((source, 0)).unwrap();
        for _ in 0..2 {
            socket.send_to(packet, to).unwrap();
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn members_are_answered_during_a_flood_from_many_sources() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let witness = listed_witness(&laptop).await;
    let to = witness.stun[0];
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flooding = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                flood(to, &[0; 20]);
                // More sources than a table should hold, but not more packets than the machine
                // handles.
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut answered = 0;
    for _ in 0..10 {
        answered += u32::from(is_answered("127.0.0.1:0", to, &stun_request(&witness)).await);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    flooding.await.unwrap();
    assert!(answered >= 9, "only {answered} of 10 requests of a member were answered");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stun_request_counts_once() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let witness = listed_witness(&laptop).await;
    let captured = stun_request(&witness);
    assert!(is_answered("127.0.0.1:0", witness.stun[0], &captured).await);
    assert!(!is_answered("127.0.1.1:0", witness.stun[0], &captured).await, "a captured request is answered");
    let seen = laptop.swarm.attest(&vps.id()).await.unwrap().seen;
    assert_eq!(seen[0].address.to_string(), "127.0.0.1", "a replay moved the member to another address");
}

#[tokio::test]
async fn a_witness_serves_members_attests_their_addresses_and_ignores_wrong_passwords() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let witness = listed_witness(&laptop).await;
    assert_eq!((witness.node.clone(), witness.name.as_str(), witness.stun.len()), (vps.id(), "vps", 2));
    assert!(!format!("{witness:?}").contains(&witness.password));

    let nothing_yet = laptop.swarm.attest(&vps.id()).await.unwrap();
    assert_eq!((nothing_yet.node, nothing_yet.seen.len()), (vps.id(), 0));

    for address in &witness.stun {
        assert_ne!(address.port(), 0, "port 0 stands for the bound port");
        let (local, mapped) = stun_exchange(*address, &witness.username, &witness.password).await.unwrap();
        assert_eq!(local, mapped);
    }
    let attested = laptop.swarm.attest(&vps.id()).await.unwrap();
    let families: Vec<_> = attested.seen.iter().map(|seen| (seen.family, seen.address)).collect();
    assert_eq!(families, [(Family::V4, "127.0.0.1".parse().unwrap()), (Family::V6, "::1".parse().unwrap())]);
    assert_eq!(attested.generation, 2);

    assert_eq!(vps.swarm.dropped_stun_packets(), 0);
    assert_eq!(stun_exchange(witness.stun[0], &witness.username, "wrong").await, None);
    assert_eq!(stun_exchange(witness.stun[0], "nobody", &witness.password).await, None);
    assert_eq!(vps.swarm.dropped_stun_packets(), 2);

    vps.swarm.revoke(&laptop.id()).await.unwrap();
    assert_eq!(
        stun_exchange(witness.stun[0], &witness.username, &witness.password).await,
        None,
        "the credential of a revoked node is no longer valid"
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
async fn a_witness_attests_how_names_resolve_at_its_place() {
    let (vps, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    assert_eq!(
        laptop.swarm.attest(&vps.id()).await.unwrap().answers,
        [],
        "the witness has measured nothing yet"
    );

    let first = name_answer("www.example.com", &["203.0.113.80", "::ffff:203.0.113.81"]);
    vps.swarm.set_answers(vec![first.clone()]).await;
    let received = laptop.swarm.attest(&vps.id()).await.unwrap().answers;
    assert!(received[0].age >= first.age && received[0].age < Millis::secs(30), "{:?}", received[0].age);
    let plain = name_answer("www.example.com", &["203.0.113.80", "203.0.113.81"]);
    assert_eq!(received, [NameAnswer { age: received[0].age, ..plain }], "addresses are in canonical form");
    let reverse = vps.swarm.attest(&laptop.id()).await.unwrap();
    assert_eq!(reverse.answers, [], "a node shares only its own measurements");

    // New answers replace the old ones, and those beyond the limits are dropped.
    let many = (0..40).map(|number| name_answer(&format!("n{number}.example"), &["203.0.113.80"; 40]));
    vps.swarm.set_answers(many.collect()).await;
    let received = laptop.swarm.attest(&vps.id()).await.unwrap().answers;
    assert_eq!(
        (received.len(), received[15].name.as_str(), received[15].addresses.len()),
        (16, "n15.example", 16)
    );
}

#[tokio::test]
async fn a_witness_stays_listed_while_it_is_disconnected() {
    let (vps, laptop) = (witness("vps").await, Node::start("laptop").await);
    pair(&vps, &laptop).await;
    let witness = listed_witness(&laptop).await;
    let id = vps.id();
    drop(vps);
    laptop.reaches(&id, &[Reachability::Lost]).await;
    assert_eq!(*laptop.swarm.witnesses().borrow(), [witness]);
    let error = laptop.swarm.attest(&id).await.unwrap_err();
    assert!(matches!(error, SwarmError::NotConnected(_)), "{error}");
}

// The protocol of a hostile member, written out again here so that the test notices a change to it.

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
struct HostileProtocols {
    ping: ping::Behaviour,
    witness: cbor::Behaviour<Request, Response>,
}

fn hostile_swarm(key: &Keypair) -> libp2p::Swarm<HostileProtocols> {
    SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| HostileProtocols {
            ping: ping::Behaviour::default(),
            witness: cbor::Behaviour::new(
                [(StreamProtocol::new("/vpnsentinel/witness/1"), ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(10)))
        .build()
}

/// Runs a member that alters its statements after signing them.
async fn run_hostile_member(key: Keypair, victim: Multiaddr) {
    let mut swarm = hostile_swarm(&key);
    swarm.dial(victim).unwrap();
    loop {
        let event = swarm.select_next_some().await;
        let SwarmEvent::Behaviour(HostileProtocolsEvent::Witness(request_response::Event::Message {
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
async fn a_member_that_floods_is_throttled_and_others_are_not() {
    let (owner, honest, third) =
        (Node::start("vps").await, Node::start("flooder").await, Node::start("laptop").await);
    pair(&owner, &honest).await;
    pair(&owner, &third).await;
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let address = invitation.parse::<Invitation>().unwrap().addresses()[0].clone();
    let stopped = honest.stop().await;
    let key = std::fs::read(stopped.config.state_dir.join("identity.key")).unwrap();
    let mut swarm = hostile_swarm(&Keypair::from_protobuf_encoding(&key).unwrap());
    swarm.dial(address).unwrap();
    let peer = owner.id().0.parse().unwrap();
    while !swarm.is_connected(&peer) {
        swarm.select_next_some().await;
    }
    let began = std::time::Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while began.elapsed() < Duration::from_secs(3) {
        if sent < 600 {
            swarm.behaviour_mut().witness.send_request(&peer, Request::Entries { after: 0 });
            sent += 1;
        }
        let event = timeout(Duration::from_millis(5), swarm.select_next_some()).await;
        if let Ok(SwarmEvent::Behaviour(HostileProtocolsEvent::Witness(request_response::Event::Message {
            message: Message::Response { .. },
            ..
        }))) = event
        {
            answered += 1;
        }
    }
    assert!((20..=80).contains(&answered), "{answered} of {sent} requests were answered in 3 seconds");
    third.swarm.attest(&owner.id()).await.unwrap();
}

#[tokio::test]
async fn an_altered_attestation_is_rejected_and_counted() {
    let (owner, honest) = (Node::start("vps").await, Node::start("hostile").await);
    pair(&owner, &honest).await;
    let id = honest.id();
    let (invitation, _) = owner.swarm.invite(Millis::secs(600)).await.unwrap();
    let address = invitation.parse::<Invitation>().unwrap().addresses()[0].clone();
    let stopped = honest.stop().await;
    let key = std::fs::read(stopped.config.state_dir.join("identity.key")).unwrap();
    let key = Keypair::from_protobuf_encoding(&key).unwrap();
    owner.reaches(&id, &[Reachability::Lost]).await;

    let hostile = tokio::spawn(run_hostile_member(key, address));
    owner.connected_to(&id).await;
    let error = owner.swarm.attest(&id).await.unwrap_err();
    assert!(
        matches!(&error, SwarmError::Attestation { cause: AttestationError::Signature, node } if node == "hostile"),
        "{error}"
    );
    assert_eq!(owner.swarm.view().borrow().rejected_attestations, 1);
    hostile.abort();
}
