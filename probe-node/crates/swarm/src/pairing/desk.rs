//! The inviting node's side of pairing: its open invitations, and the nodes that use them.

use super::{
    proof::{fingerprint, fingerprints_match, verify_proof},
    protocol::{PairingRefusal, PairingRequest},
};
use crate::{
    identity,
    invitation::Secret,
    membership::{Member, SwarmId},
    wire,
};
use libp2p::PeerId;
use sentinel_model::{Millis, Monotonic, PendingNode};
use std::collections::HashSet;

/// The most invitations open at once.
pub(crate) const MAX_OPEN_INVITATIONS: usize = 16;
/// How long an expired invitation is kept.
///
/// A node that uses it late then gets the refusal "expired" instead of "unknown".
const EXPIRED_RETENTION: Millis = Millis::secs(24 * 3600);

#[derive(Debug)]
struct IssuedInvitation {
    secret: Secret,
    expires: Monotonic,
    /// The first node that proved to hold the secret.
    applicant: Option<Applicant>,
}

/// A node that asks to join with an invitation.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    /// The identity of the node.
    pub peer: PeerId,
    /// The fingerprint that the node shows.
    pub fingerprint: String,
    /// Its details, as they will be in the membership log.
    pub member: Member,
    admitted: bool,
}

/// The result of a pairing request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PairingOutcome {
    /// The request is new, and the owner should see it.
    NewApplicant,
    /// The node already waits for the owner.
    StillWaiting,
    /// The owner has confirmed the node.
    Admitted,
    /// The node cannot join.
    Refused(PairingRefusal),
}

/// The issued invitations, each with the node that uses it.
#[derive(Debug, Default)]
pub(crate) struct PairingDesk {
    invitations: Vec<IssuedInvitation>,
}

impl PairingDesk {
    /// Adds an invitation. Returns false if too many are open.
    pub(crate) fn add_invitation(&mut self, secret: Secret, expires: Monotonic, now: Monotonic) -> bool {
        self.invitations.retain(|issued| now < issued.expires.after(EXPIRED_RETENTION));
        if self.invitations.iter().filter(|issued| now < issued.expires).count() >= MAX_OPEN_INVITATIONS {
            return false;
        }
        if self.invitations.len() >= 2 * MAX_OPEN_INVITATIONS {
            self.invitations.remove(0);
        }
        self.invitations.push(IssuedInvitation { secret, expires, applicant: None });
        true
    }

    /// Returns true if any invitation has neither expired nor led to an admission.
    pub(crate) fn accepts_requests(&self, now: Monotonic) -> bool {
        let used = |issued: &IssuedInvitation| issued.applicant.as_ref().is_some_and(|node| node.admitted);
        self.invitations.iter().any(|issued| now < issued.expires && !used(issued))
    }

    /// Handles a pairing request from `joiner` to this node, which is `me`.
    pub(crate) fn handle_request(
        &mut self,
        swarm: SwarmId,
        me: &PeerId,
        joiner: &PeerId,
        request: &PairingRequest,
        now: Monotonic,
    ) -> PairingOutcome {
        if request.swarm != swarm || !wire::addresses_within_limits(&request.addresses) {
            return PairingOutcome::Refused(PairingRefusal::Unknown);
        }
        let issued = self
            .invitations
            .iter_mut()
            .find(|issued| verify_proof(issued.secret, swarm, me, joiner, &request.proof));
        let Some(issued) = issued else { return PairingOutcome::Refused(PairingRefusal::Unknown) };
        match &issued.applicant {
            Some(applicant) if applicant.peer != *joiner => PairingOutcome::Refused(PairingRefusal::Used),
            Some(applicant) if applicant.admitted => PairingOutcome::Admitted,
            _ if now >= issued.expires => PairingOutcome::Refused(PairingRefusal::Expired),
            Some(_) => PairingOutcome::StillWaiting,
            None => {
                let fingerprint = fingerprint(issued.secret, swarm, me, joiner);
                let member = Member {
                    name: wire::sanitize_name(&request.name),
                    role: request.role,
                    addresses: request.addresses.clone(),
                    relay: request.relay,
                };
                issued.applicant = Some(Applicant { peer: *joiner, fingerprint, member, admitted: false });
                PairingOutcome::NewApplicant
            }
        }
    }

    /// Returns the nodes that have proved that they hold a secret, and wait for the owner.
    pub(crate) fn applicants(&self, now: Monotonic) -> HashSet<PeerId> {
        self.waiting_applicants(now).map(|applicant| applicant.peer).collect()
    }

    /// Returns true if a node has proved that it holds the secret of an invitation.
    pub(crate) fn has_applicant(&self, peer: &PeerId) -> bool {
        self.invitations
            .iter()
            .any(|issued| issued.applicant.as_ref().is_some_and(|applicant| applicant.peer == *peer))
    }

    /// Returns the waiting node with this fingerprint.
    pub(crate) fn find_applicant(&self, typed: &str, now: Monotonic) -> Option<&Applicant> {
        self.waiting_applicants(now).find(|applicant| fingerprints_match(typed, &applicant.fingerprint))
    }

    /// Marks a node as confirmed by the owner.
    pub(crate) fn mark_admitted(&mut self, peer: &PeerId) {
        for applicant in self.invitations.iter_mut().filter_map(|issued| issued.applicant.as_mut()) {
            applicant.admitted |= applicant.peer == *peer;
        }
    }

    /// Returns the nodes that wait for the owner, as the snapshot shows them.
    pub(crate) fn pending_nodes(&self, now: Monotonic) -> Vec<PendingNode> {
        self.waiting_applicants(now)
            .map(|applicant| PendingNode {
                id: identity::node_id(&applicant.peer),
                name: applicant.member.name.clone(),
                fingerprint: applicant.fingerprint.clone(),
            })
            .collect()
    }

    fn waiting_applicants(&self, now: Monotonic) -> impl Iterator<Item = &Applicant> {
        self.invitations
            .iter()
            .filter(move |issued| now < issued.expires)
            .filter_map(|issued| issued.applicant.as_ref())
            .filter(|applicant| !applicant.admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::proof::proof, *};
    use libp2p::identity::Keypair;
    use sentinel_model::NodeRole;

    const SECRET: Secret = Secret([7; 16]);
    const SWARM: SwarmId = SwarmId([9; 32]);

    fn peer() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    fn request(secret: Secret, me: &PeerId, joiner: &PeerId) -> PairingRequest {
        PairingRequest {
            swarm: SWARM,
            proof: proof(secret, SWARM, me, joiner),
            name: "new".into(),
            role: NodeRole::Probe,
            addresses: Vec::new(),
            relay: false,
        }
    }

    #[test]
    fn a_secret_is_valid_for_the_first_node_that_proves_it() {
        let (me, first, second) = (peer(), peer(), peer());
        let mut desk = PairingDesk::default();
        assert!(!desk.accepts_requests(Monotonic(0)));
        assert!(desk.add_invitation(SECRET, Monotonic(100), Monotonic(0)));
        let outcome = |desk: &mut PairingDesk, joiner: &PeerId, at| {
            desk.handle_request(SWARM, &me, joiner, &request(SECRET, &me, joiner), Monotonic(at))
        };
        assert_eq!(outcome(&mut desk, &first, 1), PairingOutcome::NewApplicant);
        assert_eq!(outcome(&mut desk, &first, 2), PairingOutcome::StillWaiting);
        assert_eq!(outcome(&mut desk, &second, 3), PairingOutcome::Refused(PairingRefusal::Used));
        let shown = desk.pending_nodes(Monotonic(4)).remove(0).fingerprint;
        assert_eq!(shown, fingerprint(SECRET, SWARM, &me, &first));
        assert!(desk.find_applicant("AAAA-AAAA", Monotonic(4)).is_none());
        let typed = shown.to_lowercase().replace('-', " ");
        assert!(desk.find_applicant(&typed, Monotonic(4)).is_some());
        assert!(desk.accepts_requests(Monotonic(4)));
        desk.mark_admitted(&first);
        assert!(!desk.accepts_requests(Monotonic(4)), "a used invitation admits no other node");
        assert_eq!(outcome(&mut desk, &first, 5), PairingOutcome::Admitted);
        assert!(desk.pending_nodes(Monotonic(5)).is_empty());
        // The response may get lost: an admitted node gets it even after the invitation expired.
        assert_eq!(outcome(&mut desk, &first, 500), PairingOutcome::Admitted);
    }

    #[test]
    fn a_wrong_secret_a_stolen_proof_and_a_late_request_are_refused() {
        let (me, joiner, thief) = (peer(), peer(), peer());
        let mut desk = PairingDesk::default();
        desk.add_invitation(SECRET, Monotonic(100), Monotonic(0));
        let mut outcome = |request: &PairingRequest, from: &PeerId, at| {
            desk.handle_request(SWARM, &me, from, request, Monotonic(at))
        };
        let wrong = request(Secret([8; 16]), &me, &joiner);
        assert_eq!(outcome(&wrong, &joiner, 1), PairingOutcome::Refused(PairingRefusal::Unknown));
        let correct = request(SECRET, &me, &joiner);
        // The proof of one node is useless to another.
        assert_eq!(outcome(&correct, &thief, 1), PairingOutcome::Refused(PairingRefusal::Unknown));
        assert_eq!(outcome(&correct, &joiner, 100), PairingOutcome::Refused(PairingRefusal::Expired));
    }

    #[test]
    fn the_number_of_open_invitations_is_limited() {
        let mut desk = PairingDesk::default();
        for index in 0..MAX_OPEN_INVITATIONS {
            let secret = Secret([u8::try_from(index).unwrap(); 16]);
            assert!(desk.add_invitation(secret, Monotonic(100), Monotonic(0)));
        }
        assert!(!desk.add_invitation(SECRET, Monotonic(100), Monotonic(0)));
        assert!(desk.add_invitation(SECRET, Monotonic(300), Monotonic(200)));
    }
}
