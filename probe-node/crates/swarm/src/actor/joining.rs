//! Pairing as it runs: on the inviting node, knocks are heard; on the new one, it knocks until it is let in, refused, or
//! its invitation lapses.

use super::{Actor, commands::answer};
use crate::{
    error::SwarmError,
    handle::{Event, Reply},
    identity,
    invitation::{Invitation, InvitationError},
    membership::{Log, LogError},
    pairing::{self, Answer, Knock, Knocked, Refusal},
};
use libp2p::{
    PeerId,
    request_response::{self, Message, OutboundFailure, OutboundRequestId},
};
use sentinel_model::{Millis, Monotonic};
use serde_bytes::ByteBuf;

/// How often a waiting node knocks. The owner's "yes" is felt within this.
const KNOCK_EVERY: Millis = Millis::secs(1);
/// How often the inviting node may close the connection before a person is told so.
const TURNED_AWAY: u32 = 3;
/// What that means.
const CLOSED: &str = "it closes the connection: the invitation was already used, has expired, or is from before a restart; make a new one";
/// How long a guest may stay without proving that it holds an invitation.
const GUEST_PATIENCE: Millis = Millis::secs(10);
/// How long a person who pasted an invitation waits for the inviting node before being told that it is not there.
const PATIENCE: Millis = Millis::secs(10);

/// An invitation being taken up.
#[derive(Debug)]
pub(super) struct Joining {
    invitation: Invitation,
    fingerprint: String,
    /// Who waits for the first answer, if a person does.
    reply: Option<Reply<String>>,
    give_up: Monotonic,
    next: Monotonic,
    request: Option<OutboundRequestId>,
    heard: bool,
    /// How often the inviting node was there and closed the connection unheard.
    turned_away: u32,
}

impl Joining {
    pub(super) fn new(
        invitation: Invitation,
        me: &PeerId,
        reply: Option<Reply<String>>,
        now: Monotonic,
    ) -> Self {
        let fingerprint = pairing::fingerprint(invitation.secret, invitation.swarm, &invitation.inviter, me);
        Self {
            invitation,
            fingerprint,
            reply,
            give_up: now.after(PATIENCE),
            next: now,
            request: None,
            heard: false,
            turned_away: 0,
        }
    }
}

impl Actor {
    /// Lets guests come while an invitation is open, and no longer.
    pub(super) fn tend_door(&mut self) {
        let now = self.now();
        let open = self.door.is_open(now.wall);
        self.network.behaviour_mut().gate.set_open(open);
        let host = self.joining.as_ref().map(|joining| joining.invitation.inviter);
        let idle = self.guests.iter().filter(|(_, (peer, since))| {
            let expected = host == Some(*peer) || self.door.knows(peer);
            !expected && (!open || now.boot.since(*since) >= GUEST_PATIENCE)
        });
        for connection in idle.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            self.network.close_connection(connection);
        }
    }

    /// Knocks when it is time to.
    pub(super) fn tend_joining(&mut self) {
        let now = self.now();
        let Some(joining) = &mut self.joining else { return };
        if let Err(error) = joining.invitation.check(now.wall) {
            return self.joining_failed(error.into());
        }
        if joining.reply.is_some() && joining.give_up <= now.boot {
            let addresses: Vec<_> = joining.invitation.addresses.iter().map(ToString::to_string).collect();
            return self.joining_failed(SwarmError::Unreachable { addresses: addresses.join(", ") });
        }
        if joining.request.is_some() || now.boot < joining.next {
            return;
        }
        let invitation = joining.invitation.clone();
        joining.next = now.boot.after(KNOCK_EVERY);
        let knock = Knock {
            swarm: invitation.swarm,
            proof: pairing::proof(invitation.secret, invitation.swarm, &invitation.inviter, &self.me.peer),
            name: self.me.name.clone(),
            role: self.me.role,
            addresses: self.told_addresses(),
            relay: self.me.relay,
        };
        let behaviour = self.network.behaviour_mut();
        behaviour.gate.set_host(Some(invitation.inviter));
        let request =
            behaviour.pairing.send_request_with_addresses(&invitation.inviter, knock, invitation.addresses);
        if let Some(joining) = &mut self.joining {
            joining.request = Some(request);
        }
    }

    pub(super) fn on_pairing(&mut self, event: request_response::Event<Knock, Answer>) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                let heard = self.on_knock(&peer, &request);
                if self.network.behaviour_mut().pairing.send_response(channel, heard).is_err() {
                    tracing::debug!(%peer, "knocked, and gone before the answer");
                }
            }
            request_response::Event::Message {
                message: Message::Response { request_id, response }, ..
            } => {
                self.on_answer(request_id, response);
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                self.knock_failed(request_id, &error);
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {
            }
        }
    }

    fn knock_failed(&mut self, request: OutboundRequestId, error: &OutboundFailure) {
        tracing::debug!(%error, "the inviting node does not answer");
        let Some(joining) = self.joining.as_mut().filter(|joining| joining.request == Some(request)) else {
            return;
        };
        joining.request = None;
        if matches!(error, OutboundFailure::ConnectionClosed | OutboundFailure::Io(_)) {
            joining.turned_away += 1;
        }
        if joining.turned_away >= TURNED_AWAY && joining.reply.is_some() {
            self.joining_failed(SwarmError::Refused(CLOSED.to_owned()));
        }
    }

    fn on_knock(&mut self, peer: &PeerId, knock: &Knock) -> Answer {
        let now = self.now().wall;
        let Some(log) = &self.log else { return Answer::Refused(Refusal::Unknown) };
        if log.is_revoked(peer) {
            return Answer::Refused(Refusal::Revoked);
        }
        // A node whose welcome was lost, perhaps in a restart here, is a member all the same.
        let knocked = if log.is_member(peer) {
            Knocked::Admitted
        } else {
            self.door.knock(log.swarm(), &self.me.peer, peer, knock, now)
        };
        match knocked {
            Knocked::Admitted => {
                Answer::Welcome(log.entries_after(0, usize::MAX).cloned().map(ByteBuf::from).collect())
            }
            Knocked::StillPending => Answer::Waiting,
            Knocked::Refused(refusal) => {
                tracing::warn!(%peer, %refusal, "a node that knocked was refused");
                Answer::Refused(refusal)
            }
            Knocked::Pending => {
                let node = identity::node_id(peer);
                if let Some(pending) = self.door.pending(now).into_iter().find(|pending| pending.id == node) {
                    let (name, fingerprint) = (pending.name, pending.fingerprint);
                    self.outbox.push(Event::Pending { node, name, fingerprint });
                }
                Answer::Waiting
            }
        }
    }

    fn on_answer(&mut self, request: OutboundRequestId, response: Answer) {
        let Some(joining) = self.joining.as_mut().filter(|joining| joining.request == Some(request)) else {
            return;
        };
        joining.request = None;
        match response {
            Answer::Waiting => self.inviter_heard(),
            Answer::Refused(refusal) => self.joining_failed(SwarmError::Refused(refusal.to_string())),
            Answer::Welcome(entries) => {
                // Should the owner have been faster than the first answer, the person still gets a fingerprint.
                self.inviter_heard();
                if let Err(error) = self.join(&entries) {
                    self.joining_failed(error.into());
                }
            }
        }
    }

    fn inviter_heard(&mut self) {
        let Some(joining) = &mut self.joining else { return };
        if let Some(reply) = joining.reply.take() {
            answer(reply, Ok(joining.fingerprint.clone()));
        }
        if !std::mem::replace(&mut joining.heard, true) {
            self.outbox.push(Event::Waiting { fingerprint: joining.fingerprint.clone() });
        }
    }

    /// Becomes a member by a log that proves it.
    fn join(&mut self, entries: &[ByteBuf]) -> Result<(), LogError> {
        let Some(joining) = &self.joining else { return Ok(()) };
        let inviter = joining.invitation.inviter;
        let mut log = Log::new(joining.invitation.swarm);
        for entry in entries {
            log.append(entry)?;
        }
        if !log.is_member(&self.me.peer) || !log.is_member(&inviter) {
            return Err(LogError::UnknownNode(log.generation()));
        }
        for entry in entries {
            self.outbox.push(Event::Membership(entry.to_vec()));
        }
        self.log = Some(log);
        self.owner = None;
        self.outbox
            .push(Event::Confirmed { node: identity::node_id(&self.me.peer), name: self.me.name.clone() });
        let addresses = self.joining.take().map(|joining| joining.invitation.addresses).unwrap_or_default();
        self.network.behaviour_mut().gate.set_host(None);
        self.membership_changed();
        if let Some(peer) = self.peers.get_mut(&inviter) {
            peer.told = addresses;
        }
        // The connection so far was a guest's. The next one is a member's.
        if self.network.disconnect_peer_id(inviter).is_err() {
            self.guest_left(&inviter);
        }
        Ok(())
    }

    /// A guest's connection ended. If its peer has become a member meanwhile, the members' connection is made at once.
    pub(super) fn guest_left(&mut self, id: &PeerId) {
        let now = self.now().boot;
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.is_connected()) {
            peer.dial_at_once(now);
            self.tend_connections();
        }
    }

    fn joining_failed(&mut self, error: SwarmError) {
        let Some(joining) = self.joining.take() else { return };
        self.network.behaviour_mut().gate.set_host(None);
        // If it was never connected there is nothing to close.
        let _ = self.network.disconnect_peer_id(joining.invitation.inviter);
        if let Some(reply) = joining.reply {
            return answer(reply, Err(error));
        }
        let reason = match error {
            SwarmError::Invitation(InvitationError::Expired) if joining.heard => {
                "nobody confirmed this node before its invitation expired; make a new one".to_owned()
            }
            other => other.to_string(),
        };
        self.outbox.push(Event::PairingFailed { reason });
    }
}
