//! Witness grants: issued to members that ask, and requested from the other members.

use super::state::{Actor, InFlightRequest};
use crate::{
    member_protocol::{MemberRequest, WitnessGrant},
    wire,
};
use libp2p::PeerId;
use sentinel_model::Millis;

/// When to ask again if a member does not answer a request for a grant.
const RETRY_INTERVAL: Millis = Millis::secs(60);

impl Actor {
    /// Requests a grant from a member.
    pub(super) fn request_grant(&mut self, id: &PeerId) {
        let now = self.now().boot;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.next_grant_request = now.after(RETRY_INTERVAL);
            self.send_request(id, MemberRequest::Credential, InFlightRequest::Credential);
        }
    }

    /// Issues a grant to a member, or returns `None` if this node is not a witness.
    pub(super) fn issue_grant(&self, peer: &PeerId) -> Option<WitnessGrant> {
        if self.local.stun.is_empty() && self.local.canary_zone.is_none() {
            return None;
        }
        match self.responder_state().issue_credential(*peer, self.now().boot) {
            Ok(credential) => Some(WitnessGrant {
                username: credential.username,
                password: credential.password,
                valid_for: credential.valid_for,
                stun: self.local.stun.clone(),
                canary_zone: self.local.canary_zone.clone(),
            }),
            Err(error) => {
                tracing::error!(%error, "The operating system returned no random numbers for a credential");
                None
            }
        }
    }

    pub(super) fn on_grant(&mut self, id: &PeerId, grant: Option<WitnessGrant>) {
        let now = self.now().boot;
        let Some(peer) = self.peers.get_mut(id) else { return };
        match grant {
            Some(grant) if grant.stun.len() <= wire::MAX_ADDRESSES => peer.keep_grant(grant, now),
            Some(_) => tracing::warn!(peer = %id, "A grant with too many addresses was refused"),
            None => peer.witness_grant = None,
        }
    }

    /// Removes expired grants, and requests new ones in time.
    pub(super) fn renew_grants(&mut self) {
        let now = self.now().boot;
        for peer in self.peers.values_mut() {
            if peer.witness_grant.as_ref().is_some_and(|held| held.expires <= now) {
                peer.witness_grant = None;
            }
        }
        let due = self.peers.iter().filter(|(_, peer)| peer.is_connected() && peer.next_grant_request <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.request_grant(&id);
        }
    }
}
