//! The proof that a node holds an invitation's secret, and the fingerprint that people compare.

use crate::{invitation::Secret, membership::SwarmId};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use libp2p::PeerId;
use sha2::{Digest, Sha256};

/// Computes the proof that `joiner` holds the secret.
///
/// It is bound to the swarm and to both nodes, so it is useless to anyone who intercepts it.
pub(crate) fn proof(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> [u8; 32] {
    mac(secret, swarm, inviter, joiner).map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
}

/// Returns true if the proof is correct. The comparison takes constant time.
pub(crate) fn verify_proof(
    secret: Secret,
    swarm: SwarmId,
    inviter: &PeerId,
    joiner: &PeerId,
    proof: &[u8; 32],
) -> bool {
    mac(secret, swarm, inviter, joiner).is_some_and(|mac| mac.verify_slice(proof).is_ok())
}

fn mac(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
    mac.update(b"vpnsentinel pairing 1\0");
    mac.update(&swarm.0);
    mac.update(&inviter.to_bytes());
    mac.update(&joiner.to_bytes());
    Some(mac)
}

/// Computes the fingerprint that both nodes show: eight letters and digits in two groups.
///
/// It identifies this joiner at this inviter with this secret.
pub(crate) fn fingerprint(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> String {
    let proof = proof(secret, swarm, inviter, joiner);
    let digest = Sha256::new().chain_update(b"vpnsentinel fingerprint 1\0").chain_update(proof).finalize();
    let text: String = BASE32_NOPAD.encode(&digest).chars().take(8).collect();
    format!("{}-{}", text.get(..4).unwrap_or_default(), text.get(4..).unwrap_or_default())
}

/// Returns true if a typed fingerprint matches, ignoring case and everything but letters and
/// digits.
pub(crate) fn fingerprints_match(typed: &str, shown: &str) -> bool {
    let normalize = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    normalize(typed) == normalize(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    const SECRET: Secret = Secret([7; 16]);
    const SWARM: SwarmId = SwarmId([9; 32]);

    fn peer() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    #[test]
    fn a_proof_is_valid_only_for_its_secret_swarm_and_nodes() {
        let (inviter, joiner) = (peer(), peer());
        let proof = proof(SECRET, SWARM, &inviter, &joiner);
        assert!(verify_proof(SECRET, SWARM, &inviter, &joiner, &proof));
        assert!(!verify_proof(Secret([8; 16]), SWARM, &inviter, &joiner, &proof));
        assert!(!verify_proof(SECRET, SwarmId([8; 32]), &inviter, &joiner, &proof));
        assert!(!verify_proof(SECRET, SWARM, &peer(), &joiner, &proof));
        assert!(!verify_proof(SECRET, SWARM, &inviter, &peer(), &proof));
    }

    #[test]
    fn a_fingerprint_matches_however_it_is_typed() {
        assert!(fingerprints_match("7qk2 m9xd", "7QK2-M9XD"));
        assert!(fingerprints_match("7QK2M9XD\n", "7QK2-M9XD"));
        assert!(!fingerprints_match("7QK2-M9X", "7QK2-M9XD"));
        assert!(!fingerprints_match("", "7QK2-M9XD"));
    }
}
