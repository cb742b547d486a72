//! Attestations, on both sides: what this node saw of a member and what names resolve to here, and what a witness says.

use super::{Actor, commands::answer};
use crate::{
    attestation::{self, Attestation, Challenge, Expected, LIFETIME, Signed, Statement},
    error::SwarmError,
    handle::Reply,
    identity,
    protocol::Request,
    wire::WirePeer,
};
use libp2p::{PeerId, request_response::OutboundFailure};
use sentinel_model::{NodeId, Timestamp};

/// A request on its way, by what it asked.
#[derive(Debug)]
pub(super) enum Asked {
    Hello,
    Entries,
    Credential,
    Attestation { challenge: Challenge, reply: Reply<Attestation> },
}

impl Actor {
    /// What this node saw of a member and what names resolve to here, signed.
    pub(super) fn testify(&mut self, peer: &PeerId, challenge: Challenge) -> Option<Signed> {
        let now = self.now();
        let body = self.book().sightings(peer, now.boot);
        let log = self.log.as_ref()?;
        self.attested = self.attested.saturating_add(1);
        let lifetime = i64::try_from(LIFETIME.0).unwrap_or(i64::MAX);
        let statement = Statement {
            swarm: log.swarm(),
            generation: log.generation(),
            node: WirePeer(self.me.peer),
            boot: self.me.boot,
            seq: self.attested,
            issued: now.wall,
            expires: Timestamp(now.wall.0.saturating_add(lifetime)),
            challenge,
            body,
            answers: self.own_answers.told(now.boot),
        };
        match attestation::sign(&self.me.key, &statement) {
            Ok(signed) => Some(signed),
            Err(error) => {
                tracing::error!(%error, "cannot sign an attestation");
                None
            }
        }
    }

    /// Asks a witness what it saw of this node and what names resolve to there.
    pub(super) fn ask_attestation(&mut self, node: &NodeId, reply: Reply<Attestation>) {
        let Some(id) = identity::peer_id(node).filter(|peer| self.peers.contains_key(peer)) else {
            return answer(reply, Err(SwarmError::NotMember(node.clone())));
        };
        if !self.peers.get(&id).is_some_and(crate::peer::Peer::is_connected) {
            let name = self.name_of(&id);
            return answer(reply, Err(SwarmError::NotConnected(name)));
        }
        let mut challenge = [0; 32];
        match getrandom::fill(&mut challenge) {
            Ok(()) => {
                self.request(&id, Request::Attest { challenge }, Asked::Attestation { challenge, reply });
            }
            Err(error) => answer(reply, Err(error.into())),
        }
    }

    pub(super) fn on_attested(
        &mut self,
        id: &PeerId,
        challenge: Challenge,
        signed: &Signed,
        reply: Reply<Attestation>,
    ) {
        let now = self.now().wall;
        let (Some(log), Some(peer)) = (&self.log, self.peers.get_mut(id)) else {
            return answer(reply, Err(SwarmError::NotMember(identity::node_id(id))));
        };
        let expected = Expected { swarm: log.swarm(), node: *id, challenge, now };
        match attestation::verify(signed, &expected, peer.mark) {
            Ok((attestation, mark)) => {
                peer.mark = Some(mark);
                answer(reply, Ok(attestation));
            }
            Err(cause) => {
                self.rejected_attestations = self.rejected_attestations.saturating_add(1);
                let node = self.name_of(id);
                tracing::warn!(%node, %cause, "an attestation was rejected");
                answer(reply, Err(SwarmError::Attestation { node, cause }));
            }
        }
    }

    pub(super) fn unanswered(&mut self, id: &PeerId, asked: Asked, error: &OutboundFailure) {
        if let Asked::Attestation { reply, .. } = asked {
            let node = self.name_of(id);
            answer(reply, Err(SwarmError::NoAnswer { node, cause: error.to_string() }));
        }
    }
}
