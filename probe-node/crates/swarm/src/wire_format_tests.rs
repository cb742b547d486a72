//! Tests that pin the bytes which nodes exchange, sign and store.
//!
//! Nodes of different releases talk to each other, and stores outlive releases. Changing these
//! bytes therefore breaks compatibility; renaming a type or a field must not do so.

use crate::{
    announcement_order::{AnnouncementOrder, OrderedAnnouncement},
    attestation::{self, SeenAddress, SignedStatement, Statement},
    invitation::{Invitation, Secret},
    member_protocol::{self, Hello, MemberRequest, MemberResponse, WitnessGrant},
    membership::{Member, MembershipChange, MembershipLog, SwarmId},
    name_answers::NameAnswer,
    pairing::{
        proof,
        protocol::{self as pairing_protocol, PairingRefusal, PairingRequest, PairingResponse},
    },
    wire::{self, WirePeer},
};
use libp2p::{PeerId, identity::Keypair};
use sentinel_model::{Announcement, Certificate, Family, Millis, NodeRole, Timestamp, Verdict};
use serde_bytes::ByteBuf;

/// One line per value: its name and its bytes in hexadecimal, or its text.
const PINNED: &str = include_str!("../tests/data/wire_format.txt");

fn key(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

fn peer(seed: u8) -> PeerId {
    key(seed).public().to_peer_id()
}

fn swarm() -> SwarmId {
    SwarmId::of(&key(1).public()).unwrap()
}

fn member() -> Member {
    Member {
        name: "vps".into(),
        role: NodeRole::Probe,
        addresses: vec!["/ip4/192.0.2.1/tcp/7467".parse().unwrap()],
        relay: true,
    }
}

fn announcement() -> Announcement {
    Announcement {
        verdict: Verdict::Exposed,
        since: Timestamp(1000),
        open_incidents: 2,
        leaving: false,
        home_exit: vec!["198.51.100.7".parse().unwrap()],
        at: Timestamp(2000),
    }
}

/// An announcement as older releases send it.
fn without_order() -> OrderedAnnouncement {
    OrderedAnnouncement::new(announcement(), None)
}

fn with_order() -> OrderedAnnouncement {
    OrderedAnnouncement::new(announcement(), Some(AnnouncementOrder { boot: 23, seq: 42 }))
}

fn hello(announcement: OrderedAnnouncement) -> Hello {
    Hello { generation: 3, addresses: member().addresses, relay: false, announcement: Some(announcement) }
}

fn signed_statement() -> SignedStatement {
    let statement = Statement {
        swarm: swarm(),
        generation: 3,
        node: WirePeer(peer(2)),
        boot: 77,
        seq: 5,
        issued: Timestamp(1000),
        expires: Timestamp(61_000),
        challenge: [9; 32],
        seen: vec![SeenAddress {
            family: Family::V4,
            address: "203.0.113.9".parse().unwrap(),
            age: Millis(120),
        }],
        answers: vec![NameAnswer {
            name: "www.example.com".into(),
            addresses: vec!["203.0.113.80".parse().unwrap(), "2001:db8::80".parse().unwrap()],
            canonical: Some("edge.example".into()),
            certificate: Some(Certificate::Valid),
            age: Millis(20),
        }],
    };
    attestation::sign(&key(2), &statement).unwrap()
}

fn grant() -> WitnessGrant {
    WitnessGrant {
        username: "name".into(),
        password: "word".into(),
        valid_for: Millis(90_000),
        stun: vec!["192.0.2.1:3478".parse().unwrap(), "[2001:db8::1]:3478".parse().unwrap()],
        canary_zone: Some("c.probe.example".into()),
    }
}

fn entries() -> Vec<ByteBuf> {
    let mut log = MembershipLog::new(swarm());
    let node = WirePeer(peer(2));
    let changes = [
        MembershipChange::Add { node, member: member() },
        MembershipChange::Role { node, role: NodeRole::Home },
        MembershipChange::Revoke { node },
    ];
    let append = |change| {
        let entry = log.sign_entry(&key(1), Timestamp(1000), change).unwrap();
        log.append(&entry).unwrap();
        ByteBuf::from(entry)
    };
    changes.into_iter().map(append).collect()
}

fn invitation() -> Invitation {
    Invitation {
        swarm: swarm(),
        inviter: peer(2),
        addresses: member().addresses,
        secret: Secret([5; 16]),
        expires: Timestamp(5000),
    }
}

fn pairing_request() -> PairingRequest {
    PairingRequest {
        swarm: swarm(),
        proof: proof::proof(Secret([5; 16]), swarm(), &peer(2), &peer(3)),
        name: "laptop".into(),
        role: NodeRole::Desktop,
        addresses: member().addresses,
        relay: false,
    }
}

fn encoded<T: serde::Serialize>(value: &T) -> String {
    data_encoding::HEXLOWER.encode(&wire::encode(value))
}

fn actual() -> Vec<(&'static str, String)> {
    vec![
        ("member protocol", member_protocol::PROTOCOL.to_string()),
        ("pairing protocol", pairing_protocol::PROTOCOL.to_string()),
        ("topic", member_protocol::topic(swarm()).to_string()),
        ("request hello", encoded(&MemberRequest::Hello(hello(without_order())))),
        ("request entries", encoded(&MemberRequest::Entries { after: 7 })),
        ("request credential", encoded(&MemberRequest::Credential)),
        ("request attest", encoded(&MemberRequest::Attest { challenge: [9; 32] })),
        ("response hello", encoded(&MemberResponse::Hello(hello(without_order())))),
        ("response entries", encoded(&MemberResponse::Entries(entries()))),
        ("response credential", encoded(&MemberResponse::Credential(Some(grant())))),
        ("response attested", encoded(&MemberResponse::Attestation(signed_statement()))),
        ("announcement", encoded(&without_order())),
        ("announcement with order", encoded(&with_order())),
        ("request hello with order", encoded(&MemberRequest::Hello(hello(with_order())))),
        ("pairing request", encoded(&pairing_request())),
        ("pairing waiting", encoded(&PairingResponse::Waiting)),
        ("pairing welcome", encoded(&PairingResponse::Welcome(vec![ByteBuf::from([1, 2])]))),
        ("pairing refused unknown", encoded(&PairingResponse::Refused(PairingRefusal::Unknown))),
        ("pairing refused expired", encoded(&PairingResponse::Refused(PairingRefusal::Expired))),
        ("pairing refused used", encoded(&PairingResponse::Refused(PairingRefusal::Used))),
        ("pairing refused revoked", encoded(&PairingResponse::Refused(PairingRefusal::Revoked))),
        ("fingerprint", proof::fingerprint(Secret([5; 16]), swarm(), &peer(2), &peer(3))),
        ("invitation", invitation().to_string()),
    ]
}

#[test]
fn announcements_are_understood_between_releases() {
    let old = wire::encode(&announcement());
    assert_eq!(wire::decode::<OrderedAnnouncement>(&old), Some(without_order()));
    let new = wire::encode(&with_order());
    assert_eq!(wire::decode::<Announcement>(&new), Some(announcement()), "older releases ignore the order");
}

#[test]
fn exchanged_signed_and_stored_bytes_stay_the_same() {
    let pinned: Vec<_> = PINNED.lines().filter_map(|line| line.split_once(": ")).collect();
    let actual = actual();
    let lines: Vec<_> = actual.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(pinned.len(), actual.len(), "the file should hold:\n{}", lines.join("\n"));
    for ((pinned_name, pinned), (name, value)) in pinned.into_iter().zip(&actual) {
        assert_eq!((pinned_name, pinned), (*name, value.as_str()), "`{name}` changed");
    }
}
