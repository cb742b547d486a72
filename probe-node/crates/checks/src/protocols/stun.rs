//! One STUN exchange (RFC 8489) on a fresh UDP socket.
//!
//! A Binding request is answered with the mapped address: the address the server saw the request
//! come from. With a credential, the request is signed and only a signed response is accepted
//! (short-term credentials, section 9.1, with MESSAGE-INTEGRITY-SHA256).

use crate::{plan::StunCredential, reason};
use sentinel_model::{Micros, Reason};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoder, MessageDecoderBuilder,
    MessageEncoderBuilder, StunErrorType, StunMessage, StunMessageBuilder, TransactionId,
    attributes::stun::{ErrorCode, MessageIntegritySha256, UserName, XorMappedAddress},
    error::{StunDecodeError, StunErrorLevel},
    methods::BINDING,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

/// The longest Binding response that fits into one Ethernet frame.
const MAX_MESSAGE: usize = 1500;
/// When the request is sent again.
///
/// A little less than the initial timeout of RFC 8489, section 6.2.1, because only one repetition
/// fits into the second between two beacons.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(400);
/// Ends an exchange early, so that a flood does not keep the processor busy for the whole budget.
const MAX_REJECTED: usize = 32;

/// The result of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// The mapped address.
    pub(crate) address: IpAddr,
    /// Time from sending the request that was answered to receiving its answer.
    pub(crate) rtt: Micros,
}

/// Asks `target` which address it sees, and repeats the request once if no answer comes.
///
/// A datagram that answers another request, or lacks the required signature, is ignored and does
/// not end the exchange (section 9.1.4): a forger who is faster than the witness gains nothing. It
/// becomes the reason only if no valid answer follows.
pub(crate) async fn request_binding(
    target: SocketAddr,
    credential: Option<&StunCredential>,
    budget: Duration,
) -> Result<Mapped, Reason> {
    let deadline = Instant::now() + budget;
    let mut exchange = Exchange::open(target, credential).await?;
    exchange.send(deadline).await?;
    let mut retransmit_at = Some(Instant::now() + RETRANSMIT_AFTER.min(budget / 3));
    let mut buffer = [0; MAX_MESSAGE];
    let mut last = Reason::TimedOut;
    let mut rejected = 0;
    while rejected < MAX_REJECTED {
        match timeout_at(retransmit_at.unwrap_or(deadline), exchange.socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => match exchange.accept(&buffer[..length]) {
                Ok(mapped) => return Ok(mapped),
                Err(reason) => {
                    last = reason;
                    rejected += 1;
                }
            },
            Ok(Err(error)) => return Err(reason::of_io(&error)),
            Err(_) if retransmit_at.take().is_some() => exchange.send(deadline).await?,
            Err(_) => break,
        }
    }
    Err(last)
}

/// A socket and the requests sent on it.
struct Exchange {
    socket: UdpSocket,
    signing: Option<Signing>,
    decoder: MessageDecoder,
    /// Each request is its own transaction, so that an answer is timed from the request it answers.
    sent: Vec<(TransactionId, Instant)>,
}

struct Signing {
    username: UserName,
    key: HMACKey,
}

impl Signing {
    fn new(credential: &StunCredential) -> Result<Self, Reason> {
        let unusable =
            |error| Reason::Failed(format!("the credential agreed with the witness cannot be used: {error}"));
        Ok(Self {
            username: UserName::new(&credential.username).map_err(unusable)?,
            key: HMACKey::new_short_term(&credential.password).map_err(unusable)?,
        })
    }
}

impl Exchange {
    /// Opens a connected socket.
    ///
    /// The kernel then drops datagrams from elsewhere and reports unreachable destinations.
    async fn open(target: SocketAddr, credential: Option<&StunCredential>) -> Result<Self, Reason> {
        let signing = credential.map(Signing::new).transpose()?;
        let decoder = decoder(signing.as_ref().map(|signing| signing.key.clone()));
        let any = match target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(|error| reason::of_io(&error))?;
        socket.connect(target).await.map_err(|error| reason::of_io(&error))?;
        Ok(Self { socket, signing, decoder, sent: Vec::with_capacity(2) })
    }

    async fn send(&mut self, deadline: Instant) -> Result<(), Reason> {
        let id = TransactionId::default();
        let request = encode(&binding_request(id, self.signing.as_ref()))?;
        self.sent.push((id, Instant::now()));
        match timeout_at(deadline, self.socket.send(&request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(reason::of_io(&error)),
            Err(_) => Err(Reason::TimedOut),
        }
    }

    fn accept(&self, datagram: &[u8]) -> Result<Mapped, Reason> {
        let arrived = Instant::now();
        let response = decode(&self.decoder, datagram)?;
        let sent = self.sent.iter().find(|(id, _)| id == response.transaction_id());
        let (_, sent) = sent.ok_or_else(|| malformed("it answers a request that was not sent"))?;
        if self.signing.is_some() && response.get::<MessageIntegritySha256>().is_none() {
            return Err(malformed("it is not signed"));
        }
        let address = mapped_address(&response)?;
        Ok(Mapped { address, rtt: Micros::from(arrived.duration_since(*sent)) })
    }
}

/// Decodes a datagram like an answer to an unsigned request.
///
/// With `repair`, the header is made valid first, so that the attributes are reached.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8], repair: bool) {
    /// RFC 8489, section 5.
    const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
    let mut datagram = bytes.to_vec();
    if repair && datagram.len() >= 20 {
        let length = u16::try_from((datagram.len() - 20) & !3).unwrap_or(u16::MAX & !3);
        datagram[..2].copy_from_slice(&[0x01, 0x01]);
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        datagram[4..8].copy_from_slice(&COOKIE);
        datagram.truncate(20 + usize::from(length));
    }
    if let Ok(message) = decode(&decoder(None), &datagram) {
        let _ = mapped_address(&message);
    }
}

fn malformed(what: &str) -> Reason {
    Reason::Malformed(what.to_owned())
}

fn decoder(key: Option<HMACKey>) -> MessageDecoder {
    // Without a key nothing can be validated, and a server may sign for reasons of its own.
    match key {
        Some(key) => {
            let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
            MessageDecoderBuilder::default().with_context(context).build()
        }
        None => MessageDecoderBuilder::default().build(),
    }
}

fn binding_request(id: TransactionId, signing: Option<&Signing>) -> StunMessage {
    let builder = StunMessageBuilder::new(BINDING, MessageClass::Request).with_transaction_id(id);
    match signing {
        Some(signing) => builder
            .with_attribute(signing.username.clone())
            .with_attribute(MessageIntegritySha256::new(signing.key.clone()))
            .build(),
        None => builder.build(),
    }
}

fn encode(message: &StunMessage) -> Result<Vec<u8>, Reason> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let length = MessageEncoderBuilder::default()
        .build()
        .encode(&mut buffer, message)
        .map_err(|error| Reason::Failed(format!("could not encode the STUN request: {error}")))?;
    buffer.truncate(length);
    Ok(buffer)
}

fn decode(decoder: &MessageDecoder, datagram: &[u8]) -> Result<StunMessage, Reason> {
    let (message, length) = decoder.decode(datagram).map_err(|error| malformed(describe(&error)))?;
    if length != datagram.len() {
        return Err(malformed("something follows the STUN message"));
    }
    if message.method() != BINDING {
        return Err(malformed("it is not a Binding message"));
    }
    Ok(message)
}

fn describe(error: &StunDecodeError) -> &'static str {
    match &error.0 {
        StunErrorLevel::Message(_) => "it is not a STUN message",
        StunErrorLevel::Attribute(attribute)
            if attribute.error.error_type == StunErrorType::ValidationFailed =>
        {
            "its signature is wrong"
        }
        StunErrorLevel::Attribute(_) => "one of its STUN attributes is malformed",
    }
}

fn mapped_address(response: &StunMessage) -> Result<IpAddr, Reason> {
    match response.class() {
        MessageClass::SuccessResponse => {
            let mapped = response
                .get::<XorMappedAddress>()
                .and_then(|attribute| attribute.as_xor_mapped_address().ok());
            let mapped = mapped.ok_or_else(|| malformed("it carries no XOR-MAPPED-ADDRESS"))?;
            Ok(mapped.socket_address().ip().to_canonical())
        }
        MessageClass::ErrorResponse => {
            let code = response.get::<ErrorCode>().and_then(|attribute| attribute.as_error_code().ok());
            let code = code.map_or(0, |error| error.error_code().error_code());
            Err(Reason::Refused(format!("STUN error {code}")))
        }
        MessageClass::Request | MessageClass::Indication => Err(malformed("it is not a response")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing(password: &str) -> Signing {
        Signing::new(&StunCredential { username: "laptop".into(), password: password.into() }).unwrap()
    }

    fn response(id: TransactionId, key: Option<HMACKey>) -> Vec<u8> {
        let mapped = XorMappedAddress::from(SocketAddr::from(([203, 0, 113, 9], 4000)));
        let builder = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
            .with_transaction_id(id)
            .with_attribute(mapped);
        let message = match key {
            Some(key) => builder.with_attribute(MessageIntegritySha256::new(key)).build(),
            None => builder.build(),
        };
        encode(&message).unwrap()
    }

    async fn open_exchange(credential: Option<&StunCredential>) -> (Exchange, TransactionId) {
        let mut exchange = Exchange::open(SocketAddr::from(([127, 0, 0, 1], 9)), credential).await.unwrap();
        let id = TransactionId::default();
        exchange.sent.push((id, Instant::now()));
        (exchange, id)
    }

    #[test]
    fn the_request_is_signed_as_rfc_8489_requires() {
        let signing = signing("s3cret");
        let bytes = encode(&binding_request(TransactionId::default(), Some(&signing))).unwrap();
        let (message, _) = decoder(Some(signing.key)).decode(&bytes).unwrap();
        assert_eq!(message.get::<UserName>().unwrap().as_user_name().unwrap().as_str(), "laptop");
        assert!(message.get::<MessageIntegritySha256>().is_some());
        assert!(decoder(Some(HMACKey::new_short_term("other").unwrap())).decode(&bytes).is_err());
    }

    #[tokio::test]
    async fn every_truncation_and_every_flipped_bit_is_rejected_without_a_panic() {
        let credential = StunCredential { username: "laptop".into(), password: "s3cret".into() };
        let (exchange, id) = open_exchange(Some(&credential)).await;
        let good = response(id, Some(signing("s3cret").key));
        assert!(exchange.accept(&good).is_ok());
        for length in 0..good.len() {
            assert!(matches!(exchange.accept(&good[..length]), Err(Reason::Malformed(_))), "cut at {length}");
        }
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                assert!(exchange.accept(&bad).is_err(), "bit {bit} of byte {position}");
            }
        }
        let mut longer = good;
        longer.extend_from_slice(&[0; 4]);
        assert!(matches!(exchange.accept(&longer), Err(Reason::Malformed(_))));
    }

    #[tokio::test]
    async fn an_unsigned_answer_is_accepted_only_for_an_unsigned_request() {
        let credential = StunCredential { username: "laptop".into(), password: "s3cret".into() };
        let (signed, id) = open_exchange(Some(&credential)).await;
        assert_eq!(signed.accept(&response(id, None)), Err(malformed("it is not signed")));
        let (open, id) = open_exchange(None).await;
        assert_eq!(open.accept(&response(id, None)).unwrap().address, IpAddr::from([203, 0, 113, 9]));
    }

    #[tokio::test]
    async fn an_answer_to_another_request_is_rejected() {
        let (exchange, _) = open_exchange(None).await;
        let other = response(TransactionId::default(), None);
        assert_eq!(exchange.accept(&other), Err(malformed("it answers a request that was not sent")));
    }

    #[tokio::test]
    async fn noise_is_rejected() {
        let (exchange, _) = open_exchange(None).await;
        let mut state = 1_u32;
        for length in 0..300 {
            let mut noise = Vec::with_capacity(length);
            for _ in 0..length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.push(state.to_be_bytes()[0]);
            }
            // A valid header, so that the attributes are reached.
            if length >= 20 {
                let body = u16::try_from(length - 20).unwrap().to_be_bytes();
                noise[..8].copy_from_slice(&[1, 1, body[0], body[1], 0x21, 0x12, 0xa4, 0x42]);
            }
            assert!(exchange.accept(&noise).is_err());
        }
    }
}
