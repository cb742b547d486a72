//! Attestations: a witness's signed statement of what it saw of a subject and how names resolve.
//!
//! The signature covers exact bytes, which are verified before they are parsed. The statement
//! contains a challenge that the subject chose for this request, so an old one cannot be replayed.
//! The times in it are for people; nothing is decided by comparing two nodes' wall clocks.

use crate::{
    identity,
    membership::SwarmId,
    name_answers::{self, NameAnswer},
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
pub(crate) const SIGNATURE_DOMAIN: &[u8] = b"vpnsentinel attestation 2\0";
/// How long an attestation is valid, and how long after its request it is accepted.
pub(crate) const LIFETIME: Millis = Millis::secs(60);
/// The longest statement in bytes.
///
/// Two addresses seen, and 16 names with a CNAME and 16 addresses each, take about 20 KiB at their
/// longest.
const MAX_STATEMENT_BYTES: usize = 24 * 1024;

/// A random number chosen by the subject, which only a fresh statement can contain.
pub(crate) type Challenge = [u8; 32];

/// Why an attestation was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The signature does not match the bytes, or there are too many of them.
    #[error("its signature is wrong")]
    Signature,
    /// The signed bytes are not a statement.
    #[error("it is malformed")]
    Malformed,
    /// It belongs to another swarm.
    #[error("it belongs to another swarm")]
    WrongSwarm,
    /// It names another node than the one that was asked.
    #[error("it names another node")]
    WrongNode,
    /// It contains the challenge of another request.
    #[error("it answers another request")]
    WrongChallenge,
    /// It is not newer than the last one from this node.
    #[error("it was received before")]
    Replayed,
    /// It was received too long after its request.
    #[error("it was received too late")]
    Expired,
}

/// A verified attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The witness.
    pub node: NodeId,
    /// The generation of the witness's membership log.
    pub generation: u64,
    /// The time of the statement, by the witness's clock.
    pub issued: Timestamp,
    /// The addresses at which the witness saw this node, at most one per family.
    pub seen: Vec<SeenAddress>,
    /// How the names of the witness's own panel resolve at the witness.
    pub answers: Vec<NameAnswer>,
}

/// An address at which a witness saw a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAddress {
    /// The family of the address.
    pub family: Family,
    /// The address, never IPv4-mapped.
    pub address: IpAddr,
    /// Age of the observation when the attestation was issued.
    pub age: Millis,
}

/// The content that a witness signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub swarm: SwarmId,
    pub generation: u64,
    pub node: WirePeer,
    /// Distinguishes this run of the witness from others.
    pub boot: u64,
    /// Rises with every statement of one run.
    pub seq: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub challenge: Challenge,
    #[serde(rename = "body")]
    pub seen: Vec<SeenAddress>,
    pub answers: Vec<NameAnswer>,
}

/// A statement as it is sent: its exact bytes, and the witness's signature over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedStatement {
    pub statement: ByteBuf,
    pub signature: ByteBuf,
}

/// Signs a statement.
pub(crate) fn sign(key: &Keypair, statement: &Statement) -> Result<SignedStatement, SigningError> {
    let bytes = wire::encode(statement);
    let signature = key.sign(&[SIGNATURE_DOMAIN, &bytes].concat())?;
    Ok(SignedStatement { statement: ByteBuf::from(bytes), signature: ByteBuf::from(signature) })
}

/// The values that an acceptable statement must contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatementCriteria {
    pub swarm: SwarmId,
    pub node: PeerId,
    pub challenge: Challenge,
}

/// The boot and sequence number of the last statement accepted from a witness.
pub(crate) type StatementMark = (u64, u64);

/// Verifies a witness's statement, and parses it only if its signature is correct.
///
/// `last` is the mark of the last statement accepted from this witness. Returns the attestation and
/// the new mark.
pub(crate) fn verify(
    signed: &SignedStatement,
    criteria: &StatementCriteria,
    last: Option<StatementMark>,
) -> Result<(Attestation, StatementMark), AttestationError> {
    let key = identity::public_key(&criteria.node).ok_or(AttestationError::Signature)?;
    if signed.statement.len() > MAX_STATEMENT_BYTES
        || !key.verify(&[SIGNATURE_DOMAIN, &signed.statement].concat(), &signed.signature)
    {
        return Err(AttestationError::Signature);
    }
    let statement: Statement = wire::decode(&signed.statement).ok_or(AttestationError::Malformed)?;
    check(&statement, criteria, last)?;
    let mark = (statement.boot, statement.seq);
    Ok((attestation(statement, &criteria.node), mark))
}

fn check(
    statement: &Statement,
    criteria: &StatementCriteria,
    last: Option<StatementMark>,
) -> Result<(), AttestationError> {
    if statement.swarm != criteria.swarm {
        return Err(AttestationError::WrongSwarm);
    }
    if statement.node.0 != criteria.node {
        return Err(AttestationError::WrongNode);
    }
    if statement.challenge != criteria.challenge {
        return Err(AttestationError::WrongChallenge);
    }
    if last.is_some_and(|(boot, seq)| statement.boot == boot && statement.seq <= seq) {
        return Err(AttestationError::Replayed);
    }
    if statement.seen.len() > Family::ALL.len() || !name_answers::answers_within_limits(&statement.answers) {
        return Err(AttestationError::Malformed);
    }
    Ok(())
}

/// Converts a checked statement, with all addresses in canonical form.
fn attestation(statement: Statement, witness: &PeerId) -> Attestation {
    let seen = statement.seen.into_iter().map(|seen| SeenAddress {
        family: Family::of(seen.address),
        address: seen.address.to_canonical(),
        age: seen.age,
    });
    let answers = statement.answers.into_iter().map(|mut answer| {
        answer.addresses.iter_mut().for_each(|address| *address = address.to_canonical());
        answer
    });
    Attestation {
        node: identity::node_id(witness),
        generation: statement.generation,
        issued: statement.issued,
        seen: seen.collect(),
        answers: answers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_answers::{MAX_ADDRESSES, MAX_NAMES, tests::answer};
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
            seen: vec![SeenAddress {
                family: Family::V4,
                address: "203.0.113.9".parse().unwrap(),
                age: Millis(120),
            }],
            answers: vec![answer("www.example.com")],
        }
    }

    fn criteria(key: &Keypair) -> StatementCriteria {
        StatementCriteria { swarm: SwarmId([3; 32]), node: key.public().to_peer_id(), challenge: [9; 32] }
    }

    #[test]
    fn a_correct_statement_is_accepted_once() {
        let key = Keypair::generate_ed25519();
        let signed = sign(&key, &statement(&key)).unwrap();
        let (attestation, mark) = verify(&signed, &criteria(&key), Some((77, 4))).unwrap();
        assert_eq!(attestation.seen, statement(&key).seen);
        assert_eq!(attestation.answers, statement(&key).answers);
        assert_eq!(verify(&signed, &criteria(&key), Some(mark)), Err(AttestationError::Replayed));
        // After a restart of the witness its sequence numbers start again.
        assert!(verify(&signed, &criteria(&key), Some((78, 1000))).is_ok());
    }

    #[test]
    fn each_wrong_field_has_its_own_error() {
        let key = Keypair::generate_ed25519();
        let check = |change: &dyn Fn(&mut Statement), error| {
            let mut altered = statement(&key);
            change(&mut altered);
            assert_eq!(verify(&sign(&key, &altered).unwrap(), &criteria(&key), None), Err(error));
        };
        check(&|altered| altered.swarm = SwarmId([4; 32]), AttestationError::WrongSwarm);
        check(
            &|altered| altered.node = WirePeer(Keypair::generate_ed25519().public().to_peer_id()),
            AttestationError::WrongNode,
        );
        check(&|altered| altered.challenge = [8; 32], AttestationError::WrongChallenge);
        let other = Keypair::generate_ed25519();
        let forged = sign(&other, &statement(&key)).unwrap();
        assert_eq!(verify(&forged, &criteria(&key), None), Err(AttestationError::Signature));
    }

    #[test]
    fn the_wall_clock_of_the_witness_decides_nothing() {
        let key = Keypair::generate_ed25519();
        for issued in [0, NOW.0 - 86_400_000, NOW.0 + 86_400_000, i64::MAX] {
            let wrong =
                Statement { issued: Timestamp(issued), expires: Timestamp(issued), ..statement(&key) };
            assert!(verify(&sign(&key, &wrong).unwrap(), &criteria(&key), None).is_ok());
        }
    }

    #[test]
    fn the_longest_answers_fit_and_longer_ones_are_malformed() {
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
        assert!(signed.statement.len() <= MAX_STATEMENT_BYTES, "{} bytes", signed.statement.len());
        assert_eq!(verify(&signed, &criteria(&key), None).unwrap().0.answers, longest.answers);
        for answers in [
            vec![answer("a.example"); MAX_NAMES + 1],
            vec![NameAnswer { addresses: vec![address; MAX_ADDRESSES + 1], ..one.clone() }],
            vec![answer(&"a".repeat(254))],
            vec![NameAnswer { canonical: Some(String::new()), ..one }],
        ] {
            let altered = Statement { answers, ..statement(&key) };
            let refused = verify(&sign(&key, &altered).unwrap(), &criteria(&key), None);
            assert_eq!(refused, Err(AttestationError::Malformed));
        }
        let oversized = Statement { answers: vec![answer("a.example"); 1000], ..statement(&key) };
        let refused = verify(&sign(&key, &oversized).unwrap(), &criteria(&key), None);
        assert_eq!(refused, Err(AttestationError::Signature), "an oversized statement is not even parsed");
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
            prop_assert_eq!(verify(&signed, &criteria(&key), None), Err(AttestationError::Signature));
        }
    }
}
