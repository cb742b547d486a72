//! A STUN responder (RFC 8489) for members only: a Binding request must carry a name this node issued and a
//! MESSAGE-INTEGRITY-SHA256 made with its password. Anything else is dropped without an answer and counted, so the
//! responder cannot be used by strangers, nor to reflect traffic.

use crate::{credential::Book, limiter::Limiter};
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

/// A Binding request with a name and two checks is about 120 bytes; this leaves room for extensions.
const MAX_PACKET: usize = 1024;
/// A member asks once a second and family, with retransmissions and a round in between.
const PACKETS_PER_SECOND: u64 = 32;

/// Serves one socket until the task is dropped.
pub(crate) async fn serve(socket: UdpSocket, book: Arc<Mutex<Book>>, clock: Clock) {
    let mut limiter = Limiter::new(PACKETS_PER_SECOND);
    let mut packet = [0; MAX_PACKET + 1];
    loop {
        let (length, source) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier answer surfaces here; it says nothing about the socket.
                tracing::debug!(%error, "STUN socket");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let now = clock().boot;
        let answer = if limiter.admits(source.ip(), now) {
            packet.get(..length).and_then(|packet| answer(packet, source, &book, now))
        } else {
            None
        };
        match answer {
            Some(answer) => {
                if let Err(error) = socket.send_to(&answer, source).await {
                    tracing::debug!(%error, "STUN answer not sent");
                }
            }
            None => book.lock().unwrap_or_else(PoisonError::into_inner).count_dropped(),
        }
    }
}

/// The answer to one packet, if it deserves one. Notes where its sender was seen.
pub(crate) fn answer(
    packet: &[u8],
    source: SocketAddr,
    book: &Mutex<Book>,
    now: Monotonic,
) -> Option<Vec<u8>> {
    if packet.len() > MAX_PACKET {
        return None;
    }
    let (claim, _) = MessageDecoderBuilder::default().build().decode(packet).ok()?;
    if claim.method() != BINDING || claim.class() != MessageClass::Request {
        return None;
    }
    let username = claim.get::<UserName>()?.as_user_name().ok()?.as_str().to_owned();
    let (member, key) = {
        let book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let (member, password) = book.find(&username, now)?;
        (member, HMACKey::new_short_term(password).ok()?)
    };
    let context = DecoderContextBuilder::default().with_key(key.clone()).with_validation().build();
    let (request, _) = MessageDecoderBuilder::default().with_context(context).build().decode(packet).ok()?;
    // Without the attribute there was nothing to validate.
    request.get::<MessageIntegritySha256>()?;
    let seen = SocketAddr::new(source.ip().to_canonical(), source.port());
    let reply = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
        .with_transaction_id(*request.transaction_id())
        .with_attribute(XorMappedAddress::from(seen))
        .with_attribute(MessageIntegritySha256::new(key))
        .with_attribute(Fingerprint::default())
        .build();
    let mut buffer = [0; 256];
    let length = MessageEncoderBuilder::default().build().encode(&mut buffer, &reply).ok()?;
    book.lock().unwrap_or_else(PoisonError::into_inner).saw(member, seen.ip(), now);
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

    fn world() -> (Mutex<Book>, PeerId, String, String) {
        let mut book = Book::default();
        let member = PeerId::random();
        let (username, password, _) = book.issue(member, Monotonic(0)).unwrap();
        (Mutex::new(book), member, username, password)
    }

    #[test]
    fn a_member_learns_its_address_and_the_witness_remembers_it() {
        let (book, member, username, password) = world();
        let source = "[::ffff:203.0.113.9]:4567".parse().unwrap();
        let reply =
            answer(&request(&username, &password, MessageClass::Request), source, &book, Monotonic(5))
                .unwrap();
        let context = DecoderContextBuilder::default()
            .with_key(HMACKey::new_short_term(&password).unwrap())
            .with_validation()
            .build();
        let (message, _) =
            MessageDecoderBuilder::default().with_context(context).build().decode(&reply).unwrap();
        let mapped = message.get::<XorMappedAddress>().unwrap().as_xor_mapped_address().unwrap();
        assert_eq!(*mapped.socket_address(), "203.0.113.9:4567".parse().unwrap());
        assert!(message.get::<MessageIntegritySha256>().is_some());
        let seen = book.lock().unwrap().sightings(&member, Monotonic(6));
        assert_eq!(seen[0].address, "203.0.113.9".parse::<std::net::IpAddr>().unwrap());
    }

    #[test]
    fn strangers_and_forgeries_get_no_answer_and_leave_no_trace() {
        let (book, member, username, password) = world();
        let source = "203.0.113.9:4567".parse().unwrap();
        let unsigned = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_attribute(UserName::new(&username).unwrap())
            .build();
        let mut tampered = request(&username, &password, MessageClass::Request);
        tampered[10] ^= 1;
        let anonymous = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_attribute(Software::new("stranger").unwrap())
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
            assert_eq!(answer(&packet, source, &book, Monotonic(5)), None);
        }
        let late = Monotonic(30 * 24 * 3600 * 1000);
        assert_eq!(answer(&request(&username, &password, MessageClass::Request), source, &book, late), None);
        assert!(book.lock().unwrap().sightings(&member, Monotonic(6)).is_empty());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let (book, _, username, password) = world();
            let source = "203.0.113.9:4567".parse().unwrap();
            prop_assert_eq!(answer(&bytes, source, &book, Monotonic(5)), None);
            let mut packet = request(&username, &password, MessageClass::Request);
            let at = at.index(packet.len());
            packet[at] ^= flip;
            // A flipped bit may fall into what is not protected (the checksum at the end), never panic.
            let _ = answer(&packet, source, &book, Monotonic(5));
        }
    }
}
