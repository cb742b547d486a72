//! Invitations: the text that a person hands to a node that is to join.
//!
//! An invitation names the inviting node, its addresses and its swarm, and contains the secret that
//! entitles the new node to ask. It does not admit a node by itself: the owner still has to confirm
//! the new node's fingerprint.

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

/// The beginning of every invitation. The number is the version of the format.
const PREFIX: &str = "vpnsentinel1";
/// The length of the checksum, which detects typing errors and is not a signature.
const CHECKSUM_BYTES: usize = 4;
/// The longest text that is decoded. No invitation is as long.
const MAX_TEXT_BYTES: usize = 8192;

/// A one-time secret of 128 bits. It is never printed, except inside an invitation.
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
    /// The text does not begin with the prefix of an invitation.
    #[error(
        "This is not an invitation: it does not begin with `vpnsentinel1`. Copy the whole text that the other node shows."
    )]
    NotAnInvitation,
    /// The text was cut short or mistyped.
    #[error("The invitation is damaged: part of it is missing or mistyped. Copy the whole text again.")]
    Malformed,
    /// The invitation is no longer valid.
    #[error("The invitation has expired. Make a new one on the node that made it.")]
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

/// The encoded content of an invitation. The order of the fields is part of the format.
#[derive(Serialize, Deserialize)]
struct Payload(SwarmId, WirePeer, Vec<Multiaddr>, Secret, Timestamp);

impl Invitation {
    /// Returns when it expires, by the wall clock of the node that made it.
    ///
    /// Only for people: that node decides by its monotonic clock whether it still is valid.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Returns the addresses of the inviting node.
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
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

    /// Parses an invitation, ignoring whitespace and case, which mail programs and people change.
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvitationError::Malformed);
        }
        let text: String =
            text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(InvitationError::NotAnInvitation)?;
        let bytes = BASE32_NOPAD
            .decode(encoded.to_ascii_uppercase().as_bytes())
            .map_err(|_| InvitationError::Malformed)?;
        let (payload, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM_BYTES))
            .ok_or(InvitationError::Malformed)?;
        if sum != checksum(payload) {
            return Err(InvitationError::Malformed);
        }
        let Payload(swarm, WirePeer(inviter), addresses, secret, expires) =
            wire::decode(payload).ok_or(InvitationError::Malformed)?;
        if addresses.is_empty() || !wire::addresses_within_limits(&addresses) {
            return Err(InvitationError::Malformed);
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
        fn a_printed_invitation_is_parsed_back(invitation in invitation()) {
            let text = invitation.to_string();
            prop_assert_eq!(text.parse::<Invitation>().unwrap(), invitation.clone());
            let mangled: String = text.to_uppercase().chars().flat_map(|c| [c, '\n']).collect();
            prop_assert_eq!(mangled.parse::<Invitation>().unwrap(), invitation);
        }

        #[test]
        fn random_text_never_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(text.parse::<Invitation>().is_err());
            let summed = [bytes.as_slice(), &checksum(&bytes)].concat();
            // With a correct checksum the decoder gets arbitrary bytes; it must not panic on them.
            let _ = format!("{PREFIX}{}", BASE32_NOPAD.encode(&summed)).parse::<Invitation>();
        }

        #[test]
        fn one_wrong_letter_is_detected(invitation in invitation(), at in any::<prop::sample::Index>()) {
            let mut text = invitation.to_string().into_bytes();
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len() - 1);
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            prop_assert_eq!(String::from_utf8(text).unwrap().parse::<Invitation>(), Err(InvitationError::Malformed));
        }
    }

    #[test]
    fn the_secret_is_not_printed_and_other_text_is_no_invitation() {
        let invitation = Invitation {
            swarm: SwarmId([1; 32]),
            inviter: Keypair::generate_ed25519().public().to_peer_id(),
            addresses: vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()],
            secret: Secret([0xab; 16]),
            expires: Timestamp(1000),
        };
        assert!(!format!("{invitation:?}").contains("171"), "the debug output contains the secret");
        assert_eq!("hello".parse::<Invitation>(), Err(InvitationError::NotAnInvitation));
    }
}
