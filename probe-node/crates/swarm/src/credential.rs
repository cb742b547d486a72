//! Short-term STUN credentials: a witness hands each member a random name and password over the encrypted channel, and
//! knows by them who sent a packet. It also remembers at which address it saw each member, which it can attest.

use crate::attestation::SeenAddress;
use data_encoding::BASE32_NOPAD;
use libp2p::PeerId;
use sentinel_model::{Family, Millis, Monotonic};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

/// How old a credential may get before a new one is handed out instead.
pub(crate) const ROTATION: Millis = Millis::secs(3600);
/// How long a credential works. It outlives its rotation by a day, so that a laptop that slept through the night is
/// still recognised by the first packet it sends.
const LIFETIME: Millis = Millis::secs(25 * 3600);
/// How many credentials of one member are kept; one per rotation lives at a time, and a few to spare.
const MAX_PER_MEMBER: usize = 28;
/// How long a sighting is worth attesting.
const SIGHTING_TTL: Millis = Millis::secs(3600);

/// A credential as it is handed over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The STUN user name.
    pub username: String,
    /// The STUN password.
    pub password: String,
    /// How much longer both work.
    pub valid_for: Millis,
    /// Where the responder is; empty if this node has none.
    pub stun: Vec<SocketAddr>,
    /// The canary zone this node answers for.
    pub canary_zone: Option<String>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant").field("stun", &self.stun).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Issued {
    password: String,
    member: PeerId,
    since: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    address: IpAddr,
    at: Monotonic,
}

/// What the responder knows: who holds which credential, and who was seen where.
#[derive(Debug, Default)]
pub(crate) struct Book {
    issued: HashMap<String, Issued>,
    seen: HashMap<PeerId, BTreeMap<Family, Sighting>>,
    dropped: u64,
}

impl Book {
    /// A credential for a member: the youngest it has, or a new one once that is due for rotation. Gives the name, the
    /// password and how much longer they work.
    pub(crate) fn issue(
        &mut self,
        member: PeerId,
        now: Monotonic,
    ) -> Result<(String, String, Millis), getrandom::Error> {
        self.issued.retain(|_, issued| now.since(issued.since) < LIFETIME);
        let mut own: Vec<_> = self.issued.iter().filter(|(_, issued)| issued.member == member).collect();
        own.sort_by_key(|(_, issued)| issued.since);
        if let Some((name, youngest)) = own.last().filter(|(_, issued)| now.since(issued.since) < ROTATION) {
            let left = Millis(LIFETIME.0.saturating_sub(now.since(youngest.since).0));
            return Ok(((*name).clone(), youngest.password.clone(), left));
        }
        let oldest =
            (own.len() >= MAX_PER_MEMBER).then(|| own.first().map(|(name, _)| (*name).clone())).flatten();
        if let Some(name) = oldest {
            self.issued.remove(&name);
        }
        let (name, password) = (random_word::<10>()?, random_word::<20>()?);
        self.issued.insert(name.clone(), Issued { password: password.clone(), member, since: now });
        Ok((name, password, LIFETIME))
    }

    /// Whose credential a name is, and its password.
    pub(crate) fn find(&self, username: &str, now: Monotonic) -> Option<(PeerId, &str)> {
        let issued = self.issued.get(username).filter(|issued| now.since(issued.since) < LIFETIME)?;
        Some((issued.member, &issued.password))
    }

    /// Forgets everything about a node that is no member any more.
    pub(crate) fn forget(&mut self, member: &PeerId) {
        self.issued.retain(|_, issued| issued.member != *member);
        self.seen.remove(member);
    }

    /// Notes where a member was seen.
    pub(crate) fn saw(&mut self, member: PeerId, address: IpAddr, now: Monotonic) {
        let address = address.to_canonical();
        self.seen.entry(member).or_default().insert(Family::of(address), Sighting { address, at: now });
    }

    /// Where a member was last seen, for an attestation.
    pub(crate) fn sightings(&self, member: &PeerId, now: Monotonic) -> Vec<SeenAddress> {
        let of_member = self.seen.get(member).into_iter().flatten();
        of_member
            .map(|(family, sighting)| SeenAddress {
                family: *family,
                address: sighting.address,
                age: now.since(sighting.at),
            })
            .filter(|seen| seen.age <= SIGHTING_TTL)
            .collect()
    }

    /// Counts a packet that was dropped: over its rate, malformed, or with a wrong credential.
    pub(crate) fn count_dropped(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
    }

    /// How many packets were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A random word of letters and digits. Plain ASCII, so that no string preparation (RFC 8265) changes it.
fn random_word<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_rotate_and_overlap() {
        let mut book = Book::default();
        let member = PeerId::random();
        let (first, password, left) = book.issue(member, Monotonic(0)).unwrap();
        assert_eq!(left, LIFETIME);
        let soon = Monotonic(1000);
        assert_eq!(
            book.issue(member, soon).unwrap(),
            (first.clone(), password.clone(), Millis(LIFETIME.0 - 1000))
        );
        let rotated = Monotonic(0).after(ROTATION);
        let (second, ..) = book.issue(member, rotated).unwrap();
        assert_ne!(first, second);
        assert_eq!(book.find(&first, rotated), Some((member, password.as_str())));
        assert_eq!(book.find(&first, Monotonic(0).after(LIFETIME)), None);
        book.forget(&member);
        assert_eq!(book.find(&second, rotated), None);
    }

    #[test]
    fn a_member_that_asks_for_ever_does_not_fill_the_memory() {
        let mut book = Book::default();
        let member = PeerId::random();
        for hour in 0..100 {
            book.issue(member, Monotonic(hour * ROTATION.0)).unwrap();
        }
        assert!(book.issued.len() <= MAX_PER_MEMBER);
    }

    #[test]
    fn sightings_are_kept_per_family_and_grow_old() {
        let mut book = Book::default();
        let member = PeerId::random();
        book.saw(member, "::ffff:192.0.2.7".parse().unwrap(), Monotonic(0));
        book.saw(member, "2001:db8::7".parse().unwrap(), Monotonic(500));
        book.saw(member, "192.0.2.8".parse().unwrap(), Monotonic(600));
        let seen = book.sightings(&member, Monotonic(1000));
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].address, seen[0].age), ("192.0.2.8".parse().unwrap(), Millis(400)));
        assert!(book.sightings(&member, Monotonic(0).after(Millis::secs(7200))).is_empty());
    }
}
