//! The membership log: which nodes belong to the swarm.
//!
//! The log is a list of add, role and revoke entries. Each is signed by the owner and contains the
//! hash of the entry before it. The log only grows, its generation only rises, and a revoked node
//! stays revoked for ever. This file does no I/O: entries may come from anywhere, since the log
//! accepts only those that it can verify.

use crate::wire::{self, WirePeer};
use libp2p::{
    Multiaddr, PeerId,
    identity::{Keypair, PublicKey, SigningError, ed25519},
};
use sentinel_model::{NodeRole, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The most entries a log can hold.
pub(crate) const MAX_ENTRIES: usize = 4096;
/// The longest entry in bytes: a name, eight addresses and a signature fit.
pub(crate) const MAX_ENTRY_BYTES: usize = 3072;
/// Separates these signatures from any other use of the owner's key.
const SIGNATURE_DOMAIN: &[u8] = b"vpnsentinel membership 1\0";

/// The id of a swarm: the owner's public Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SwarmId(pub [u8; 32]);

impl SwarmId {
    /// Returns the id of the swarm that a key owns, or `None` if it is not an Ed25519 key.
    pub(crate) fn of(key: &PublicKey) -> Option<Self> {
        key.clone().try_into_ed25519().ok().map(|key| Self(key.to_bytes()))
    }

    fn owner_key(self) -> Option<PublicKey> {
        ed25519::PublicKey::try_from_bytes(&self.0).ok().map(PublicKey::from)
    }
}

impl fmt::Debug for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmId({self})")
    }
}

impl fmt::Display for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Why an entry, or a whole log, was refused.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The bytes are not an entry.
    #[error("an entry is malformed")]
    Malformed,
    /// The entry belongs to another swarm.
    #[error("an entry belongs to another swarm")]
    WrongSwarm,
    /// The owner did not sign it.
    #[error("the owner's signature on an entry is wrong")]
    Signature,
    /// An entry is missing, repeated or out of order.
    #[error("entry {expected} was expected, not {found}")]
    Generation {
        /// The next generation of the log.
        expected: u64,
        /// The generation in the entry.
        found: u64,
    },
    /// The entry does not contain the hash of the last one.
    #[error("entry {0} does not continue the entry before it")]
    Chain(u64),
    /// The entry adds or changes a revoked node.
    #[error("entry {0} would bring back a revoked node")]
    Revoked(u64),
    /// The entry changes a node that is not a member.
    #[error("entry {0} is about an unknown node")]
    UnknownNode(u64),
    /// The log is full.
    #[error("the log has reached its limit of {MAX_ENTRIES} entries")]
    Full,
    /// The entry could not be signed.
    #[error("cannot sign an entry: {0}")]
    Sign(#[from] SigningError),
}

/// The change that an entry makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MembershipChange {
    /// Makes a node a member, or replaces the details of a member.
    Add { node: WirePeer, member: Member },
    /// Changes the role of a member.
    Role { node: WirePeer, role: NodeRole },
    /// Expels a member for ever.
    Revoke { node: WirePeer },
}

/// The details of a member in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The display name of the node.
    pub name: String,
    /// The purpose of the node.
    pub role: NodeRole,
    /// The addresses at which it can be reached.
    pub addresses: Vec<Multiaddr>,
    /// True if it relays traffic for members.
    pub relay: bool,
}

/// The signed content of an entry.
#[derive(Serialize, Deserialize)]
struct EntryBody {
    generation: u64,
    previous: [u8; 32],
    at: Timestamp,
    change: MembershipChange,
}

/// An entry as it is stored and sent.
///
/// The signature covers the signature domain, the swarm id and the exact bytes of the body.
#[derive(Serialize, Deserialize)]
struct SignedEntry {
    swarm: SwarmId,
    body: ByteBuf,
    signature: ByteBuf,
}

/// The membership log of one swarm, and the members that follow from it.
#[derive(Clone, Debug)]
pub(crate) struct MembershipLog {
    swarm: SwarmId,
    /// The hash of the last entry's body; zeros for an empty log.
    head: [u8; 32],
    entries: Vec<Vec<u8>>,
    founder: Option<PeerId>,
    members: BTreeMap<PeerId, Member>,
    revoked: BTreeSet<PeerId>,
}

impl SignedEntry {
    /// Verifies the owner's signature, and parses the body only if it is correct.
    fn verified_body(&self) -> Result<EntryBody, MembershipError> {
        let key = self.swarm.owner_key().ok_or(MembershipError::Malformed)?;
        if !key.verify(&signed_bytes(self.swarm, &self.body), &self.signature) {
            return Err(MembershipError::Signature);
        }
        wire::decode(&self.body).ok_or(MembershipError::Malformed)
    }
}

impl MembershipLog {
    /// Makes the empty log of a swarm.
    pub(crate) fn new(swarm: SwarmId) -> Self {
        Self {
            swarm,
            head: [0; 32],
            entries: Vec::new(),
            founder: None,
            members: BTreeMap::new(),
            revoked: BTreeSet::new(),
        }
    }

    /// Returns the id of the swarm.
    pub(crate) fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// Returns the number of entries, which is also the number of the last entry.
    pub(crate) fn generation(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// Returns the entries after a generation, at most `limit` of them.
    pub(crate) fn entries_after(&self, generation: u64, limit: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.entries.iter().skip(usize::try_from(generation).unwrap_or(usize::MAX)).take(limit)
    }

    /// Returns the current members, without revoked nodes.
    pub(crate) fn members(&self) -> &BTreeMap<PeerId, Member> {
        &self.members
    }

    /// Returns true if a node is currently a member.
    pub(crate) fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains_key(peer)
    }

    /// Returns true if a node was ever revoked.
    pub(crate) fn is_revoked(&self, peer: &PeerId) -> bool {
        self.revoked.contains(peer)
    }

    /// Returns the node that founded the swarm, which holds the owner's key.
    pub(crate) fn founder(&self) -> Option<&PeerId> {
        self.founder.as_ref()
    }

    /// Signs the next entry, without adding it to the log.
    pub(crate) fn sign_entry(
        &self,
        owner: &Keypair,
        at: Timestamp,
        change: MembershipChange,
    ) -> Result<Vec<u8>, MembershipError> {
        let generation = self.generation() + 1;
        let body = wire::encode(&EntryBody { generation, previous: self.head, at, change });
        let signature = owner.sign(&signed_bytes(self.swarm, &body))?;
        Ok(wire::encode(&SignedEntry {
            swarm: self.swarm,
            body: ByteBuf::from(body),
            signature: ByteBuf::from(signature),
        }))
    }

    /// Verifies an entry and adds it. On an error the log stays as it was.
    pub(crate) fn append(&mut self, entry: &[u8]) -> Result<(), MembershipError> {
        let expected = self.generation() + 1;
        if self.entries.len() >= MAX_ENTRIES {
            return Err(MembershipError::Full);
        }
        let signed = decode_entry(entry)?;
        if signed.swarm != self.swarm {
            return Err(MembershipError::WrongSwarm);
        }
        let body = signed.verified_body()?;
        if body.generation != expected {
            return Err(MembershipError::Generation { expected, found: body.generation });
        }
        if body.previous != self.head {
            return Err(MembershipError::Chain(expected));
        }
        self.apply(expected, body.change)?;
        self.head = Sha256::digest(&*signed.body).into();
        self.entries.push(entry.to_vec());
        Ok(())
    }

    fn apply(&mut self, generation: u64, change: MembershipChange) -> Result<(), MembershipError> {
        match change {
            MembershipChange::Add { node, .. } | MembershipChange::Role { node, .. }
                if self.revoked.contains(&node.0) =>
            {
                Err(MembershipError::Revoked(generation))
            }
            MembershipChange::Add { node, mut member } => {
                if !wire::addresses_within_limits(&member.addresses) {
                    return Err(MembershipError::Malformed);
                }
                member.name = wire::sanitize_name(&member.name);
                self.founder.get_or_insert(node.0);
                self.members.insert(node.0, member);
                Ok(())
            }
            MembershipChange::Role { node, role } => {
                self.members.get_mut(&node.0).ok_or(MembershipError::UnknownNode(generation))?.role = role;
                Ok(())
            }
            MembershipChange::Revoke { node } => {
                self.members.remove(&node.0).ok_or(MembershipError::UnknownNode(generation))?;
                self.revoked.insert(node.0);
                Ok(())
            }
        }
    }
}

/// Returns the swarm and the generation of an entry, or `None` if its signature is not correct.
///
/// That it continues the entry before it is not verified.
pub(crate) fn signed_position(entry: &[u8]) -> Option<(SwarmId, u64)> {
    let signed = decode_entry(entry).ok()?;
    let generation = signed.verified_body().ok()?.generation;
    Some((signed.swarm, generation))
}

fn decode_entry(entry: &[u8]) -> Result<SignedEntry, MembershipError> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(MembershipError::Malformed);
    }
    wire::decode(entry).ok_or(MembershipError::Malformed)
}

fn signed_bytes(swarm: SwarmId, body: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, &swarm.0, body].concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), role: NodeRole::Probe, addresses: Vec::new(), relay: false }
    }

    /// One change of membership. The number is an index into [`TestSwarm::nodes`].
    #[derive(Clone, Debug)]
    pub(crate) enum Step {
        Add(usize),
        Role(usize),
        Revoke(usize),
    }

    pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..4usize).prop_map(Step::Add),
            1 => (0..4usize).prop_map(Step::Role),
            1 => (0..4usize).prop_map(Step::Revoke),
        ];
        prop::collection::vec(step, 1..10)
    }

    pub(crate) struct TestSwarm {
        owner: Keypair,
        nodes: Vec<PeerId>,
        pub(crate) log: MembershipLog,
    }

    impl TestSwarm {
        pub(crate) fn new() -> Self {
            let owner = Keypair::generate_ed25519();
            let log = MembershipLog::new(SwarmId::of(&owner.public()).unwrap());
            let nodes = (0..4).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect();
            Self { owner, nodes, log }
        }

        fn entry(&self, step: &Step) -> Vec<u8> {
            let node = |index: &usize| WirePeer(self.nodes[*index]);
            let change = match step {
                Step::Add(index) => MembershipChange::Add { node: node(index), member: member("n") },
                Step::Role(index) => MembershipChange::Role { node: node(index), role: NodeRole::Home },
                Step::Revoke(index) => MembershipChange::Revoke { node: node(index) },
            };
            self.log.sign_entry(&self.owner, Timestamp(1), change).unwrap()
        }

        /// Appends an entry per step. An entry that is refused must not change the log.
        pub(crate) fn append(&mut self, steps: &[Step]) {
            for step in steps {
                let entry = self.entry(step);
                let before = self.log.generation();
                let appended = self.log.append(&entry).is_ok();
                assert_eq!(self.log.generation(), before + u64::from(appended));
            }
        }
    }

    proptest! {
        // Signatures take milliseconds in an unoptimised build.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn revoked_nodes_stay_revoked_and_the_log_can_be_replayed(steps in steps()) {
            let mut swarm = TestSwarm::new();
            let mut revoked = BTreeSet::new();
            for step in &steps {
                swarm.append(std::slice::from_ref(step));
                revoked.extend(swarm.nodes.iter().filter(|peer| swarm.log.is_revoked(peer)).copied());
                for peer in &revoked {
                    prop_assert!(swarm.log.is_revoked(peer) && !swarm.log.is_member(peer));
                }
            }
            let entries: Vec<_> = swarm.log.entries_after(0, usize::MAX).cloned().collect();
            let mut replayed = MembershipLog::new(swarm.log.swarm());
            for entry in &entries {
                replayed.append(entry).unwrap();
            }
            prop_assert_eq!(replayed.members(), swarm.log.members());
            prop_assert_eq!(replayed.head, swarm.log.head);
        }

        #[test]
        fn a_changed_byte_is_refused(steps in steps(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut swarm = TestSwarm::new();
            swarm.append(&[Step::Add(0)]);
            swarm.append(&steps);
            let mut entries: Vec<_> = swarm.log.entries_after(0, usize::MAX).cloned().collect();
            let which = which.index(entries.len());
            let at = at.index(entries[which].len());
            entries[which][at] ^= flip;
            let mut log = MembershipLog::new(swarm.log.swarm());
            let refused = entries.iter().any(|entry| log.append(entry).is_err());
            prop_assert!(refused || log.head == swarm.log.head, "a changed entry changed the log");
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut swarm = TestSwarm::new();
            prop_assert!(swarm.log.append(&bytes).is_err());
        }
    }

    #[test]
    fn only_the_owner_changes_membership() {
        let mut swarm = TestSwarm::new();
        swarm.append(&[Step::Add(0)]);
        let other_key = Keypair::generate_ed25519();
        let change = MembershipChange::Add { node: WirePeer(swarm.nodes[1]), member: member("mallory") };
        let forged = swarm.log.sign_entry(&other_key, Timestamp(2), change).unwrap();
        assert!(matches!(swarm.log.append(&forged), Err(MembershipError::Signature)));
        assert_eq!(swarm.log.founder(), Some(&swarm.nodes[0]));
    }
}
