//! The state that the STUN responder shares with the actor.
//!
//! The actor issues short-term credentials to members over the encrypted channel. The responder
//! identifies the sender of a packet by its credential, and records at which address it saw the
//! member, which the actor can then attest.

use crate::attestation::SeenAddress;
use data_encoding::BASE32_NOPAD;
use libp2p::PeerId;
use sentinel_model::{Family, Millis, Monotonic};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
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
    dropped_packets: u64,
}

impl ResponderState {
    /// Returns the member's newest credential, or issues a new one if that is due for rotation.
    pub(crate) fn issue_credential(
        &mut self,
        member: PeerId,
        now: Monotonic,
    ) -> Result<ShortTermCredential, getrandom::Error> {
        self.issued.retain(|_, issued| now.since(issued.issued_at) < LIFETIME);
        let mut own: Vec<_> = self.issued.iter().filter(|(_, issued)| issued.member == member).collect();
        own.sort_by_key(|(_, issued)| issued.issued_at);
        let newest = own.last().filter(|(_, issued)| now.since(issued.issued_at) < ROTATION);
        if let Some((username, newest)) = newest {
            return Ok(ShortTermCredential {
                username: (*username).clone(),
                password: newest.password.clone(),
                valid_for: Millis(LIFETIME.0.saturating_sub(now.since(newest.issued_at).0)),
            });
        }
        let oldest =
            (own.len() >= MAX_PER_MEMBER).then(|| own.first().map(|(name, _)| (*name).clone())).flatten();
        if let Some(username) = oldest {
            self.issued.remove(&username);
        }
        let (username, password) = (random_word::<10>()?, random_word::<20>()?);
        let issued = IssuedCredential { password: password.clone(), member, issued_at: now };
        self.issued.insert(username.clone(), issued);
        Ok(ShortTermCredential { username, password, valid_for: LIFETIME })
    }

    /// Returns the member to whom a user name was issued, and its password.
    pub(crate) fn find_credential(&self, username: &str, now: Monotonic) -> Option<(PeerId, &str)> {
        let issued = self.issued.get(username).filter(|issued| now.since(issued.issued_at) < LIFETIME)?;
        Some((issued.member, &issued.password))
    }

    /// Removes everything about a node that is no longer a member.
    pub(crate) fn remove_member(&mut self, member: &PeerId) {
        self.issued.retain(|_, issued| issued.member != *member);
        self.seen.remove(member);
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
