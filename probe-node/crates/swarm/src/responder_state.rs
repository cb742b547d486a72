//! The state that the STUN responder shares with the actor.
//!
//! The actor issues short-term credentials to members over the encrypted channel. The responder
//! identifies the sender of a packet by its credential, and records at which address it saw the
//! member, which the actor can then attest. Each request counts once: whoever captures one and
//! sends it again from elsewhere must not move the member.

use crate::{
    attestation::SeenAddress,
    rate_limiter::{Rate, TokenBucket},
};
use data_encoding::BASE32_NOPAD;
use libp2p::PeerId;
use sentinel_model::{Family, Millis, Monotonic};
use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
};

/// The age at which a credential is replaced by a new one.
pub(crate) const ROTATION: Millis = Millis::secs(3600);
/// How long a credential is accepted.
///
/// It stays valid for a day after its rotation, so that a laptop that slept through the night is
/// recognised by the first packet it sends.
const LIFETIME: Millis = Millis::secs(25 * 3600);
/// The most credentials kept per member: one per rotation within the lifetime, and a few spare.
const MAX_PER_MEMBER: usize = 28;
/// How long a member's older credentials are accepted after it used a newer one.
const RETIREMENT_DELAY: Millis = Millis::secs(60);
/// The requests per credential of which at least this many are remembered.
const MAX_REQUESTS: usize = 8192;
/// The requests that one member may make.
///
/// It sends one per second and family, with retransmissions and a round in between.
const REQUEST_RATE: Rate = Rate { per_second: 32, burst: 32 };
/// How long an address at which a member was seen can be attested.
const SEEN_ADDRESS_TTL: Millis = Millis::secs(3600);

/// A short-term STUN credential (RFC 8489, section 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShortTermCredential {
    pub username: String,
    pub password: String,
    /// The remaining validity.
    pub valid_for: Millis,
}

#[derive(Clone, Debug)]
struct IssuedCredential {
    password: String,
    member: PeerId,
    issued_at: Monotonic,
    expires: Monotonic,
    /// The requests made with it.
    requests: RequestLog,
}

/// Whether a request was made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// The first with this credential.
    First,
    /// A further one.
    New,
    /// A retransmission, since the response may have been lost (RFC 8489, section 6.2.1).
    Retransmission,
}

/// A request as it is remembered: 48 bits of a keyed hash of its transaction id, 16 of its source.
///
/// That two of an hour's requests have the same is one in ten million.
#[derive(Clone, Copy, Debug)]
struct RequestHash {
    key: u32,
    tag: u16,
    source: u16,
}

impl RequestHash {
    fn new(hasher: &RandomState, transaction: &[u8; 12], source: SocketAddr) -> Self {
        let hash = hasher.hash_one(transaction);
        Self {
            key: u32::try_from(hash >> 32).unwrap_or_default(),
            tag: u16::try_from(hash & 0xffff).unwrap_or_default(),
            source: u16::try_from(hasher.hash_one(source) >> 48).unwrap_or_default(),
        }
    }
}

/// The requests made with one credential: the tag and the source of each, by its key.
///
/// Two halves, of which the older is dropped when the newer is full. One half holds the requests of
/// an hour, after which a member usually has a new credential.
#[derive(Clone, Debug, Default)]
struct RequestLog {
    newer: HashMap<u32, (u16, u16)>,
    older: HashMap<u32, (u16, u16)>,
    /// True once the member's older credentials were retired, on the first request.
    retired_older: bool,
}

impl RequestLog {
    /// Records a request. Returns `None` if another source made it before.
    fn record(&mut self, request: RequestHash) -> Option<RequestKind> {
        let earlier = self.newer.get(&request.key).or_else(|| self.older.get(&request.key));
        if let Some((_, source)) = earlier.filter(|(tag, _)| *tag == request.tag) {
            return (*source == request.source).then_some(RequestKind::Retransmission);
        }
        if self.newer.len() >= MAX_REQUESTS {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(request.key, (request.tag, request.source));
        Some(if self.retired_older { RequestKind::New } else { RequestKind::First })
    }
}

#[derive(Clone, Copy, Debug)]
struct LastAddress {
    address: IpAddr,
    at: Monotonic,
}

/// The issued credentials, the addresses at which members were seen, and a count of dropped
/// packets.
#[derive(Debug, Default)]
pub(crate) struct ResponderState {
    /// The credentials by user name.
    issued: HashMap<String, IssuedCredential>,
    seen: HashMap<PeerId, BTreeMap<Family, LastAddress>>,
    rates: HashMap<PeerId, TokenBucket>,
    hasher: RandomState,
    dropped_packets: u64,
}

impl ResponderState {
    /// Returns the member's newest credential, or issues a new one if that is due for rotation.
    pub(crate) fn issue_credential(
        &mut self,
        member: PeerId,
        now: Monotonic,
    ) -> Result<ShortTermCredential, getrandom::Error> {
        self.issued.retain(|_, issued| now < issued.expires);
        let mut own: Vec<_> = self.issued.iter().filter(|(_, issued)| issued.member == member).collect();
        own.sort_by_key(|(_, issued)| issued.issued_at);
        let newest = own.last().filter(|(_, issued)| now.since(issued.issued_at) < ROTATION);
        if let Some((username, newest)) = newest {
            return Ok(ShortTermCredential {
                username: (*username).clone(),
                password: newest.password.clone(),
                valid_for: newest.expires.since(now),
            });
        }
        let oldest =
            (own.len() >= MAX_PER_MEMBER).then(|| own.first().map(|(name, _)| (*name).clone())).flatten();
        if let Some(username) = oldest {
            self.issued.remove(&username);
        }
        let (username, password) = (random_word::<10>()?, random_word::<20>()?);
        let issued = IssuedCredential {
            password: password.clone(),
            member,
            issued_at: now,
            expires: now.after(LIFETIME),
            requests: RequestLog::default(),
        };
        self.issued.insert(username.clone(), issued);
        Ok(ShortTermCredential { username, password, valid_for: LIFETIME })
    }

    /// Returns the member to whom a user name was issued, and its password.
    pub(crate) fn find_credential(&self, username: &str, now: Monotonic) -> Option<(PeerId, &str)> {
        let issued = self.issued.get(username).filter(|issued| now < issued.expires)?;
        Some((issued.member, &issued.password))
    }

    /// Counts a request that carried a correct integrity check.
    ///
    /// Returns `None` if it must not be answered: its transaction id came from another address
    /// before, or the member sends too much.
    pub(crate) fn count_request(
        &mut self,
        username: &str,
        transaction: &[u8; 12],
        source: SocketAddr,
        now: Monotonic,
    ) -> Option<RequestKind> {
        let (hasher, issued) = (&self.hasher, self.issued.get_mut(username)?);
        let member = issued.member;
        if !self.rates.entry(member).or_default().admits(REQUEST_RATE, now) {
            return None;
        }
        let kind = issued.requests.record(RequestHash::new(hasher, transaction, source))?;
        if kind == RequestKind::First {
            self.retire_older_credentials(username, now);
        }
        Some(kind)
    }

    /// Ends the older credentials of the member that used this one for the first time.
    ///
    /// What was captured while they were in use is then worthless, and need not be remembered.
    fn retire_older_credentials(&mut self, username: &str, now: Monotonic) {
        let Some(used) = self.issued.get_mut(username).filter(|issued| !issued.requests.retired_older) else {
            return;
        };
        used.requests.retired_older = true;
        let (member, issued_at) = (used.member, used.issued_at);
        let older = |issued: &&mut IssuedCredential| issued.member == member && issued.issued_at < issued_at;
        for issued in self.issued.values_mut().filter(older) {
            issued.expires = issued.expires.min(now.after(RETIREMENT_DELAY));
        }
    }

    /// Removes everything about a node that is no longer a member.
    pub(crate) fn remove_member(&mut self, member: &PeerId) {
        self.issued.retain(|_, issued| issued.member != *member);
        self.seen.remove(member);
        self.rates.remove(member);
    }

    /// Records at which address a member was seen.
    pub(crate) fn record_address(&mut self, member: PeerId, address: IpAddr, now: Monotonic) {
        let address = address.to_canonical();
        self.seen.entry(member).or_default().insert(Family::of(address), LastAddress { address, at: now });
    }

    /// Returns the last address of each family at which a member was seen, for an attestation.
    pub(crate) fn seen_addresses(&self, member: &PeerId, now: Monotonic) -> Vec<SeenAddress> {
        let of_member = self.seen.get(member).into_iter().flatten();
        of_member
            .map(|(family, last)| SeenAddress {
                family: *family,
                address: last.address,
                age: now.since(last.at),
            })
            .filter(|seen| seen.age <= SEEN_ADDRESS_TTL)
            .collect()
    }

    /// Counts a packet that was dropped: over its rate, malformed, or with a wrong credential.
    pub(crate) fn count_dropped_packet(&mut self) {
        self.dropped_packets = self.dropped_packets.saturating_add(1);
    }

    /// Returns the number of dropped packets.
    pub(crate) fn dropped_packets(&self) -> u64 {
        self.dropped_packets
    }
}

/// Returns a random word of letters and digits.
///
/// Plain ASCII, so that string preparation (RFC 8265) leaves it unchanged.
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
        let mut state = ResponderState::default();
        let member = PeerId::random();
        let first = state.issue_credential(member, Monotonic(0)).unwrap();
        assert_eq!(first.valid_for, LIFETIME);
        let again = state.issue_credential(member, Monotonic(1000)).unwrap();
        assert_eq!(again, ShortTermCredential { valid_for: Millis(LIFETIME.0 - 1000), ..first.clone() });
        let rotated = Monotonic(0).after(ROTATION);
        let second = state.issue_credential(member, rotated).unwrap();
        assert_ne!(first.username, second.username);
        assert_eq!(state.find_credential(&first.username, rotated), Some((member, first.password.as_str())));
        assert_eq!(state.find_credential(&first.username, Monotonic(0).after(LIFETIME)), None);
        state.remove_member(&member);
        assert_eq!(state.find_credential(&second.username, rotated), None);
    }

    #[test]
    fn a_newer_credential_retires_the_older_ones_once_it_is_used() {
        let mut state = ResponderState::default();
        let (member, source) = (PeerId::random(), "192.0.2.7:1".parse().unwrap());
        let first = state.issue_credential(member, Monotonic(0)).unwrap();
        let rotated = Monotonic(0).after(ROTATION);
        let second = state.issue_credential(member, rotated).unwrap();
        let day = Monotonic(0).after(Millis::secs(24 * 3600));
        assert!(state.find_credential(&first.username, day).is_some(), "a sleeper loses its credential");
        state.count_request(&second.username, &[1; 12], source, rotated).unwrap();
        assert!(state.find_credential(&first.username, rotated).is_some(), "it may still be on its way");
        assert!(state.find_credential(&first.username, rotated.after(RETIREMENT_DELAY)).is_none());
        assert!(state.find_credential(&second.username, day).is_some());
    }

    #[test]
    fn a_request_counts_once_and_a_member_is_limited() {
        let mut state = ResponderState::default();
        let (here, there) = ("192.0.2.7:1".parse().unwrap(), "198.51.100.9:1".parse().unwrap());
        let issued = state.issue_credential(PeerId::random(), Monotonic(0)).unwrap();
        let other = state.issue_credential(PeerId::random(), Monotonic(0)).unwrap();
        let mut count = |id: u32, source, at| {
            let mut transaction = [0; 12];
            transaction[..4].copy_from_slice(&id.to_be_bytes());
            state.count_request(&issued.username, &transaction, source, Monotonic(at))
        };
        assert_eq!(count(1, here, 0), Some(RequestKind::First));
        assert_eq!(count(1, here, 0), Some(RequestKind::Retransmission));
        assert_eq!(count(1, there, 0), None);
        assert_eq!(count(2, there, 0), Some(RequestKind::New));
        for id in 3..8000 {
            assert_eq!(count(id, here, u64::from(id) * 1000), Some(RequestKind::New));
        }
        assert_eq!(
            (3..8000).filter(|id| count(*id, there, 9_000_000 + u64::from(*id) * 1000).is_some()).count(),
            0
        );
        let flood = (10_000..10_100).filter(|id| count(*id, here, 90_000_000).is_some()).count();
        assert_eq!(flood, 32);
        assert!(state.count_request(&other.username, &[1; 12], here, Monotonic(90_000_000)).is_some());
    }

    #[test]
    fn memory_is_bounded_for_a_member_that_keeps_asking() {
        let mut state = ResponderState::default();
        let member = PeerId::random();
        for hour in 0..100 {
            state.issue_credential(member, Monotonic(hour * ROTATION.0)).unwrap();
        }
        assert!(state.issued.len() <= MAX_PER_MEMBER);
    }

    #[test]
    fn seen_addresses_are_kept_per_family_and_expire() {
        let mut state = ResponderState::default();
        let member = PeerId::random();
        state.record_address(member, "::ffff:192.0.2.7".parse().unwrap(), Monotonic(0));
        state.record_address(member, "2001:db8::7".parse().unwrap(), Monotonic(500));
        state.record_address(member, "192.0.2.8".parse().unwrap(), Monotonic(600));
        let seen = state.seen_addresses(&member, Monotonic(1000));
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].address, seen[0].age), ("192.0.2.8".parse().unwrap(), Millis(400)));
        assert!(state.seen_addresses(&member, Monotonic(0).after(Millis::secs(7200))).is_empty());
    }
}
