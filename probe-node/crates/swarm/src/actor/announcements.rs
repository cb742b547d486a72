//! Announcements: this node's own, and those of the other members, by gossip.

use super::state::Actor;
use crate::{identity, member_protocol, messages::Event, peer::ANNOUNCEMENT_RATE, wire};
use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance},
};
use sentinel_model::Announcement;

impl Actor {
    /// Announces the state of this node to all others.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.announcement = Some(announcement);
        self.publish_announcement();
    }

    fn publish_announcement(&mut self) {
        let (Some(log), Some(announcement)) = (&self.log, &self.announcement) else { return };
        let topic = member_protocol::topic(log.swarm());
        let payload = wire::encode(announcement);
        match self.member_protocols().gossipsub.publish(topic, payload) {
            Ok(_) | Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => tracing::debug!(%error, "An announcement was not sent"),
        }
    }

    pub(super) fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let acceptance = self.on_gossip_message(&message);
                let gossip = &mut self.member_protocols().gossipsub;
                gossip.report_message_validation_result(&message_id, &propagation_source, acceptance);
            }
            // The new subscriber may have missed what was announced since it was greeted.
            gossipsub::Event::Subscribed { .. } => self.publish_announcement(),
            _ => {}
        }
    }

    /// Accepts an announcement that is authored by a member and not older than its last one.
    ///
    /// Gossipsub has verified the author's signature, whichever node forwarded the message.
    fn on_gossip_message(&mut self, message: &gossipsub::Message) -> MessageAcceptance {
        let Some(author) = message.source.filter(|author| self.is_member(author)) else {
            // This node's membership log may be out of date, which is not the forwarder's fault.
            return MessageAcceptance::Ignore;
        };
        if !self.admits(&author, "announcements", ANNOUNCEMENT_RATE, |state| &mut state.announcements) {
            return MessageAcceptance::Ignore;
        }
        let Some(announcement) = wire::decode::<Announcement>(&message.data) else {
            return MessageAcceptance::Reject;
        };
        let previous = self.peers.get(&author).and_then(|peer| peer.announcement.as_ref());
        if previous.is_some_and(|previous| announcement.at < previous.at) {
            return MessageAcceptance::Ignore;
        }
        self.accept_announcement(&author, announcement);
        MessageAcceptance::Accept
    }

    /// Records a member's announcement, and passes it to the engine if it is a new one.
    pub(super) fn accept_announcement(&mut self, author: &PeerId, announcement: Announcement) {
        self.record_contact(author);
        let Some(peer) = self.peers.get_mut(author) else { return };
        if peer.announcement.as_ref() == Some(&announcement) {
            return;
        }
        peer.announcement = Some(announcement.clone());
        self.events.push(Event::Announced { node: identity::node_id(author), announcement });
    }
}
