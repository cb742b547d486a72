//! Attestations: signed for members that ask, and requested from witnesses.

use super::state::{Actor, InFlightRequest};
use crate::{
    attestation::{
        self, Attestation, AttestationError, Challenge, LIFETIME, SignedStatement, Statement,
        StatementCriteria,
    },
    error::SwarmError,
    identity,
    member_protocol::MemberRequest,
    messages::{Reply, send_reply},
    peer::PeerState,
    wire::WirePeer,
};
use libp2p::{PeerId, request_response::OutboundFailure};
use sentinel_model::{Monotonic, NodeId, Timestamp};

impl Actor {
    /// Signs what this node saw of a member and how names resolve here.
    pub(super) fn sign_attestation(
        &mut self,
        peer: &PeerId,
        challenge: Challenge,
    ) -> Option<SignedStatement> {
        let now = self.now();
        let seen = self.responder_state().seen_addresses(peer, now.boot);
        let log = self.log.as_ref()?;
        self.counters.attestations_signed = self.counters.attestations_signed.saturating_add(1);
        let lifetime = i64::try_from(LIFETIME.0).unwrap_or(i64::MAX);
        let statement = Statement {
            swarm: log.swarm(),
            generation: log.generation(),
            node: WirePeer(self.local.peer),
            boot: self.local.boot,
            seq: self.counters.attestations_signed,
            issued: now.wall,
            expires: Timestamp(now.wall.0.saturating_add(lifetime)),
            challenge,
            seen,
            answers: self.shared_answers.aged(now.boot),
        };
        match attestation::sign(&self.local.key, &statement) {
            Ok(signed) => Some(signed),
            Err(error) => {
                tracing::error!(%error, "Cannot sign an attestation");
                None
            }
        }
    }

    /// Requests an attestation from a witness.
    pub(super) fn request_attestation(&mut self, node: &NodeId, reply: Reply<Attestation>) {
        let Some(id) = identity::peer_id(node).filter(|peer| self.peers.contains_key(peer)) else {
            return send_reply(reply, Err(SwarmError::NotMember(node.clone())));
        };
        if !self.peers.get(&id).is_some_and(PeerState::is_connected) {
            let name = self.name_of(&id);
            return send_reply(reply, Err(SwarmError::NotConnected(name)));
        }
        let mut challenge = [0; 32];
        match getrandom::fill(&mut challenge) {
            Ok(()) => {
                let requested_at = self.now().boot;
                let in_flight = InFlightRequest::Attestation { challenge, requested_at, reply };
                self.send_request(&id, MemberRequest::Attest { challenge }, in_flight);
            }
            Err(error) => send_reply(reply, Err(error.into())),
        }
    }

    /// Verifies the response to a request with this challenge, which was sent at this time.
    pub(super) fn on_attestation(
        &mut self,
        id: &PeerId,
        (challenge, requested_at): (Challenge, Monotonic),
        signed: &SignedStatement,
        reply: Reply<Attestation>,
    ) {
        let now = self.now().boot;
        let (Some(log), Some(peer)) = (&self.log, self.peers.get_mut(id)) else {
            return send_reply(reply, Err(SwarmError::NotMember(identity::node_id(id))));
        };
        let criteria = StatementCriteria { swarm: log.swarm(), node: *id, challenge };
        // The monotonic clock also counts the time that this machine slept.
        let in_time = now.since(requested_at) <= LIFETIME;
        let verified = attestation::verify(signed, &criteria, peer.statement_mark);
        match verified.and_then(|result| in_time.then_some(result).ok_or(AttestationError::Expired)) {
            Ok((attestation, mark)) => {
                peer.statement_mark = Some(mark);
                send_reply(reply, Ok(attestation));
            }
            Err(cause) => {
                self.counters.attestations_rejected = self.counters.attestations_rejected.saturating_add(1);
                let node = self.name_of(id);
                tracing::warn!(%node, %cause, "An attestation was rejected");
                send_reply(reply, Err(SwarmError::Attestation { node, cause }));
            }
        }
    }

    /// Reports a failed request to its caller, if there is one.
    pub(super) fn on_request_failed(
        &mut self,
        id: &PeerId,
        request: InFlightRequest,
        error: &OutboundFailure,
    ) {
        if let InFlightRequest::Attestation { reply, .. } = request {
            let node = self.name_of(id);
            send_reply(reply, Err(SwarmError::NoAnswer { node, cause: error.to_string() }));
        }
    }
}
