//! The string one person hands to another node: where to knock, which swarm to expect there, and the secret that lets
//! the new node be heard at all. It alone admits nobody: the owner still confirms the new node's fingerprint.

use crate::{
    membership::SwarmId,
    wire::{self, WirePeer},
};
use data_encoding::BASE32_NOPAD;
use libp2p::{Multiaddr, PeerId};
use sentinel_model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What every invitation begins with; the number is the format's version.
const PREFIX: &str = "vpnsentinel1";
/// Enough to tell a typing error from an invitation; it is not a signature.
const CHECKSUM_BYTES: usize = 4;
/// Longer than any invitation can be, so that a pasted novel is refused before it is decoded.
const MAX_TEXT_BYTES: usize = 8192;

/// A one-time secret of 128 bits. It is never printed except inside an invitation.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why an invitation cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// It does not begin like one.
    #[error(
        "this is not an invitation: it does not begin with `vpnsentinel1`; copy the whole text that the other node shows"
    )]
    NotOne,
    /// It was cut short or mistyped.
    #[error("the invitation is damaged: part of it is missing or mistyped; copy it again, all of it")]
    Garbled,
    /// Its time is over.
    #[error("the invitation has expired; make a new one on the node that made it")]
    Expired,
}

/// An invitation to join a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub(crate) swarm: SwarmId,
    pub(crate) inviter: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) secret: Secret,
    pub(crate) expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Payload(SwarmId, WirePeer, Vec<Multiaddr>, Secret, Timestamp);

impl Invitation {
    /// When it stops working, by the clock of the node that made it.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Where the inviting node is looked for.
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Whether it can still be used at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), InvitationError> {
        if now < self.expires { Ok(()) } else { Err(InvitationError::Expired) }
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload =
            Payload(self.swarm, WirePeer(self.inviter), self.addresses.clone(), self.secret, self.expires);
        let mut bytes = wire::encode(&payload);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    /// Forgives line breaks, spaces and capitals, which mail programs and people add.
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvitationError::Garbled);
        }
        let text: String =
            text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(InvitationError::NotOne)?;
        let bytes = BASE32_NOPAD
            .decode(encoded.to_ascii_uppercase().as_bytes())
            .map_err(|_| InvitationError::Garbled)?;
        let (payload, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM_BYTES))
            .ok_or(InvitationError::Garbled)?;
        if sum != checksum(payload) {
            return Err(InvitationError::Garbled);
        }
        let Payload(swarm, WirePeer(inviter), addresses, secret, expires) =
            wire::decode(payload).ok_or(InvitationError::Garbled)?;
        if addresses.is_empty() || !wire::addresses_are_sane(&addresses) {
            return Err(InvitationError::Garbled);
        }
        Ok(Self { swarm, inviter, addresses, secret, expires })
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::digest(payload).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    fn invitation() -> impl Strategy<Value = Invitation> {
        (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<i64>(), prop::collection::vec(any::<(u32, u16)>(), 1..8))
            .prop_map(|(swarm, secret, expires, addresses)| Invitation {
                swarm: SwarmId(swarm),
                inviter: Keypair::generate_ed25519().public().to_peer_id(),
                addresses: addresses
                    .into_iter()
                    .map(|(ip, port)| {
                        format!("/ip4/{}/tcp/{port}", std::net::Ipv4Addr::from(ip)).parse().unwrap()
                    })
                    .collect(),
                secret: Secret(secret),
                expires: Timestamp(expires),
            })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(invitation in invitation()) {
            let text = invitation.to_string();
            prop_assert_eq!(text.parse::<Invitation>().unwrap(), invitation.clone());
            let mangled: String = text.to_uppercase().chars().flat_map(|c| [c, '\n']).collect();
            prop_assert_eq!(mangled.parse::<Invitation>().unwrap(), invitation);
        }

        #[test]
        fn garbage_never_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(text.parse::<Invitation>().is_err());
            let summed = [bytes.as_slice(), &checksum(&bytes)].concat();
            // A checksum that fits makes the decoder see arbitrary bytes; it may only refuse them.
            let _ = format!("{PREFIX}{}", BASE32_NOPAD.encode(&summed)).parse::<Invitation>();
        }

        #[test]
        fn one_wrong_letter_is_noticed(invitation in invitation(), at in any::<prop::sample::Index>()) {
            let mut text = invitation.to_string().into_bytes();
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len() - 1);
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            prop_assert_eq!(String::from_utf8(text).unwrap().parse::<Invitation>(), Err(InvitationError::Garbled));
        }
    }

    #[test]
    fn an_invitation_ends() {
        let text = Invitation {
            swarm: SwarmId([1; 32]),
            inviter: Keypair::generate_ed25519().public().to_peer_id(),
            addresses: vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()],
            secret: Secret([0xab; 16]),
            expires: Timestamp(1000),
        };
        assert_eq!(text.check(Timestamp(999)), Ok(()));
        assert_eq!(text.check(Timestamp(1000)), Err(InvitationError::Expired));
        assert!(!format!("{text:?}").contains("171"), "the secret shows in debug output");
        assert_eq!("hello".parse::<Invitation>(), Err(InvitationError::NotOne));
    }
}
