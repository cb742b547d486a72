//! The entry points of the fuzz targets. Built only by cargo-fuzz, which sets `cfg(fuzzing)`.

use crate::{
    announcement_order::OrderedAnnouncement,
    attestation::{self, SignedStatement, StatementCriteria},
    canary::{CanaryZone, QueryTransport},
    invitation::Invitation,
    member_protocol::{MemberRequest, MemberResponse},
    membership::{MembershipLog, SwarmId},
    responder_state::ResponderState,
    stored_log, stun_responder, wire,
};
use libp2p::identity::Keypair;
use sentinel_model::Monotonic;
use serde_bytes::ByteBuf;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// Parses the text of an invitation. A valid one must survive printing and parsing.
pub fn invitation(text: &str) {
    if let Ok(invitation) = text.parse::<Invitation>() {
        assert_eq!(invitation.to_string().parse::<Invitation>(), Ok(invitation));
    }
}

/// Decodes the messages between members.
pub fn wire(bytes: &[u8]) {
    let _ = wire::decode::<MemberRequest>(bytes);
    let _ = wire::decode::<MemberResponse>(bytes);
    let _ = wire::decode::<OrderedAnnouncement>(bytes);
}

/// Restores a membership log from stored entries, and appends an entry.
pub fn membership(bytes: &[u8]) {
    let entries: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0xff).map(<[u8]>::to_vec).collect();
    let _ = stored_log::restore(&entries);
    let mut log = MembershipLog::new(SwarmId([3; 32]));
    assert!(log.append(bytes).is_err(), "an entry without the owner's signature was accepted");
}

/// Verifies a correctly signed statement with arbitrary content.
pub fn attestation(statement: &[u8]) {
    let Ok(key) = Keypair::ed25519_from_bytes([7; 32]) else { return };
    let node = key.public().to_peer_id();
    let criteria = StatementCriteria { swarm: SwarmId([3; 32]), node, challenge: [9; 32] };
    let Ok(signature) = key.sign(&[attestation::SIGNATURE_DOMAIN, statement].concat()) else { return };
    let signed = SignedStatement { statement: ByteBuf::from(statement), signature: ByteBuf::from(signature) };
    let _ = attestation::verify(&signed, &criteria, None);
}

/// Sends a packet to the STUN responder, which has issued no credential.
pub fn stun_request(packet: &[u8]) {
    let state = Mutex::new(ResponderState::default());
    let response = stun_responder::respond(packet, SocketAddr::new(SOURCE, 4567), &state, Monotonic(0));
    assert!(response.is_none(), "a packet without a credential got a response");
}

/// Sends a packet to the canary zone.
pub fn canary(packet: &[u8]) {
    if let Ok(zone) = CanaryZone::new("c.probe.example", vec![SOURCE]) {
        let _ = zone.respond(packet, SOURCE, QueryTransport::Udp);
    }
}
