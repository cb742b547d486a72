//! Announcements: this node's own, and those of the other members, by gossip.

use super::state::Actor;
use crate::{
    announcement_order::{AnnouncementOrder, OrderedAnnouncement},
    identity, member_protocol,
    membership::MembershipLog,
    messages::Event,
    peer::ANNOUNCEMENT_RATE,
    private_file,
    rate_limiter::Rate,
    wire,
};
use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance, TopicHash},
};
use sentinel_model::Announcement;
use std::time::Duration;
use tokio::{task::spawn_blocking, time::Instant};

/// The rate at which this node announces. Others accept a little more.
const OWN_RATE: Rate = Rate { per_second: 2, burst: 2 };
/// How long an announcement over this rate waits. Of several that wait only the last is sent.
const DELAY: Duration = Duration::from_millis(500);

impl Actor {
    /// Announces the state of this node to all others.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.counters.announcements = self.counters.announcements.saturating_add(1);
        let order = AnnouncementOrder { boot: self.local.boot, seq: self.counters.announcements };
        let leaving = announcement.leaving;
        self.announcement = Some(OrderedAnnouncement::new(announcement, Some(order)));
        let now = self.now().boot;
        if self.own_announcements.admits(OWN_RATE, now) || leaving {
            self.publish_announcement();
        } else {
            self.announce_at.get_or_insert_with(|| Instant::now() + DELAY);
        }
    }

    /// Publishes the announcement that was held back, now that it is within the rate.
    pub(super) fn publish_held_back_announcement(&mut self) {
        let now = self.now().boot;
        self.own_announcements.admits(OWN_RATE, now);
        self.publish_announcement();
    }

    /// Publishes the last announcement.
    fn publish_announcement(&mut self) {
        self.announce_at = None;
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
            gossipsub::Event::Subscribed { peer_id, topic } => self.on_subscribed(peer_id, &topic),
            _ => {}
        }
    }

    /// Plans a greeting for a new subscriber, which may have missed what was announced before.
    ///
    /// One that subscribes again and again is greeted once per tick.
    fn on_subscribed(&mut self, subscriber: PeerId, topic: &TopicHash) {
        let ours = self.log.as_ref().map(MembershipLog::swarm).map(member_protocol::topic);
        if ours.is_some_and(|ours| ours.hash() == *topic)
            && let Some(peer) = self.peers.get_mut(&subscriber)
        {
            peer.greeting_due = true;
        }
    }

    /// Greets the members that subscribed since the last tick.
    pub(super) fn greet_subscribers(&mut self) {
        let due = self.peers.iter_mut().filter(|(_, peer)| peer.is_connected());
        let due: Vec<_> =
            due.filter_map(|(id, peer)| std::mem::take(&mut peer.greeting_due).then_some(*id)).collect();
        if self.announcement.is_some() {
            for id in due {
                self.greet(&id);
            }
        }
    }

    /// Accepts an announcement that is authored by a member and newer than its last one.
    ///
    /// Gossipsub has verified the author's signature, whichever node forwarded the message.
    fn on_gossip_message(&mut self, message: &gossipsub::Message) -> MessageAcceptance {
        let Some(author) = message.source.filter(|author| self.is_member(author)) else {
            // This node's membership log may be out of date, which is not the forwarder's fault.
            return MessageAcceptance::Ignore;
        };
        let Some(announcement) = wire::decode::<OrderedAnnouncement>(&message.data) else {
            return MessageAcceptance::Reject;
        };
        let Some(peer) = self.peers.get(&author) else { return MessageAcceptance::Ignore };
        // Old ones come first, so that whoever repeats them does not use up the author's rate.
        if !self.marks.admits_gossip(&author, peer.announcement.as_ref(), &announcement)
            || !self.admits(&author, "announcements", ANNOUNCEMENT_RATE, |state| &mut state.announcements)
        {
            return MessageAcceptance::Ignore;
        }
        self.record_announcement(&author, announcement, true);
        MessageAcceptance::Accept
    }

    /// Accepts an announcement that a member sent over its own connection, if it is a new one.
    pub(super) fn on_direct_announcement(&mut self, author: &PeerId, announcement: OrderedAnnouncement) {
        let Some(peer) = self.peers.get(author) else { return };
        let is_unknown = peer.announcement.is_none();
        let is_new = self.marks.admits_direct(author, peer.announcement.as_ref(), &announcement);
        // One from before this node's last restart is still the author's state, but no sign of
        // life.
        if is_new || (is_unknown && self.marks.is_latest(author, &announcement)) {
            self.record_announcement(author, announcement, is_new);
        }
    }

    /// Records a member's announcement, by which it is heard if it is new, and passes it to the
    /// engine.
    ///
    /// Nothing else counts as hearing a member: its transport may respond while its engine hangs.
    fn record_announcement(&mut self, author: &PeerId, announcement: OrderedAnnouncement, is_new: bool) {
        let now = self.now().wall;
        let Some(peer) = self.peers.get_mut(author) else { return };
        let announcement = announcement.into_announcement();
        if is_new {
            peer.last_heard = Some(now);
        }
        peer.announcement = Some(announcement.clone());
        self.events.push(Event::Announced { node: identity::node_id(author), announcement });
    }

    /// Stores the marks of the announcements that were accepted since the last call.
    pub(super) fn store_marks(&mut self) {
        if self.storing_marks.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some((file, content)) = self.marks.take_changes() else { return };
        self.storing_marks = Some(spawn_blocking(move || {
            if let Err(error) = private_file::replace(&file, &content) {
                tracing::warn!(path = %file.display(), %error, "Cannot store the announcement marks");
            }
        }));
    }
}
