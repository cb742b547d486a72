//! Members among themselves: greetings, the log's way from node to node, credentials, announcements.

use super::{Actor, testimony::Asked};
use crate::{
    credential::Grant,
    handle::Event,
    identity,
    membership::Log,
    protocol::{self, Hello, PAGE, Request, Response},
    wire,
};
use libp2p::{
    PeerId, gossipsub,
    gossipsub::MessageAcceptance,
    request_response::{self, Message, OutboundFailure},
};
use sentinel_model::Announcement;
use serde_bytes::ByteBuf;
use std::collections::HashSet;

impl Actor {
    /// Brings everything that follows from the log in line with it: who may connect, whom to look for, which topic.
    pub(super) fn membership_changed(&mut self) {
        let now = self.now().boot;
        let me = self.me.peer;
        let still_in = self.log.as_ref().is_some_and(|log| log.is_member(&me));
        let members: HashSet<PeerId> = match &self.log {
            Some(log) if still_in => log.members().keys().filter(|peer| **peer != me).copied().collect(),
            _ => HashSet::new(),
        };
        let gone: Vec<_> = self.peers.keys().filter(|peer| !members.contains(*peer)).copied().collect();
        for peer in gone {
            self.peers.remove(&peer);
            self.book().forget(&peer);
        }
        for peer in &members {
            self.peers.entry(*peer).or_default();
        }
        if let Some(log) = self.log.as_ref().filter(|_| still_in) {
            let topic = protocol::topic(log.swarm());
            let gossip = &mut self.network.behaviour_mut().gate.inner_mut().gossipsub;
            if let Err(error) = gossip.subscribe(&topic) {
                tracing::error!(%error, "cannot subscribe to the swarm's announcements");
            }
        } else if self.log.is_some() {
            tracing::warn!("this node was revoked; it stands alone now");
        }
        self.network.behaviour_mut().gate.set_members(members);
        for peer in self.peers.values_mut().filter(|peer| !peer.is_connected() && !peer.dialing) {
            peer.dial_at_once(now);
        }
        self.tend_connections();
    }

    /// Notes that something was heard from a member.
    pub(super) fn heard(&mut self, id: &PeerId) {
        let now = self.now().wall;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.last_heard = Some(now);
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            generation: self.log.as_ref().map_or(0, Log::generation),
            addresses: self.told_addresses(),
            relay: self.me.relay,
            announcement: self.announcement.clone(),
        }
    }

    /// Tells a member how things are here, and hears how they are there.
    pub(super) fn greet(&mut self, peer: &PeerId) {
        let hello = self.hello();
        self.request(peer, Request::Hello(hello), Asked::Hello);
    }

    /// Greets every connected member.
    pub(super) fn greet_all(&mut self) {
        let connected: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_connected()).map(|(id, _)| *id).collect();
        for peer in connected {
            self.greet(&peer);
        }
    }

    pub(super) fn request(&mut self, peer: &PeerId, request: Request, asked: Asked) {
        let id = self.network.behaviour_mut().gate.inner_mut().witness.send_request(peer, request);
        self.asked.insert(id, asked);
    }

    pub(super) fn on_witness(&mut self, event: request_response::Event<Request, Response>) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                self.heard(&peer);
                let Some(response) = self.respond(&peer, request) else { return };
                let witness = &mut self.network.behaviour_mut().gate.inner_mut().witness;
                if witness.send_response(channel, response).is_err() {
                    tracing::debug!(%peer, "asked, and gone before the answer");
                }
            }
            request_response::Event::Message {
                peer,
                message: Message::Response { request_id, response },
                ..
            } => {
                self.heard(&peer);
                if let Some(asked) = self.asked.remove(&request_id) {
                    self.on_response(&peer, asked, response);
                }
            }
            request_response::Event::OutboundFailure { peer, connection_id, request_id, error } => {
                tracing::debug!(%peer, %error, "no answer");
                if let Some(asked) = self.asked.remove(&request_id) {
                    self.unanswered(&peer, asked, &error);
                }
                if matches!(error, OutboundFailure::Timeout) {
                    // A witness answers from memory: whoever does not is behind a connection that has died.
                    self.network.close_connection(connection_id);
                }
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {
            }
        }
    }

    fn respond(&mut self, peer: &PeerId, request: Request) -> Option<Response> {
        match request {
            Request::Hello(hello) => {
                self.on_hello(peer, hello);
                Some(Response::Hello(self.hello()))
            }
            Request::Entries { after } => {
                let page = self.log.as_ref()?.entries_after(after, PAGE);
                Some(Response::Entries(page.cloned().map(ByteBuf::from).collect()))
            }
            Request::Credential => Some(Response::Credential(self.grant(peer))),
            Request::Attest { challenge } => self.testify(peer, challenge).map(Response::Attested),
        }
    }

    fn on_response(&mut self, peer: &PeerId, asked: Asked, response: Response) {
        match (asked, response) {
            (Asked::Hello, Response::Hello(hello)) => self.on_hello(peer, hello),
            (Asked::Entries, Response::Entries(entries)) => self.on_entries(peer, &entries),
            (Asked::Credential, Response::Credential(grant)) => self.on_grant(peer, grant),
            (Asked::Attestation { challenge, reply }, Response::Attested(signed)) => {
                self.on_attested(peer, challenge, &signed, reply);
            }
            (asked, _) => {
                tracing::debug!(%peer, ?asked, "an answer to another question");
                self.unanswered(peer, asked, &OutboundFailure::UnsupportedProtocols);
            }
        }
    }

    fn on_hello(&mut self, id: &PeerId, hello: Hello) {
        let now = self.now().boot;
        let Some(peer) = self.peers.get_mut(id) else { return };
        peer.proved(now);
        if wire::addresses_are_sane(&hello.addresses) {
            peer.told = hello.addresses;
        }
        peer.relays = hello.relay;
        if peer.relays && peer.is_direct() {
            // A new way to everybody who is not connected yet.
            for other in self.peers.values_mut().filter(|other| !other.is_connected()) {
                other.dial_at_once(now);
            }
        }
        if let Some(announcement) = hello.announcement {
            // Said by the node itself, over its own connection: it is the latest, whatever its clock says.
            self.take_announcement(id, announcement);
        }
        self.catch_up(id, hello.generation);
    }

    /// Asks for the entries a member has and this node does not.
    fn catch_up(&mut self, id: &PeerId, theirs: u64) {
        let Some(ours) = self.log.as_ref().map(Log::generation) else { return };
        if theirs > ours {
            self.request(id, Request::Entries { after: ours }, Asked::Entries);
        }
    }

    fn on_entries(&mut self, from: &PeerId, entries: &[ByteBuf]) {
        let Some(log) = &mut self.log else { return };
        let before = log.generation();
        for entry in entries.iter().take(PAGE) {
            if let Err(error) = log.append(entry) {
                tracing::warn!(%from, %error, "an entry of the list of members was refused");
                break;
            }
            self.outbox.push(Event::Membership(entry.to_vec()));
        }
        let after = log.generation();
        if after == before {
            return;
        }
        let may_have_more = entries.len() >= PAGE;
        self.membership_changed();
        self.greet_all();
        if may_have_more {
            self.catch_up(from, after.saturating_add(1));
        }
    }

    /// Asks a witness for a credential.
    pub(super) fn ask_credential(&mut self, id: &PeerId) {
        let now = self.now().boot;
        if let Some(peer) = self.peers.get_mut(id) {
            // Should no answer come, a minute is soon enough to ask again.
            peer.next_credential = now.after(sentinel_model::Millis::secs(60));
            self.request(id, Request::Credential, Asked::Credential);
        }
    }

    fn grant(&self, peer: &PeerId) -> Option<Grant> {
        if self.me.stun.is_empty() && self.me.canary_zone.is_none() {
            return None;
        }
        match self.book().issue(*peer, self.now().boot) {
            Ok((username, password, valid_for)) => Some(Grant {
                username,
                password,
                valid_for,
                stun: self.me.stun.clone(),
                canary_zone: self.me.canary_zone.clone(),
            }),
            Err(error) => {
                tracing::error!(%error, "no random numbers for a credential");
                None
            }
        }
    }

    fn on_grant(&mut self, id: &PeerId, grant: Option<Grant>) {
        let now = self.now().boot;
        let Some(peer) = self.peers.get_mut(id) else { return };
        match grant {
            Some(grant) if grant.stun.len() <= wire::MAX_ADDRESSES => peer.hold(grant, now),
            Some(_) => tracing::warn!(peer = %id, "a credential with too many addresses was refused"),
            None => peer.credential = None,
        }
    }

    /// Renews credentials in good time and forgets those that no longer work.
    pub(super) fn tend_credentials(&mut self) {
        let now = self.now().boot;
        for peer in self.peers.values_mut() {
            if peer.credential.as_ref().is_some_and(|held| held.until <= now) {
                peer.credential = None;
            }
        }
        let due = self.peers.iter().filter(|(_, peer)| peer.is_connected() && peer.next_credential <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ask_credential(&id);
        }
    }

    /// Tells all others how this node is.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.announcement = Some(announcement);
        self.publish_announcement();
    }

    fn publish_announcement(&mut self) {
        let (Some(log), Some(announcement)) = (&self.log, &self.announcement) else { return };
        let topic = protocol::topic(log.swarm());
        let payload = wire::encode(announcement);
        let gossip = &mut self.network.behaviour_mut().gate.inner_mut().gossipsub;
        match gossip.publish(topic, payload) {
            Ok(_) | Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => tracing::debug!(%error, "announcement not sent"),
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let acceptance = self.on_gossip_message(&message);
                let gossip = &mut self.network.behaviour_mut().gate.inner_mut().gossipsub;
                gossip.report_message_validation_result(&message_id, &propagation_source, acceptance);
            }
            // Whoever subscribes only now may have missed what was announced since it was greeted.
            gossipsub::Event::Subscribed { .. } => self.publish_announcement(),
            _ => {}
        }
    }

    /// Takes an announcement in if a member made it; it was signed by its author, whoever passed it on.
    fn on_gossip_message(&mut self, message: &gossipsub::Message) -> MessageAcceptance {
        let Some(author) = message.source.filter(|author| self.is_member(author)) else {
            // Perhaps the list of members is behind here; that is not the fault of whoever passed it on.
            return MessageAcceptance::Ignore;
        };
        let Some(announcement) = wire::decode::<Announcement>(&message.data) else {
            return MessageAcceptance::Reject;
        };
        let known = self.peers.get(&author).and_then(|peer| peer.announced.as_ref());
        if known.is_some_and(|known| announcement.at < known.at) {
            return MessageAcceptance::Ignore;
        }
        self.take_announcement(&author, announcement);
        MessageAcceptance::Accept
    }

    fn take_announcement(&mut self, author: &PeerId, announcement: Announcement) {
        self.heard(author);
        let Some(peer) = self.peers.get_mut(author) else { return };
        if peer.announced.as_ref() == Some(&announcement) {
            return;
        }
        peer.announced = Some(announcement.clone());
        self.outbox.push(Event::Announced { node: identity::node_id(author), announcement });
    }
}
