//! One STUN exchange (RFC 8489): a Binding request on a fresh UDP socket, and the address the other side saw it come
//! from. With a credential the request is signed and only a signed response counts (short-term credentials,
//! section 9.1, with MESSAGE-INTEGRITY-SHA256).

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

/// Larger than any Binding response a server sends unfragmented over Ethernet.
const MAX_MESSAGE: usize = 1500;
/// When the request is sent again: a little less than the initial timeout of RFC 8489, section 6.2.1, since only one
/// repetition fits into the second between two beacons.
const AGAIN: Duration = Duration::from_millis(400);
/// So many useless datagrams end an exchange, lest a flood keep the processor busy until the budget is spent.
const MAX_USELESS: usize = 32;

/// What an exchange established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// The address the other side saw.
    pub(crate) address: IpAddr,
    /// From the sending of the request that was answered to its answer.
    pub(crate) rtt: Micros,
}

/// Asks `target` which address it sees. The request is sent again when no answer has come for a moment.
///
/// A datagram that is no answer to what was asked, or is not signed as it must be, is not believed and does not end
/// the exchange either (section 9.1.4), so a forger who is faster than the witness gains nothing. Only when no good
/// answer follows does it become the reason.
pub(crate) async fn binding(
    target: SocketAddr,
    credential: Option<&StunCredential>,
    budget: Duration,
) -> Result<Mapped, Reason> {
    let deadline = Instant::now() + budget;
    let mut exchange = Exchange::open(target, credential).await?;
    exchange.send(deadline).await?;
    let mut again = Some(Instant::now() + AGAIN.min(budget / 3));
    let mut buffer = [0; MAX_MESSAGE];
    let mut last = Reason::TimedOut;
    let mut useless = 0;
    while useless < MAX_USELESS {
        match timeout_at(again.unwrap_or(deadline), exchange.socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => match exchange.read(&buffer[..length]) {
                Ok(mapped) => return Ok(mapped),
                Err(reason) => {
                    last = reason;
                    useless += 1;
                }
            },
            Ok(Err(error)) => return Err(reason::of_io(&error)),
            Err(_) if again.take().is_some() => exchange.send(deadline).await?,
            Err(_) => break,
        }
    }
    Err(last)
}

/// A socket, and what has been sent on it.
struct Exchange {
    socket: UdpSocket,
    signing: Option<Signing>,
    decoder: MessageDecoder,
    /// Each sending is a transaction of its own, so that an answer is timed from the very request it answers.
    sent: Vec<(TransactionId, Instant)>,
}

struct Signing {
    username: UserName,
    key: HMACKey,
}

impl Signing {
    fn new(credential: &StunCredential) -> Result<Self, Reason> {
        let unusable =
            |error| Reason::Failed(format!("the credential agreed with the witness is unusable: {error}"));
        Ok(Self {
            username: UserName::new(&credential.username).map_err(unusable)?,
            key: HMACKey::new_short_term(&credential.password).map_err(unusable)?,
        })
    }
}

impl Exchange {
    /// The socket is connected: the kernel drops what comes from elsewhere, and reports unreachable destinations.
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
        let request = encode(&request(id, self.signing.as_ref()))?;
        self.sent.push((id, Instant::now()));
        match timeout_at(deadline, self.socket.send(&request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(reason::of_io(&error)),
            Err(_) => Err(Reason::TimedOut),
        }
    }

    fn read(&self, datagram: &[u8]) -> Result<Mapped, Reason> {
        let arrived = Instant::now();
        let response = read(&self.decoder, datagram)?;
        let sent = self.sent.iter().find(|(id, _)| id == response.transaction_id());
        let (_, sent) = sent.ok_or_else(|| malformed("it answers nothing that was asked"))?;
        if self.signing.is_some() && response.get::<MessageIntegritySha256>().is_none() {
            return Err(malformed("it is not signed"));
        }
        let address = mapped_address(&response)?;
        Ok(Mapped { address, rtt: Micros::from(arrived.duration_since(*sent)) })
    }
}

/// Reads a datagram the way an answer to an unsigned request is read; with `repair` the header is made right first, so
/// that what lies behind it is reached.
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
    if let Ok(message) = read(&decoder(None), &datagram) {
        let _ = mapped_address(&message);
    }
}

fn malformed(what: &str) -> Reason {
    Reason::Malformed(what.to_owned())
}

fn decoder(key: Option<HMACKey>) -> MessageDecoder {
    // Without a key nothing could be validated, and a server may well sign for its own reasons.
    match key {
        Some(key) => {
            let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
            MessageDecoderBuilder::default().with_context(context).build()
        }
        None => MessageDecoderBuilder::default().build(),
    }
}

fn request(id: TransactionId, signing: Option<&Signing>) -> StunMessage {
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
        .map_err(|error| Reason::Failed(format!("could not write the STUN request: {error}")))?;
    buffer.truncate(length);
    Ok(buffer)
}

fn read(decoder: &MessageDecoder, datagram: &[u8]) -> Result<StunMessage, Reason> {
    let (message, length) = decoder.decode(datagram).map_err(|error| malformed(describe(&error)))?;
    if length != datagram.len() {
        return Err(malformed("something follows the STUN message"));
    }
    if message.method() != BINDING {
        return Err(malformed("it is no Binding message"));
    }
    Ok(message)
}

fn describe(error: &StunDecodeError) -> &'static str {
    match &error.0 {
        StunErrorLevel::Message(_) => "it is no STUN message",
        StunErrorLevel::Attribute(attribute)
            if attribute.error.error_type == StunErrorType::ValidationFailed =>
        {
            "its signature is wrong"
        }
        StunErrorLevel::Attribute(_) => "one of its STUN attributes is damaged",
    }
}

fn mapped_address(response: &StunMessage) -> Result<IpAddr, Reason> {
    match response.class() {
        MessageClass::SuccessResponse => {
            let mapped =
                response.get::<XorMappedAddress>().and_then(|found| found.as_xor_mapped_address().ok());
            let mapped = mapped.ok_or_else(|| malformed("it carries no XOR-MAPPED-ADDRESS"))?;
            Ok(mapped.socket_address().ip().to_canonical())
        }
        MessageClass::ErrorResponse => {
            let code = response.get::<ErrorCode>().and_then(|found| found.as_error_code().ok());
            let code = code.map_or(0, |error| error.error_code().error_code());
            Err(Reason::Refused(format!("STUN error {code}")))
        }
        MessageClass::Request | MessageClass::Indication => Err(malformed("it is no response")),
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

    async fn exchange(credential: Option<&StunCredential>) -> (Exchange, TransactionId) {
        let mut exchange = Exchange::open(SocketAddr::from(([127, 0, 0, 1], 9)), credential).await.unwrap();
        let id = TransactionId::default();
        exchange.sent.push((id, Instant::now()));
        (exchange, id)
    }

    #[test]
    fn the_request_is_signed_the_way_rfc_8489_says() {
        let signing = signing("s3cret");
        let bytes = encode(&request(TransactionId::default(), Some(&signing))).unwrap();
        let (message, _) = decoder(Some(signing.key)).decode(&bytes).unwrap();
        assert_eq!(message.get::<UserName>().unwrap().as_user_name().unwrap().as_str(), "laptop");
        assert!(message.get::<MessageIntegritySha256>().is_some());
        assert!(decoder(Some(HMACKey::new_short_term("other").unwrap())).decode(&bytes).is_err());
    }

    #[tokio::test]
    async fn every_truncation_and_every_flipped_byte_is_refused_without_a_panic() {
        let credential = StunCredential { username: "laptop".into(), password: "s3cret".into() };
        let (exchange, id) = exchange(Some(&credential)).await;
        let good = response(id, Some(signing("s3cret").key));
        assert!(exchange.read(&good).is_ok());
        for length in 0..good.len() {
            assert!(matches!(exchange.read(&good[..length]), Err(Reason::Malformed(_))), "cut at {length}");
        }
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                assert!(exchange.read(&bad).is_err(), "bit {bit} of byte {position}");
            }
        }
        let mut longer = good;
        longer.extend_from_slice(&[0; 4]);
        assert!(matches!(exchange.read(&longer), Err(Reason::Malformed(_))));
    }

    #[tokio::test]
    async fn an_unsigned_answer_counts_only_where_nothing_is_signed() {
        let credential = StunCredential { username: "laptop".into(), password: "s3cret".into() };
        let (signed, id) = exchange(Some(&credential)).await;
        assert_eq!(signed.read(&response(id, None)), Err(malformed("it is not signed")));
        let (open, id) = exchange(None).await;
        assert_eq!(open.read(&response(id, None)).unwrap().address, IpAddr::from([203, 0, 113, 9]));
    }

    #[tokio::test]
    async fn an_answer_to_another_question_is_refused() {
        let (exchange, _) = exchange(None).await;
        let other = response(TransactionId::default(), None);
        assert_eq!(exchange.read(&other), Err(malformed("it answers nothing that was asked")));
    }

    #[tokio::test]
    async fn noise_is_refused() {
        let (exchange, _) = exchange(None).await;
        let mut state = 1_u32;
        for length in 0..300 {
            let mut noise = Vec::with_capacity(length);
            for _ in 0..length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.push(state.to_be_bytes()[0]);
            }
            // A well-formed header, so that the attributes are reached.
            if length >= 20 {
                let body = u16::try_from(length - 20).unwrap().to_be_bytes();
                noise[..8].copy_from_slice(&[1, 1, body[0], body[1], 0x21, 0x12, 0xa4, 0x42]);
            }
            assert!(exchange.read(&noise).is_err());
        }
    }
}
