//! Who belongs to the swarm: a log of add, role and revoke entries, each signed by the owner and chained to the one
//! before by its hash. The log only grows, its generation only rises, and a revoked node stays revoked for ever. This
//! file does no I/O; whoever holds a log applies entries from anywhere and keeps what proves itself.

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

/// How many changes one swarm can see in its life.
pub(crate) const MAX_ENTRIES: usize = 4096;
/// How long one entry may be: a name, eight addresses and a signature fit.
pub(crate) const MAX_ENTRY_BYTES: usize = 3072;
/// Separates these signatures from any other use of the owner's key.
const DOMAIN: &[u8] = b"vpnsentinel membership 1\0";

/// A swarm's name: the owner's public Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SwarmId(pub [u8; 32]);

impl SwarmId {
    /// The swarm a key owns; `None` if it is not an Ed25519 key.
    pub(crate) fn of(key: &PublicKey) -> Option<Self> {
        key.clone().try_into_ed25519().ok().map(|key| Self(key.to_bytes()))
    }

    fn key(self) -> Option<PublicKey> {
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
pub enum LogError {
    /// The bytes are no entry.
    #[error("an entry is garbled")]
    Garbled,
    /// The entry belongs to another swarm.
    #[error("an entry belongs to another swarm")]
    WrongSwarm,
    /// The owner did not sign it.
    #[error("the owner's signature on entry {0} is wrong")]
    Signature(u64),
    /// An entry is missing, repeated or out of order.
    #[error("entry {expected} was expected, not {found}")]
    Generation {
        /// The next generation.
        expected: u64,
        /// What the entry says.
        found: u64,
    },
    /// The entry does not continue this log.
    #[error("entry {0} does not continue the entry before it")]
    Chain(u64),
    /// A revoked node would come back.
    #[error("entry {0} would bring back a revoked node")]
    Revoked(u64),
    /// The entry is about a node that was never added.
    #[error("entry {0} is about an unknown node")]
    UnknownNode(u64),
    /// The log is full.
    #[error("the log has reached its {MAX_ENTRIES} entries")]
    Full,
    /// The entry could not be signed.
    #[error("cannot sign an entry: {0}")]
    Sign(#[from] SigningError),
}

/// What an entry changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// A node belongs to the swarm from here on, or what is known of it is replaced.
    Add { node: WirePeer, member: Member },
    /// A node's role is another.
    Role { node: WirePeer, role: NodeRole },
    /// A node belongs to the swarm no more, and never will again.
    Revoke { node: WirePeer },
}

/// What the log knows of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub role: NodeRole,
    /// Where it can be reached.
    pub addresses: Vec<Multiaddr>,
    /// Whether it passes traffic on for members.
    pub relay: bool,
}

#[derive(Serialize, Deserialize)]
struct Body {
    generation: u64,
    previous: [u8; 32],
    at: Timestamp,
    change: Change,
}

/// An entry as it is stored and sent. The signature covers the domain, the swarm and the exact bytes of the body.
#[derive(Serialize, Deserialize)]
struct Envelope {
    swarm: SwarmId,
    body: ByteBuf,
    signature: ByteBuf,
}

/// The membership log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    swarm: SwarmId,
    head: [u8; 32],
    entries: Vec<Vec<u8>>,
    founder: Option<PeerId>,
    members: BTreeMap<PeerId, Member>,
    revoked: BTreeSet<PeerId>,
}

impl Log {
    /// The empty log of a swarm.
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

    /// The log as a store kept it. A store only appends: where a node has left its own, still lonely swarm for another,
    /// the entries of the last swarm are the ones that count. `None` if there are no entries.
    pub(crate) fn restore(entries: &[Vec<u8>]) -> Result<Option<Self>, LogError> {
        let Some(last) = entries.last() else { return Ok(None) };
        let swarm = open(last)?.swarm;
        let mut log = Self::new(swarm);
        let from =
            entries.iter().rposition(|entry| open(entry).map_or(true, |envelope| envelope.swarm != swarm));
        for entry in entries.iter().skip(from.map_or(0, |other| other + 1)) {
            log.append(entry)?;
        }
        Ok(Some(log))
    }

    /// Which swarm this is.
    pub(crate) fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// How many entries there are, which is also the last entry's number.
    pub(crate) fn generation(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// All entries after a generation, at most `limit`.
    pub(crate) fn entries_after(&self, generation: u64, limit: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.entries.iter().skip(usize::try_from(generation).unwrap_or(usize::MAX)).take(limit)
    }

    /// The members, revoked ones not among them.
    pub(crate) fn members(&self) -> &BTreeMap<PeerId, Member> {
        &self.members
    }

    /// Whether a node belongs to the swarm.
    pub(crate) fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains_key(peer)
    }

    /// Whether a node was ever expelled.
    pub(crate) fn is_revoked(&self, peer: &PeerId) -> bool {
        self.revoked.contains(peer)
    }

    /// The node the swarm was founded on, which holds the owner's key.
    pub(crate) fn founder(&self) -> Option<&PeerId> {
        self.founder.as_ref()
    }

    /// Signs the next entry. It is not yet part of the log.
    pub(crate) fn sign(&self, owner: &Keypair, at: Timestamp, change: Change) -> Result<Vec<u8>, LogError> {
        let body = wire::encode(&Body { generation: self.generation() + 1, previous: self.head, at, change });
        let signature = owner.sign(&signed_bytes(self.swarm, &body))?;
        Ok(wire::encode(&Envelope {
            swarm: self.swarm,
            body: ByteBuf::from(body),
            signature: ByteBuf::from(signature),
        }))
    }

    /// Takes one more entry in, if it proves itself; otherwise the log stays as it was.
    pub(crate) fn append(&mut self, entry: &[u8]) -> Result<(), LogError> {
        let expected = self.generation() + 1;
        if self.entries.len() >= MAX_ENTRIES {
            return Err(LogError::Full);
        }
        let envelope = open(entry)?;
        if envelope.swarm != self.swarm {
            return Err(LogError::WrongSwarm);
        }
        let key = self.swarm.key().ok_or(LogError::Garbled)?;
        if !key.verify(&signed_bytes(self.swarm, &envelope.body), &envelope.signature) {
            return Err(LogError::Signature(expected));
        }
        let body: Body = wire::decode(&envelope.body).ok_or(LogError::Garbled)?;
        if body.generation != expected {
            return Err(LogError::Generation { expected, found: body.generation });
        }
        if body.previous != self.head {
            return Err(LogError::Chain(expected));
        }
        self.apply(expected, body.change)?;
        self.head = Sha256::digest(&*envelope.body).into();
        self.entries.push(entry.to_vec());
        Ok(())
    }

    fn apply(&mut self, generation: u64, change: Change) -> Result<(), LogError> {
        match change {
            Change::Add { node, .. } | Change::Role { node, .. } if self.revoked.contains(&node.0) => {
                Err(LogError::Revoked(generation))
            }
            Change::Add { node, mut member } => {
                if !wire::addresses_are_sane(&member.addresses) {
                    return Err(LogError::Garbled);
                }
                member.name = wire::presentable_name(&member.name);
                self.founder.get_or_insert(node.0);
                self.members.insert(node.0, member);
                Ok(())
            }
            Change::Role { node, role } => {
                self.members.get_mut(&node.0).ok_or(LogError::UnknownNode(generation))?.role = role;
                Ok(())
            }
            Change::Revoke { node } => {
                self.members.remove(&node.0).ok_or(LogError::UnknownNode(generation))?;
                self.revoked.insert(node.0);
                Ok(())
            }
        }
    }
}

fn open(entry: &[u8]) -> Result<Envelope, LogError> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(LogError::Garbled);
    }
    wire::decode(entry).ok_or(LogError::Garbled)
}

fn signed_bytes(swarm: SwarmId, body: &[u8]) -> Vec<u8> {
    [DOMAIN, &swarm.0, body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), role: NodeRole::Probe, addresses: Vec::new(), relay: false }
    }

    /// One abstract step; which node it is about is an index into a small crowd.
    #[derive(Clone, Debug)]
    enum Step {
        Add(usize),
        Role(usize),
        Revoke(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..4usize).prop_map(Step::Add),
            1 => (0..4usize).prop_map(Step::Role),
            1 => (0..4usize).prop_map(Step::Revoke),
        ];
        prop::collection::vec(step, 1..10)
    }

    struct World {
        owner: Keypair,
        crowd: Vec<PeerId>,
        log: Log,
    }

    impl World {
        fn new() -> Self {
            let owner = Keypair::generate_ed25519();
            let log = Log::new(SwarmId::of(&owner.public()).unwrap());
            let crowd = (0..4).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect();
            Self { owner, crowd, log }
        }

        fn entry(&self, step: &Step) -> Vec<u8> {
            let node = |index: &usize| WirePeer(self.crowd[*index]);
            let change = match step {
                Step::Add(index) => Change::Add { node: node(index), member: member("n") },
                Step::Role(index) => Change::Role { node: node(index), role: NodeRole::Home },
                Step::Revoke(index) => Change::Revoke { node: node(index) },
            };
            self.log.sign(&self.owner, Timestamp(1), change).unwrap()
        }

        /// Walks the steps; those the rules forbid are refused and leave no trace.
        fn walk(&mut self, steps: &[Step]) {
            for step in steps {
                let entry = self.entry(step);
                let before = self.log.generation();
                let taken = self.log.append(&entry).is_ok();
                assert_eq!(self.log.generation(), before + u64::from(taken));
            }
        }
    }

    proptest! {
        // Signatures take milliseconds in an unoptimised build.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_revoked_stay_revoked_and_the_log_replays(steps in steps()) {
            let mut world = World::new();
            let mut revoked = BTreeSet::new();
            for step in &steps {
                world.walk(std::slice::from_ref(step));
                revoked.extend(world.crowd.iter().filter(|peer| world.log.is_revoked(peer)).copied());
                for peer in &revoked {
                    prop_assert!(world.log.is_revoked(peer) && !world.log.is_member(peer));
                }
            }
            let entries: Vec<_> = world.log.entries_after(0, usize::MAX).cloned().collect();
            if let Some(replayed) = Log::restore(&entries).unwrap() {
                prop_assert_eq!(replayed.members(), world.log.members());
                prop_assert_eq!(replayed.head, world.log.head);
            }
        }

        #[test]
        fn a_changed_byte_is_refused(steps in steps(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut world = World::new();
            world.walk(&[Step::Add(0)]);
            world.walk(&steps);
            let mut entries: Vec<_> = world.log.entries_after(0, usize::MAX).cloned().collect();
            let which = which.index(entries.len());
            let at = at.index(entries[which].len());
            entries[which][at] ^= flip;
            let mut log = Log::new(world.log.swarm());
            let refused = entries.iter().any(|entry| log.append(entry).is_err());
            prop_assert!(refused || log.head == world.log.head, "a changed entry changed the log");
        }

        #[test]
        fn missing_swapped_and_repeated_entries_are_refused(steps in steps(), at in any::<prop::sample::Index>()) {
            let mut world = World::new();
            world.walk(&[Step::Add(0), Step::Add(1), Step::Add(2)]);
            world.walk(&steps);
            let entries: Vec<_> = world.log.entries_after(0, usize::MAX).cloned().collect();
            let at = at.index(entries.len() - 1);
            let mut missing = entries.clone();
            missing.remove(at);
            let mut swapped = entries.clone();
            swapped.swap(at, at + 1);
            let mut repeated = entries.clone();
            repeated.insert(at, entries[at].clone());
            for wrong in [missing, swapped, repeated] {
                prop_assert!(Log::restore(&wrong).is_err());
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut world = World::new();
            prop_assert!(world.log.append(&bytes).is_err());
            prop_assert!(Log::restore(&[bytes]).is_err());
        }
    }

    #[test]
    fn only_the_owner_changes_membership() {
        let mut world = World::new();
        world.walk(&[Step::Add(0)]);
        let stranger = Keypair::generate_ed25519();
        let change = Change::Add { node: WirePeer(world.crowd[1]), member: member("mallory") };
        let forged = world.log.sign(&stranger, Timestamp(2), change).unwrap();
        assert!(matches!(world.log.append(&forged), Err(LogError::Signature(2))));
        assert_eq!(world.log.founder(), Some(&world.crowd[0]));
    }

    #[test]
    fn a_store_that_saw_two_swarms_restores_the_last() {
        let (mut first, mut second) = (World::new(), World::new());
        first.walk(&[Step::Add(0)]);
        second.walk(&[Step::Add(1), Step::Add(2)]);
        let entries: Vec<_> = [&first, &second]
            .into_iter()
            .flat_map(|world| world.log.entries_after(0, usize::MAX).cloned())
            .collect();
        let restored = Log::restore(&entries).unwrap().unwrap();
        assert_eq!(restored.swarm(), second.log.swarm());
        assert_eq!(restored.generation(), 2);
        assert!(Log::restore(&[]).unwrap().is_none());
    }
}
