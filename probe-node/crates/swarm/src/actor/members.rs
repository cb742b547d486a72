//! The exchange between members: requests, greetings, and the entries of the membership log.

use super::state::{Actor, InFlightRequest};
use crate::{
    member_protocol::{self, Hello, MAX_ENTRIES_PER_RESPONSE, MemberRequest, MemberResponse},
    membership::MembershipLog,
    messages::Event,
    peer::{PeerState, REQUEST_RATE},
    rate_limiter::{Rate, TokenBucket},
    wire,
};
use libp2p::{
    PeerId,
    request_response::{self, Message, OutboundFailure},
};
use sentinel_model::Millis;
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;

/// How often it is logged that a member exceeds a rate, at most.
const THROTTLING_LOG_INTERVAL: Millis = Millis::secs(60);

impl Actor {
    /// Applies the membership log: to the gate, the list of peers, and the topic of announcements.
    pub(super) fn apply_membership(&mut self) {
        let now = self.now().boot;
        let me = self.local.peer;
        // A node that lost the entry about itself still gets it from the members that it knows.
        let log = self.log.as_ref().filter(|log| !log.is_revoked(&me));
        let swarm = log.map(MembershipLog::swarm);
        let members: BTreeSet<PeerId> = match log {
            Some(log) => log.members().keys().filter(|peer| **peer != me).copied().collect(),
            None => BTreeSet::new(),
        };
        let removed: Vec<_> = self.peers.keys().filter(|peer| !members.contains(*peer)).copied().collect();
        for peer in removed {
            self.peers.remove(&peer);
            self.responder_state().remove_member(&peer);
        }
        if self.log.is_some() {
            self.marks.retain(&members);
        }
        for peer in &members {
            self.peers.entry(*peer).or_default();
        }
        if let Some(swarm) = swarm {
            let topic = member_protocol::topic(swarm);
            if let Err(error) = self.member_protocols().gossipsub.subscribe(&topic) {
                tracing::error!(%error, "Cannot subscribe to the announcements of the swarm");
            }
        } else if self.log.is_some() {
            tracing::warn!("This node was revoked and no longer belongs to the swarm");
        }
        self.network.behaviour_mut().gate.set_members(members.into_iter().collect());
        for peer in self.peers.values_mut().filter(|peer| !peer.is_connected() && !peer.dialing) {
            peer.dial_at_once(now);
        }
        self.maintain_connections();
    }

    pub(super) fn send_request(&mut self, peer: &PeerId, request: MemberRequest, in_flight: InFlightRequest) {
        let id = self.member_protocols().requests.send_request(peer, request);
        self.requests.insert(id, in_flight);
    }

    pub(super) fn on_member_event(&mut self, event: request_response::Event<MemberRequest, MemberResponse>) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                if !self.admits(&peer, "requests", REQUEST_RATE, |state| &mut state.requests) {
                    return;
                }
                let Some(response) = self.respond_to_member(&peer, request) else { return };
                if self.member_protocols().requests.send_response(channel, response).is_err() {
                    tracing::debug!(%peer, "A member disconnected before its request was answered");
                }
            }
            request_response::Event::Message {
                peer,
                message: Message::Response { request_id, response },
                ..
            } => {
                if let Some(request) = self.requests.remove(&request_id) {
                    self.on_member_response(&peer, request, response);
                }
            }
            request_response::Event::OutboundFailure { peer, connection_id, request_id, error } => {
                tracing::debug!(%peer, %error, "A member did not answer a request");
                if let Some(request) = self.requests.remove(&request_id) {
                    self.on_request_failed(&peer, request, &error);
                }
                if matches!(error, OutboundFailure::Timeout) {
                    // Members respond from memory, so a timeout means that the connection is dead.
                    self.network.close_connection(connection_id);
                }
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {
            }
        }
    }

    /// Counts something that a member sent. Returns false if it sends too much, and logs that.
    pub(super) fn admits(
        &mut self,
        id: &PeerId,
        what: &'static str,
        rate: Rate,
        bucket: fn(&mut PeerState) -> &mut TokenBucket,
    ) -> bool {
        let (now, name) = (self.now().boot, self.name_of(id));
        let Some(peer) = self.peers.get_mut(id) else { return false };
        if bucket(peer).admits(rate, now) {
            return true;
        }
        if peer.throttling_logged_at.is_none_or(|at| now.since(at) >= THROTTLING_LOG_INTERVAL) {
            peer.throttling_logged_at = Some(now);
            tracing::warn!(member = %name, per_second = rate.per_second, "A member sends too many {what}; the surplus is dropped");
        }
        false
    }

    fn respond_to_member(&mut self, peer: &PeerId, request: MemberRequest) -> Option<MemberResponse> {
        match request {
            MemberRequest::Hello(hello) => {
                self.on_hello(peer, hello);
                Some(MemberResponse::Hello(self.hello()))
            }
            MemberRequest::Entries { after } => {
                let page = self.log.as_ref()?.entries_after(after, MAX_ENTRIES_PER_RESPONSE);
                Some(MemberResponse::Entries(page.cloned().map(ByteBuf::from).collect()))
            }
            MemberRequest::Credential => Some(MemberResponse::Credential(self.issue_grant(peer))),
            MemberRequest::Attest { challenge } => {
                self.sign_attestation(peer, challenge).map(MemberResponse::Attestation)
            }
        }
    }

    fn on_member_response(&mut self, peer: &PeerId, request: InFlightRequest, response: MemberResponse) {
        match (request, response) {
            (InFlightRequest::Hello, MemberResponse::Hello(hello)) => self.on_hello(peer, hello),
            (InFlightRequest::Entries, MemberResponse::Entries(entries)) => self.on_entries(peer, &entries),
            (InFlightRequest::Credential, MemberResponse::Credential(grant)) => self.on_grant(peer, grant),
            (
                InFlightRequest::Attestation { challenge, requested_at, reply },
                MemberResponse::Attestation(signed),
            ) => self.on_attestation(peer, (challenge, requested_at), &signed, reply),
            (request, _) => {
                tracing::debug!(%peer, ?request, "A member sent a response of another kind");
                self.on_request_failed(peer, request, &OutboundFailure::UnsupportedProtocols);
            }
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            generation: self.log.as_ref().map_or(0, MembershipLog::generation),
            addresses: self.own_addresses(),
            relay: self.local.relay,
            announcement: self.announcement.clone(),
        }
    }

    /// Sends the state of this node to a member, which responds with its own.
    pub(super) fn greet(&mut self, peer: &PeerId) {
        let hello = self.hello();
        self.send_request(peer, MemberRequest::Hello(hello), InFlightRequest::Hello);
    }

    /// Greets every connected member.
    pub(super) fn greet_all(&mut self) {
        let connected: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_connected()).map(|(id, _)| *id).collect();
        for peer in connected {
            self.greet(&peer);
        }
    }

    fn on_hello(&mut self, id: &PeerId, hello: Hello) {
        let now = self.now().boot;
        let Some(peer) = self.peers.get_mut(id) else { return };
        peer.confirm_connection(now);
        if wire::addresses_within_limits(&hello.addresses) {
            peer.reported_addresses = hello.addresses;
        }
        peer.is_relay = hello.relay;
        if peer.is_relay && peer.is_direct() {
            // Members that are not connected may be reachable through this relay.
            for other in self.peers.values_mut().filter(|other| !other.is_connected()) {
                other.dial_at_once(now);
            }
        }
        if let Some(announcement) = hello.announcement {
            self.on_direct_announcement(id, announcement);
        }
        self.request_missing_entries(id, hello.generation);
    }

    /// Requests the log entries that a member has and this node lacks.
    fn request_missing_entries(&mut self, id: &PeerId, theirs: u64) {
        let Some(ours) = self.log.as_ref().map(MembershipLog::generation) else { return };
        if theirs > ours {
            self.send_request(id, MemberRequest::Entries { after: ours }, InFlightRequest::Entries);
        }
    }

    fn on_entries(&mut self, from: &PeerId, entries: &[ByteBuf]) {
        let Some(log) = &mut self.log else { return };
        let before = log.generation();
        for entry in entries.iter().take(MAX_ENTRIES_PER_RESPONSE) {
            if let Err(error) = log.append(entry) {
                tracing::warn!(%from, %error, "An entry of the membership log was refused");
                break;
            }
            self.events.push(Event::MembershipEntry(entry.to_vec()));
        }
        let after = log.generation();
        if after == before {
            return;
        }
        let may_have_more = entries.len() >= MAX_ENTRIES_PER_RESPONSE;
        self.apply_membership();
        self.greet_all();
        if may_have_more {
            self.request_missing_entries(from, after.saturating_add(1));
        }
    }
}
