//! A witness's signed word on what it saw of a subject, and on what names resolve to where it sits. The signature covers
//! exact bytes; they are verified first and parsed after, and the subject's fresh challenge inside makes an old word
//! worthless.

use crate::{
    answers::{self, NameAnswer},
    identity,
    membership::SwarmId,
    wire::{self, WirePeer},
};
use libp2p::{
    PeerId,
    identity::{Keypair, SigningError},
};
use sentinel_model::{Family, Millis, NodeId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::net::IpAddr;

/// Separates these signatures from any other use of a node's key.
pub(crate) const DOMAIN: &[u8] = b"vpnsentinel attestation 2\0";
/// How long an attestation is good for.
pub(crate) const LIFETIME: Millis = Millis::secs(60);
/// How far two nodes' wall clocks may be apart. The challenge proves freshness; this only catches nonsense.
const CLOCK_TOLERANCE: Millis = Millis::secs(15 * 60);
/// Two sightings, and 16 names with an alias and 16 addresses each: about 20 KiB if all were as long as they may be.
/// Anything longer is no attestation.
const MAX_BYTES: usize = 24 * 1024;

/// A random number the subject chose, which only a fresh answer can contain.
pub(crate) type Challenge = [u8; 32];

/// Why an attestation was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The signature does not fit the bytes.
    #[error("its signature is wrong")]
    Signature,
    /// The signed bytes are no statement.
    #[error("it is garbled")]
    Garbled,
    /// It is about another swarm.
    #[error("it is about another swarm")]
    WrongSwarm,
    /// It names another node than the one that was asked.
    #[error("it names another node")]
    WrongNode,
    /// It does not answer this question.
    #[error("it answers another question")]
    WrongChallenge,
    /// It was seen before.
    #[error("it was seen before")]
    Replayed,
    /// It is not valid now.
    #[error("it is not valid at this time")]
    Expired,
}

/// What a witness saw, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The witness.
    pub node: NodeId,
    /// The generation of its membership log.
    pub generation: u64,
    /// When it said so, by its own clock.
    pub issued: Timestamp,
    /// What it saw of this node, at most one address per family.
    pub seen: Vec<SeenAddress>,
    /// What names of its own panel resolve to where it sits.
    pub answers: Vec<NameAnswer>,
}

/// One address a witness saw a subject at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAddress {
    /// The family.
    pub family: Family,
    /// The address, never IPv4-mapped.
    pub address: IpAddr,
    /// How long before the attestation was issued.
    pub age: Millis,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub swarm: SwarmId,
    pub generation: u64,
    pub node: WirePeer,
    pub boot: u64,
    pub seq: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub challenge: Challenge,
    pub body: Vec<SeenAddress>,
    pub answers: Vec<NameAnswer>,
}

/// A statement on its way: its exact bytes and the witness's signature over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub statement: ByteBuf,
    pub signature: ByteBuf,
}

/// Signs a statement.
pub(crate) fn sign(key: &Keypair, statement: &Statement) -> Result<Signed, SigningError> {
    let bytes = wire::encode(statement);
    let signature = key.sign(&[DOMAIN, &bytes].concat())?;
    Ok(Signed { statement: ByteBuf::from(bytes), signature: ByteBuf::from(signature) })
}

/// What the subject asked for and may expect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub swarm: SwarmId,
    pub node: PeerId,
    pub challenge: Challenge,
    pub now: Timestamp,
}

/// The last statement taken from a witness: its boot and sequence number.
pub(crate) type Mark = (u64, u64);

/// Verifies a witness's word, and only then reads it. `last` is what was taken from it before; the new mark comes back.
pub(crate) fn verify(
    signed: &Signed,
    expected: &Expected,
    last: Option<Mark>,
) -> Result<(Attestation, Mark), AttestationError> {
    let key = identity::public_key(&expected.node).ok_or(AttestationError::Signature)?;
    if signed.statement.len() > MAX_BYTES
        || !key.verify(&[DOMAIN, &signed.statement].concat(), &signed.signature)
    {
        return Err(AttestationError::Signature);
    }
    let statement: Statement = wire::decode(&signed.statement).ok_or(AttestationError::Garbled)?;
    if statement.swarm != expected.swarm {
        return Err(AttestationError::WrongSwarm);
    }
    if statement.node.0 != expected.node {
        return Err(AttestationError::WrongNode);
    }
    if statement.challenge != expected.challenge {
        return Err(AttestationError::WrongChallenge);
    }
    if last.is_some_and(|(boot, seq)| statement.boot == boot && statement.seq <= seq) {
        return Err(AttestationError::Replayed);
    }
    if !is_valid_at(&statement, expected.now) {
        return Err(AttestationError::Expired);
    }
    if statement.body.len() > Family::ALL.len() || !answers::are_sane(&statement.answers) {
        return Err(AttestationError::Garbled);
    }
    let mark = (statement.boot, statement.seq);
    let seen = statement
        .body
        .into_iter()
        .map(|seen| SeenAddress {
            family: Family::of(seen.address),
            address: seen.address.to_canonical(),
            age: seen.age,
        })
        .collect();
    let answers = statement.answers.into_iter().map(|mut answer| {
        answer.addresses.iter_mut().for_each(|address| *address = address.to_canonical());
        answer
    });
    let attestation = Attestation {
        node: identity::node_id(&expected.node),
        generation: statement.generation,
        issued: statement.issued,
        seen,
        answers: answers.collect(),
    };
    Ok((attestation, mark))
}

fn is_valid_at(statement: &Statement, now: Timestamp) -> bool {
    let span = statement.expires.0.checked_sub(statement.issued.0);
    let sane = span.is_some_and(|span| u64::try_from(span).is_ok_and(|span| span <= LIFETIME.0));
    sane && now.since(statement.expires) <= CLOCK_TOLERANCE && statement.issued.since(now) <= CLOCK_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{MAX_ADDRESSES, MAX_NAMES, tests::answer};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn statement(key: &Keypair) -> Statement {
        Statement {
            swarm: SwarmId([3; 32]),
            generation: 4,
            node: WirePeer(key.public().to_peer_id()),
            boot: 77,
            seq: 5,
            issued: NOW,
            expires: Timestamp(NOW.0 + 60_000),
            challenge: [9; 32],
            body: vec![SeenAddress {
                family: Family::V4,
                address: "203.0.113.9".parse().unwrap(),
                age: Millis(120),
            }],
            answers: vec![answer("www.example.com")],
        }
    }

    fn expected(key: &Keypair) -> Expected {
        Expected { swarm: SwarmId([3; 32]), node: key.public().to_peer_id(), challenge: [9; 32], now: NOW }
    }

    #[test]
    fn a_true_word_is_taken_once() {
        let key = Keypair::generate_ed25519();
        let signed = sign(&key, &statement(&key)).unwrap();
        let (attestation, mark) = verify(&signed, &expected(&key), Some((77, 4))).unwrap();
        assert_eq!(attestation.seen, statement(&key).body);
        assert_eq!(attestation.answers, statement(&key).answers);
        assert_eq!(verify(&signed, &expected(&key), Some(mark)), Err(AttestationError::Replayed));
        // After the witness restarted its numbers begin anew.
        assert!(verify(&signed, &expected(&key), Some((78, 1000))).is_ok());
    }

    #[test]
    fn every_lie_has_its_name() {
        let key = Keypair::generate_ed25519();
        let check = |change: &dyn Fn(&mut Statement), error| {
            let mut lie = statement(&key);
            change(&mut lie);
            assert_eq!(verify(&sign(&key, &lie).unwrap(), &expected(&key), None), Err(error));
        };
        check(&|lie| lie.swarm = SwarmId([4; 32]), AttestationError::WrongSwarm);
        check(
            &|lie| lie.node = WirePeer(Keypair::generate_ed25519().public().to_peer_id()),
            AttestationError::WrongNode,
        );
        check(&|lie| lie.challenge = [8; 32], AttestationError::WrongChallenge);
        check(&|lie| lie.expires = Timestamp(NOW.0 + 3_600_000), AttestationError::Expired);
        check(
            &|lie| (lie.issued, lie.expires) = (Timestamp(NOW.0 - 3_600_000), Timestamp(NOW.0 - 3_590_000)),
            AttestationError::Expired,
        );
        check(&|lie| lie.expires = Timestamp(lie.issued.0 - 1), AttestationError::Expired);
        let other = Keypair::generate_ed25519();
        let forged = sign(&other, &statement(&key)).unwrap();
        assert_eq!(verify(&forged, &expected(&key), None), Err(AttestationError::Signature));
    }

    #[test]
    fn answers_at_their_longest_fit_and_longer_ones_are_garbled() {
        let key = Keypair::generate_ed25519();
        let mut longest = statement(&key);
        let address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        let one = NameAnswer {
            addresses: vec![address; MAX_ADDRESSES],
            canonical: Some("b".repeat(253)),
            ..answer(&"a".repeat(253))
        };
        longest.answers = vec![one.clone(); MAX_NAMES];
        let signed = sign(&key, &longest).unwrap();
        assert!(signed.statement.len() <= MAX_BYTES, "{} bytes", signed.statement.len());
        assert_eq!(verify(&signed, &expected(&key), None).unwrap().0.answers, longest.answers);
        for answers in [
            vec![answer("a.example"); MAX_NAMES + 1],
            vec![NameAnswer { addresses: vec![address; MAX_ADDRESSES + 1], ..one.clone() }],
            vec![answer(&"a".repeat(254))],
            vec![NameAnswer { canonical: Some(String::new()), ..one }],
        ] {
            let lie = Statement { answers, ..statement(&key) };
            let refused = verify(&sign(&key, &lie).unwrap(), &expected(&key), None);
            assert_eq!(refused, Err(AttestationError::Garbled));
        }
        let oversized = Statement { answers: vec![answer("a.example"); 1000], ..statement(&key) };
        let refused = verify(&sign(&key, &oversized).unwrap(), &expected(&key), None);
        assert_eq!(refused, Err(AttestationError::Signature), "it is not even read");
    }

    proptest! {
        // Signatures take milliseconds in an unoptimised build.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_changed_byte_is_rejected(at in any::<prop::sample::Index>(), flip in 1..=255u8, in_signature: bool) {
            let key = Keypair::generate_ed25519();
            let mut signed = sign(&key, &statement(&key)).unwrap();
            let bytes = if in_signature { &mut signed.signature } else { &mut signed.statement };
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(verify(&signed, &expected(&key), None), Err(AttestationError::Signature));
        }
    }
}
