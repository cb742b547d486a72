//! What the handle asks for.

use super::{Actor, joining::Joining};
use crate::{
    addresses,
    answers::OwnAnswers,
    error::SwarmError,
    handle::{Ask, Event, Reply},
    identity::{self, OWNER_FILE},
    invitation::{Invitation, Secret},
    membership::{Change, Log, LogError, Member, SwarmId},
    pairing::MAX_OFFERS,
    wire::WirePeer,
};
use libp2p::PeerId;
use sentinel_model::{Millis, NodeId, Timestamp};

impl Actor {
    pub(super) fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Invite { ttl, reply } => answer(reply, self.invite(ttl)),
            Ask::Accept { invitation, reply } => self.accept(invitation, reply),
            Ask::Confirm { fingerprint, reply } => answer(reply, self.confirm(&fingerprint)),
            Ask::Revoke { node, reply } => answer(reply, self.revoke(&node)),
            Ask::Announce { announcement, reply } => {
                self.announce(announcement);
                // Whoever asked may have stopped waiting.
                let _ = reply.send(());
            }
            Ask::Attest { node, reply } => self.ask_attestation(&node, reply),
            Ask::Answers { answers } => self.own_answers = OwnAnswers::new(answers, self.now().boot),
            Ask::NetworkChanged => self.network_changed(),
            // The run loop takes this one.
            Ask::Shutdown { .. } => {}
        }
    }

    fn invite(&mut self, ttl: Millis) -> Result<(String, Timestamp), SwarmError> {
        if self.joining.is_some() {
            return Err(SwarmError::AlreadyJoining);
        }
        let listening: Vec<_> = self.network.listeners().cloned().collect();
        let addresses = addresses::for_invitation(&self.me.external, &listening);
        if addresses.is_empty() {
            return Err(SwarmError::NoAddress);
        }
        let swarm = self.own_swarm()?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)?;
        let secret = Secret(secret);
        let now = self.now().wall;
        let expires = Timestamp(now.0.saturating_add(i64::try_from(ttl.0).unwrap_or(i64::MAX)));
        if !self.door.open(secret, expires, now) {
            return Err(SwarmError::TooManyInvitations(MAX_OFFERS));
        }
        self.tend_door();
        let invitation = Invitation { swarm, inviter: self.me.peer, addresses, secret, expires };
        Ok((invitation.to_string(), expires))
    }

    /// The swarm this node signs for; founds one if it belongs to none.
    fn own_swarm(&mut self) -> Result<SwarmId, SwarmError> {
        if let Some(log) = &self.log {
            return if self.owner.is_some() { Ok(log.swarm()) } else { Err(self.not_owner()) };
        }
        let owner = identity::load_or_create(&self.me.state_dir, OWNER_FILE)?;
        let swarm = SwarmId::of(&owner.public()).ok_or(LogError::Garbled)?;
        let me = Member {
            name: self.me.name.clone(),
            role: self.me.role,
            addresses: self.told_addresses(),
            relay: self.me.relay,
        };
        let mut log = Log::new(swarm);
        let change = Change::Add { node: WirePeer(self.me.peer), member: me };
        let entry = log.sign(&owner, self.now().wall, change)?;
        log.append(&entry)?;
        self.owner = Some(owner);
        self.log = Some(log);
        self.outbox.push(Event::Membership(entry));
        self.membership_changed();
        Ok(swarm)
    }

    fn not_owner(&self) -> SwarmError {
        let founder = self.log.as_ref().and_then(Log::founder);
        SwarmError::NotOwner {
            owner: founder.map_or_else(|| "another node".to_owned(), |peer| self.name_of(peer)),
        }
    }

    fn accept(&mut self, invitation: Invitation, reply: Reply<String>) {
        let now = self.now();
        let others = self.log.as_ref().map_or(0, |log| log.members().len().saturating_sub(1));
        let refusal = if let Err(error) = invitation.check(now.wall) {
            error.into()
        } else if self.joining.is_some() {
            SwarmError::AlreadyJoining
        } else if others > 0 || self.log.as_ref().is_some_and(|log| log.swarm() == invitation.swarm) {
            SwarmError::AlreadyMember { others }
        } else {
            self.joining = Some(Joining::new(invitation, &self.me.peer, Some(reply), now.boot));
            self.tend_joining();
            return;
        };
        answer(reply, Err(refusal));
    }

    fn confirm(&mut self, fingerprint: &str) -> Result<NodeId, SwarmError> {
        let now = self.now().wall;
        let guest = self.door.find(fingerprint, now).cloned();
        let guest = guest.ok_or_else(|| SwarmError::NobodyWaiting(fingerprint.to_owned()))?;
        let change = Change::Add { node: WirePeer(guest.peer), member: guest.member.clone() };
        self.sign(change)?;
        self.door.admit(&guest.peer);
        self.tend_door();
        let node = identity::node_id(&guest.peer);
        self.outbox.push(Event::Confirmed { node: node.clone(), name: guest.member.name });
        Ok(node)
    }

    fn revoke(&mut self, node: &NodeId) -> Result<(), SwarmError> {
        let peer = identity::peer_id(node).filter(|peer| self.is_member(peer));
        let peer = peer.ok_or_else(|| SwarmError::NotMember(node.clone()))?;
        if peer == self.me.peer {
            return Err(SwarmError::RevokesItself);
        }
        self.sign(Change::Revoke { node: WirePeer(peer) })
    }

    /// Signs a change, takes it in and tells the others.
    fn sign(&mut self, change: Change) -> Result<(), SwarmError> {
        let at = self.now().wall;
        let (Some(owner), Some(log)) = (&self.owner, &mut self.log) else { return Err(self.not_owner()) };
        let entry = log.sign(owner, at, change)?;
        log.append(&entry)?;
        self.outbox.push(Event::Membership(entry));
        self.membership_changed();
        self.greet_all();
        Ok(())
    }

    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_member(peer))
    }
}

/// Sends an answer. Whoever asked may have stopped waiting, which is no fault.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T, SwarmError>) {
    let _ = reply.send(result);
}
