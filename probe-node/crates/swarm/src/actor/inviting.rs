//! The inviting node's side of pairing: invitations, pairing requests, and the owner's
//! confirmation.

use super::state::Actor;
use crate::{
    addresses,
    error::SwarmError,
    identity,
    invitation::{Invitation, Secret},
    membership::MembershipChange,
    messages::Event,
    pairing::{
        desk::{MAX_OPEN_INVITATIONS, PairingOutcome},
        protocol::{PairingRefusal, PairingRequest, PairingResponse},
    },
    wire::WirePeer,
};
use libp2p::{
    PeerId,
    request_response::{self, Message},
};
use sentinel_model::{Millis, NodeId, Timestamp};
use serde_bytes::ByteBuf;

/// How long a pairing connection may stay without proving that it holds an invitation's secret.
const PROOF_TIMEOUT: Millis = Millis::secs(2);

impl Actor {
    pub(super) fn invite(&mut self, ttl: Millis) -> Result<(String, Timestamp), SwarmError> {
        if self.join_attempt.is_some() {
            return Err(SwarmError::AlreadyJoining);
        }
        let listening: Vec<_> = self.network.listeners().cloned().collect();
        let addresses = addresses::for_invitation(&self.local.external, &listening);
        if addresses.is_empty() {
            return Err(SwarmError::NoAddress);
        }
        let swarm = self.owned_swarm()?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)?;
        let secret = Secret(secret);
        let now = self.now();
        if !self.pairing_desk.add_invitation(secret, now.boot.after(ttl), now.boot) {
            return Err(SwarmError::TooManyInvitations(MAX_OPEN_INVITATIONS));
        }
        self.update_pairing_access();
        // For people: the invitation ends by this node's monotonic clock.
        let expires = Timestamp(now.wall.0.saturating_add(i64::try_from(ttl.0).unwrap_or(i64::MAX)));
        let invitation = Invitation { swarm, inviter: self.local.peer, addresses, secret, expires };
        Ok((invitation.to_string(), expires))
    }

    pub(super) fn confirm(&mut self, fingerprint: &str) -> Result<NodeId, SwarmError> {
        let now = self.now().boot;
        let applicant = self.pairing_desk.find_applicant(fingerprint, now).cloned();
        let applicant = applicant.ok_or_else(|| SwarmError::UnknownFingerprint(fingerprint.to_owned()))?;
        let member = applicant.member.clone();
        self.change_membership(MembershipChange::Add { node: WirePeer(applicant.peer), member })?;
        self.pairing_desk.mark_admitted(&applicant.peer);
        self.update_pairing_access();
        let node = identity::node_id(&applicant.peer);
        self.events.push(Event::Admitted { node: node.clone(), name: applicant.member.name });
        Ok(node)
    }

    /// Allows pairing connections only while an invitation is open, and closes those without a use.
    pub(super) fn update_pairing_access(&mut self) {
        let now = self.now();
        let allowed = self.pairing_desk.accepts_requests(now.boot);
        let gate = &mut self.network.behaviour_mut().gate;
        gate.set_pairing_allowed(allowed);
        gate.set_applicants(self.pairing_desk.applicants(now.boot));
        let inviter = self.join_attempt.as_ref().map(|attempt| attempt.invitation.inviter);
        let unused = self.pairing_connections.iter().filter(|(_, connection)| {
            let expected =
                inviter == Some(connection.peer) || self.pairing_desk.has_applicant(&connection.peer);
            !expected && (!allowed || now.boot.since(connection.since) >= PROOF_TIMEOUT)
        });
        for connection in unused.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.network.close_connection(connection);
        }
    }

    /// Handles the events of the pairing protocol, for both sides.
    pub(super) fn on_pairing_event(
        &mut self,
        event: request_response::Event<PairingRequest, PairingResponse>,
    ) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                let response = self.respond_to_pairing_request(&peer, &request);
                if self.network.behaviour_mut().pairing.send_response(channel, response).is_err() {
                    tracing::debug!(%peer, "A node disconnected before its pairing request was answered");
                }
            }
            request_response::Event::Message {
                message: Message::Response { request_id, response }, ..
            } => {
                self.on_pairing_response(request_id, response);
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                self.on_pairing_request_failed(request_id, &error);
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {
            }
        }
    }

    fn respond_to_pairing_request(&mut self, peer: &PeerId, request: &PairingRequest) -> PairingResponse {
        let now = self.now().boot;
        let Some(log) = &self.log else { return PairingResponse::Refused(PairingRefusal::Unknown) };
        if log.is_revoked(peer) {
            return PairingResponse::Refused(PairingRefusal::Revoked);
        }
        // A member asks again if the response to its admission was lost.
        let outcome = if log.is_member(peer) {
            PairingOutcome::Admitted
        } else {
            self.pairing_desk.handle_request(log.swarm(), &self.local.peer, peer, request, now)
        };
        match outcome {
            PairingOutcome::Admitted => PairingResponse::Welcome(
                log.entries_after(0, usize::MAX).cloned().map(ByteBuf::from).collect(),
            ),
            PairingOutcome::StillWaiting => PairingResponse::Waiting,
            PairingOutcome::Refused(refusal) => {
                tracing::warn!(%peer, %refusal, "A pairing request was refused");
                PairingResponse::Refused(refusal)
            }
            PairingOutcome::NewApplicant => {
                self.update_pairing_access();
                let node = identity::node_id(peer);
                let pending = self.pairing_desk.pending_nodes(now);
                if let Some(pending) = pending.into_iter().find(|pending| pending.id == node) {
                    let (name, fingerprint) = (pending.name, pending.fingerprint);
                    self.events.push(Event::PairingRequested { node, name, fingerprint });
                }
                PairingResponse::Waiting
            }
        }
    }
}
