//! A STUN responder (RFC 8489) for members only.
//!
//! A Binding request must carry a user name that this node issued, and a MESSAGE-INTEGRITY-SHA256
//! made with its password. Anything else is dropped without a response and counted, so that no one
//! else can use the responder, nor reflect traffic off it. The integrity is verified before
//! anything is limited or remembered, so that forged packets use up nothing that members need.

use crate::responder_state::{RequestKind, ResponderState};
use sentinel_model::{Clock, Monotonic};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder, MessageEncoderBuilder,
    StunMessageBuilder,
    attributes::stun::{Fingerprint, MessageIntegritySha256, UserName, XorMappedAddress},
    methods::BINDING,
};
use tokio::net::UdpSocket;

/// The longest request in bytes.
///
/// A Binding request with a user name and two integrity checks has about 120 bytes; this leaves
/// room for extensions.
const MAX_PACKET: usize = 1024;
/// The type of a Binding request (RFC 8489, section 5).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// The bytes at offset 4 of every STUN message.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Serves one socket until the task is dropped.
pub(crate) async fn serve(socket: UdpSocket, state: Arc<Mutex<ResponderState>>, clock: Clock) {
    let mut packet = [0; MAX_PACKET + 1];
    loop {
        let (length, source) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error for an earlier response surfaces here. The socket still works.
                tracing::debug!(%error, "The STUN responder could not receive");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let now = clock().boot;
        let response = packet.get(..length).and_then(|packet| respond(packet, source, &state, now));
        match response {
            Some(response) => {
                if let Err(error) = socket.send_to(&response, source).await {
                    tracing::debug!(%error, "The STUN responder could not send a response");
                }
            }
            None => state.lock().unwrap_or_else(PoisonError::into_inner).count_dropped_packet(),
        }
    }
}

/// Returns the response to a valid request, and records the sender's address.
///
/// Returns `None` for any other packet.
pub(crate) fn respond(
    packet: &[u8],
    source: SocketAddr,
    state: &Mutex<ResponderState>,
    now: Monotonic,
) -> Option<Vec<u8>> {
    if packet.len() > MAX_PACKET {
        return None;
    }
    // What forged packets cost should be little.
    if !packet.starts_with(&BINDING_REQUEST) || packet.get(4..8) != Some(MAGIC_COOKIE.as_slice()) {
        return None;
    }
    let (unverified, _) = MessageDecoderBuilder::default().build().decode(packet).ok()?;
    if unverified.method() != BINDING || unverified.class() != MessageClass::Request {
        return None;
    }
    let username = unverified.get::<UserName>()?.as_user_name().ok()?.as_str().to_owned();
    let (member, key) = {
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (member, password) = state.find_credential(&username, now)?;
        (member, HMACKey::new_short_term(password).ok()?)
    };
    let context = DecoderContextBuilder::default().with_key(key.clone()).with_validation().build();
    let (request, _) = MessageDecoderBuilder::default().with_context(context).build().decode(packet).ok()?;
    // The decoder also accepts a packet without the attribute, since there is nothing to validate.
    request.get::<MessageIntegritySha256>()?;
    let transaction = *request.transaction_id();
    let kind = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count_request(&username, transaction.as_bytes(), source, now)?
    };
    let seen = SocketAddr::new(source.ip().to_canonical(), source.port());
    let response = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
        .with_transaction_id(transaction)
        .with_attribute(XorMappedAddress::from(seen))
        .with_attribute(MessageIntegritySha256::new(key))
        .with_attribute(Fingerprint::default())
        .build();
    let mut buffer = [0; 256];
    let length = MessageEncoderBuilder::default().build().encode(&mut buffer, &response).ok()?;
    if kind != RequestKind::Retransmission {
        state.lock().unwrap_or_else(PoisonError::into_inner).record_address(member, seen.ip(), now);
    }
    buffer.get(..length).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::PeerId;
    use proptest::prelude::*;
    use stun_rs::{StunMessage, attributes::stun::Software};

    fn request(username: &str, password: &str, class: MessageClass) -> Vec<u8> {
        let message = StunMessageBuilder::new(BINDING, class)
            .with_attribute(UserName::new(username).unwrap())
            .with_attribute(MessageIntegritySha256::new(HMACKey::new_short_term(password).unwrap()))
            .with_attribute(Fingerprint::default())
            .build();
        encoded(&message)
    }

    fn encoded(message: &StunMessage) -> Vec<u8> {
        let mut buffer = [0; 512];
        let length = MessageEncoderBuilder::default().build().encode(&mut buffer, message).unwrap();
        buffer[..length].to_vec()
    }

    fn issued_credential() -> (Mutex<ResponderState>, PeerId, String, String) {
        let mut state = ResponderState::default();
        let member = PeerId::random();
        let issued = state.issue_credential(member, Monotonic(0)).unwrap();
        (Mutex::new(state), member, issued.username, issued.password)
    }

    #[test]
    fn a_member_gets_its_address_and_the_witness_records_it() {
        let (state, member, username, password) = issued_credential();
        let source = "[::ffff:203.0.113.9]:4567".parse().unwrap();
        let response =
            respond(&request(&username, &password, MessageClass::Request), source, &state, Monotonic(5))
                .unwrap();
        let context = DecoderContextBuilder::default()
            .with_key(HMACKey::new_short_term(&password).unwrap())
            .with_validation()
            .build();
        let (message, _) =
            MessageDecoderBuilder::default().with_context(context).build().decode(&response).unwrap();
        let mapped = message.get::<XorMappedAddress>().unwrap().as_xor_mapped_address().unwrap();
        assert_eq!(*mapped.socket_address(), "203.0.113.9:4567".parse().unwrap());
        assert!(message.get::<MessageIntegritySha256>().is_some());
        let seen = state.lock().unwrap().seen_addresses(&member, Monotonic(6));
        assert_eq!(seen[0].address, "203.0.113.9".parse::<std::net::IpAddr>().unwrap());
    }

    #[test]
    fn unauthenticated_packets_get_no_response_and_record_no_address() {
        let (state, member, username, password) = issued_credential();
        let source = "203.0.113.9:4567".parse().unwrap();
        let unsigned = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_attribute(UserName::new(&username).unwrap())
            .build();
        let mut tampered = request(&username, &password, MessageClass::Request);
        tampered[10] ^= 1;
        let anonymous = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_attribute(Software::new("outsider").unwrap())
            .build();
        let wrong = [
            request(&username, "not the password", MessageClass::Request),
            request("nobody", &password, MessageClass::Request),
            request(&username, &password, MessageClass::Indication),
            encoded(&unsigned),
            encoded(&anonymous),
            tampered,
            Vec::new(),
        ];
        for packet in wrong {
            assert_eq!(respond(&packet, source, &state, Monotonic(5)), None);
        }
        let late = Monotonic(30 * 24 * 3600 * 1000);
        assert_eq!(
            respond(&request(&username, &password, MessageClass::Request), source, &state, late),
            None
        );
        assert!(state.lock().unwrap().seen_addresses(&member, Monotonic(6)).is_empty());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let (state, _, username, password) = issued_credential();
            let source = "203.0.113.9:4567".parse().unwrap();
            prop_assert_eq!(respond(&bytes, source, &state, Monotonic(5)), None);
            let mut packet = request(&username, &password, MessageClass::Request);
            let at = at.index(packet.len());
            packet[at] ^= flip;
            // The flipped bit may be in the unprotected checksum at the end, so any result is
            // allowed.
            let _ = respond(&packet, source, &state, Monotonic(5));
        }
    }
}
