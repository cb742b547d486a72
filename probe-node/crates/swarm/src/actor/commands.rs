//! The commands of the handle, and changes of the membership log by the owner.

use super::state::Actor;
use crate::{
    error::SwarmError,
    identity::{self, OWNER_FILE},
    membership::{Member, MembershipChange, MembershipError, MembershipLog, SwarmId},
    messages::{Command, Event, send_reply},
    name_answers::SharedAnswers,
    wire::WirePeer,
};
use sentinel_model::NodeId;

impl Actor {
    /// Carries out a command, except `Shutdown`, which the run loop handles.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Invite { ttl, reply } => send_reply(reply, self.invite(ttl)),
            Command::Accept { invitation, reply } => self.accept(invitation, reply),
            Command::Confirm { fingerprint, reply } => send_reply(reply, self.confirm(&fingerprint)),
            Command::Revoke { node, reply } => send_reply(reply, self.revoke(&node)),
            Command::Announce { announcement, reply } => {
                self.announce(announcement);
                // Fails only if the caller no longer waits.
                let _ = reply.send(());
            }
            Command::RequestAttestation { node, reply } => self.request_attestation(&node, reply),
            Command::ShareAnswers { answers } => {
                self.shared_answers = SharedAnswers::new(answers, self.now().boot);
            }
            Command::NetworkChanged => self.on_network_change(),
            Command::Shutdown { .. } => {}
        }
    }

    fn revoke(&mut self, node: &NodeId) -> Result<(), SwarmError> {
        let peer = identity::peer_id(node).filter(|peer| self.is_member(peer));
        let peer = peer.ok_or_else(|| SwarmError::NotMember(node.clone()))?;
        if peer == self.local.peer {
            return Err(SwarmError::CannotRevokeSelf);
        }
        self.change_membership(MembershipChange::Revoke { node: WirePeer(peer) })
    }

    /// Returns the swarm for which this node signs. Founds one if it belongs to none.
    pub(super) fn owned_swarm(&mut self) -> Result<SwarmId, SwarmError> {
        self.check_log_is_complete()?;
        if let Some(log) = &self.log {
            return if self.owner.is_some() { Ok(log.swarm()) } else { Err(self.not_owner()) };
        }
        let owner = identity::load_or_create(&self.local.state_dir, OWNER_FILE)?;
        let swarm = SwarmId::of(&owner.public()).ok_or(MembershipError::Malformed)?;
        let founder = Member {
            name: self.local.name.clone(),
            role: self.local.role,
            addresses: self.own_addresses(),
            relay: self.local.relay,
        };
        let mut log = MembershipLog::new(swarm);
        let change = MembershipChange::Add { node: WirePeer(self.local.peer), member: founder };
        let entry = log.sign_entry(&owner, self.now().wall, change)?;
        log.append(&entry)?;
        self.owner = Some(owner);
        self.log = Some(log);
        self.events.push(Event::MembershipEntry(entry));
        self.apply_membership();
        Ok(swarm)
    }

    /// Signs a change, adds it to the log, and sends it to the other members.
    pub(super) fn change_membership(&mut self, change: MembershipChange) -> Result<(), SwarmError> {
        self.check_log_is_complete()?;
        let at = self.now().wall;
        let (Some(owner), Some(log)) = (&self.owner, &mut self.log) else { return Err(self.not_owner()) };
        let entry = log.sign_entry(owner, at, change)?;
        log.append(&entry)?;
        self.events.push(Event::MembershipEntry(entry));
        self.apply_membership();
        self.greet_all();
        Ok(())
    }

    fn not_owner(&self) -> SwarmError {
        let founder = self.log.as_ref().and_then(MembershipLog::founder);
        SwarmError::NotOwner {
            owner: founder.map_or_else(|| "another node".to_owned(), |peer| self.name_of(peer)),
        }
    }
}
