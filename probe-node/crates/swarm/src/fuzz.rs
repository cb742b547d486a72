//! What the fuzzer reaches of the decoders here. Built by cargo-fuzz only, which sets `cfg(fuzzing)`.

use crate::{
    attestation::{self, Expected, Signed},
    canary::Zone,
    credential::Book,
    invitation::Invitation,
    membership::{Log, SwarmId},
    protocol::{Request, Response},
    stun, wire,
};
use libp2p::identity::Keypair;
use sentinel_model::{Announcement, Monotonic, Timestamp};
use serde_bytes::ByteBuf;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

const ASKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// The text of an invitation. One that is understood must be written the same way it was meant.
pub fn invitation(text: &str) {
    if let Ok(invitation) = text.parse::<Invitation>() {
        assert_eq!(invitation.to_string().parse::<Invitation>(), Ok(invitation));
    }
}

/// Everything members send one another.
pub fn wire(bytes: &[u8]) {
    let _ = wire::decode::<Request>(bytes);
    let _ = wire::decode::<Response>(bytes);
    let _ = wire::decode::<Announcement>(bytes);
}

/// Entries of a membership log, one after the other as the store kept them.
pub fn membership(bytes: &[u8]) {
    let entries: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0xff).map(<[u8]>::to_vec).collect();
    let _ = Log::restore(&entries);
    let mut log = Log::new(SwarmId([3; 32]));
    assert!(log.append(bytes).is_err(), "an entry nobody signed was taken");
}

/// A statement that a witness has signed, whatever it says.
pub fn attestation(statement: &[u8]) {
    let Ok(key) = Keypair::ed25519_from_bytes([7; 32]) else { return };
    let node = key.public().to_peer_id();
    let expected = Expected { swarm: SwarmId([3; 32]), node, challenge: [9; 32], now: Timestamp(0) };
    let Ok(signature) = key.sign(&[attestation::DOMAIN, statement].concat()) else { return };
    let signed = Signed { statement: ByteBuf::from(statement), signature: ByteBuf::from(signature) };
    let _ = attestation::verify(&signed, &expected, None);
}

/// A packet to the STUN responder.
pub fn stun_request(packet: &[u8]) {
    let book = Mutex::new(Book::default());
    let answer = stun::answer(packet, SocketAddr::new(ASKER, 4567), &book, Monotonic(0));
    assert!(answer.is_none(), "a stranger was answered");
}

/// A question to the canary zone.
pub fn canary(packet: &[u8]) {
    if let Ok(zone) = Zone::new("c.probe.example", vec![ASKER]) {
        let _ = zone.answer(packet, ASKER);
    }
}
