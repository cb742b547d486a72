//! The joining node's side of pairing.
//!
//! The node repeats its request until it is admitted or refused. The inviting node decides whether
//! the invitation has expired, since the two wall clocks may differ.

use super::state::Actor;
use crate::{
    error::SwarmError,
    identity,
    invitation::{Invitation, InvitationError},
    membership::{MembershipError, MembershipLog},
    messages::{Event, Reply, send_reply},
    pairing::{
        join_attempt::JoinAttempt,
        proof,
        protocol::{PairingRequest, PairingResponse},
    },
};
use libp2p::{
    PeerId,
    request_response::{OutboundFailure, OutboundRequestId},
};
use sentinel_model::Millis;
use serde_bytes::ByteBuf;

/// The interval at which a waiting node asks again, and so learns of the owner's confirmation.
const REQUEST_INTERVAL: Millis = Millis::secs(1);
/// After how many connections closed without a response a waiting person is given an error.
const MAX_CLOSED_CONNECTIONS: u32 = 3;
/// The probable reason for them.
const CLOSED_REASON: &str = "it closes the connection; the invitation was already used, has expired, or was made before a restart of that node; make a new one";

impl Actor {
    /// Uses the invitation in the configuration. One that cannot be read is reported.
    pub(crate) fn use_configured_invitation(&mut self, invitation: Result<Invitation, InvitationError>) {
        match invitation {
            Ok(invitation) => {
                let now = self.now().boot;
                self.join_attempt = Some(JoinAttempt::new(invitation, &self.local.peer, None, now));
            }
            Err(error) => self.events.push(Event::PairingFailed { reason: error.to_string() }),
        }
    }

    pub(super) fn accept(&mut self, invitation: Invitation, reply: Reply<String>) {
        let now = self.now();
        // A node that is not in its own log may join any swarm.
        let own_log = self.log.as_ref().filter(|log| log.is_member(&self.local.peer));
        let others = own_log.map_or(0, |log| log.members().len().saturating_sub(1));
        let error = if self.join_attempt.is_some() {
            SwarmError::AlreadyJoining
        } else if others > 0 || own_log.is_some_and(|log| log.swarm() == invitation.swarm) {
            SwarmError::AlreadyMember { others }
        } else {
            self.join_attempt = Some(JoinAttempt::new(invitation, &self.local.peer, Some(reply), now.boot));
            self.continue_joining();
            return;
        };
        send_reply(reply, Err(error));
    }

    /// Sends the next pairing request if it is due, or ends an attempt that took too long.
    pub(super) fn continue_joining(&mut self) {
        let now = self.now();
        let Some(attempt) = &mut self.join_attempt else { return };
        if attempt.deadline <= now.boot {
            return self.fail_joining(InvitationError::Expired.into());
        }
        if attempt.reply.is_some() && attempt.response_deadline <= now.boot {
            let addresses: Vec<_> = attempt.invitation.addresses.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(", ");
            let error = match attempt.name_error.take() {
                Some(cause) => SwarmError::UnresolvedName { addresses, cause },
                None => SwarmError::Unreachable { addresses },
            };
            return self.fail_joining(error);
        }
        if attempt.request.is_some() || now.boot < attempt.next_request {
            return;
        }
        attempt.next_request = now.boot.after(REQUEST_INTERVAL);
        let invitation = attempt.invitation.clone();
        let (swarm, inviter) = (invitation.swarm, invitation.inviter);
        let request = PairingRequest {
            swarm,
            proof: proof::proof(invitation.secret, swarm, &inviter, &self.local.peer),
            name: self.local.name.clone(),
            role: self.local.role,
            addresses: self.own_addresses(),
            relay: self.local.relay,
        };
        let behaviour = self.network.behaviour_mut();
        behaviour.gate.set_inviter(Some(inviter));
        let id = behaviour.pairing.send_request_with_addresses(&inviter, request, invitation.addresses);
        if let Some(attempt) = &mut self.join_attempt {
            attempt.request = Some(id);
        }
    }

    pub(super) fn on_pairing_request_failed(&mut self, request: OutboundRequestId, error: &OutboundFailure) {
        tracing::debug!(%error, "The inviting node did not answer a pairing request");
        let Some(attempt) = self.answered_attempt(request) else { return };
        if matches!(error, OutboundFailure::ConnectionClosed | OutboundFailure::Io(_)) {
            attempt.closed_connections += 1;
        }
        if attempt.closed_connections >= MAX_CLOSED_CONNECTIONS && attempt.reply.is_some() {
            self.fail_joining(SwarmError::Refused(CLOSED_REASON.to_owned()));
        }
    }

    pub(super) fn on_pairing_response(&mut self, request: OutboundRequestId, response: PairingResponse) {
        if self.answered_attempt(request).is_none() {
            return;
        }
        match response {
            PairingResponse::Waiting => self.report_fingerprint(),
            PairingResponse::Refused(refusal) => self.fail_joining(SwarmError::Refused(refusal.to_string())),
            PairingResponse::Welcome(entries) => {
                // The owner may confirm before the first response. The person still gets a
                // fingerprint.
                self.report_fingerprint();
                if let Err(error) = self.join(&entries) {
                    self.fail_joining(error.into());
                }
            }
        }
    }

    /// Returns the current attempt if this request is its pending one, which then no longer is.
    fn answered_attempt(&mut self, request: OutboundRequestId) -> Option<&mut JoinAttempt> {
        let attempt = self.join_attempt.as_mut().filter(|attempt| attempt.request == Some(request))?;
        attempt.request = None;
        Some(attempt)
    }

    /// Reports the fingerprint at the first response: to the waiting person, and as an event.
    fn report_fingerprint(&mut self) {
        let Some(attempt) = &mut self.join_attempt else { return };
        if let Some(reply) = attempt.reply.take() {
            send_reply(reply, Ok(attempt.fingerprint.clone()));
        }
        if !std::mem::replace(&mut attempt.responded, true) {
            self.events.push(Event::AwaitingConfirmation { fingerprint: attempt.fingerprint.clone() });
        }
    }

    /// Becomes a member of the swarm whose log contains this node.
    fn join(&mut self, entries: &[ByteBuf]) -> Result<(), MembershipError> {
        let Some(attempt) = &self.join_attempt else { return Ok(()) };
        let inviter = attempt.invitation.inviter;
        let mut log = MembershipLog::new(attempt.invitation.swarm);
        for entry in entries {
            log.append(entry)?;
        }
        if !log.is_member(&self.local.peer) || !log.is_member(&inviter) {
            return Err(MembershipError::UnknownNode(log.generation()));
        }
        for entry in entries {
            self.events.push(Event::MembershipEntry(entry.to_vec()));
        }
        self.log = Some(log);
        self.log_damage = None;
        self.owner = None;
        let node = identity::node_id(&self.local.peer);
        self.events.push(Event::Admitted { node, name: self.local.name.clone() });
        let addresses =
            self.join_attempt.take().map(|attempt| attempt.invitation.addresses).unwrap_or_default();
        self.network.behaviour_mut().gate.set_inviter(None);
        self.apply_membership();
        if let Some(peer) = self.peers.get_mut(&inviter) {
            peer.reported_addresses = addresses;
        }
        // The current connection is for pairing only, so a new one is needed.
        if self.network.disconnect_peer_id(inviter).is_err() {
            self.on_pairing_connection_closed(&inviter);
        }
        Ok(())
    }

    /// Dials at once if the peer of a closed pairing connection has become a member.
    pub(super) fn on_pairing_connection_closed(&mut self, id: &PeerId) {
        let now = self.now().boot;
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.is_connected()) {
            peer.dial_at_once(now);
            self.maintain_connections();
        }
    }

    fn fail_joining(&mut self, error: SwarmError) {
        let Some(attempt) = self.join_attempt.take() else { return };
        self.network.behaviour_mut().gate.set_inviter(None);
        // Fails only if there is no connection.
        let _ = self.network.disconnect_peer_id(attempt.invitation.inviter);
        if let Some(reply) = attempt.reply {
            return send_reply(reply, Err(error));
        }
        let reason = match error {
            SwarmError::Invitation(InvitationError::Expired) if attempt.responded => {
                "The invitation expired before the owner confirmed this node. Make a new one.".to_owned()
            }
            other => other.to_string(),
        };
        self.events.push(Event::PairingFailed { reason });
    }
}
