//! The actor: one task that owns the node's network and all of its state.
//!
//! It waits for six things at once, and handles each without waiting for anything else:
//!
//! 1. a command from the handle (`commands`, `inviting`, `joining`);
//! 2. an event of the network (`connections`, `members`, `announcements`, `attestations`,
//!    `grants`);
//! 3. room in the event channel to the engine;
//! 4. the tick, on which due dials, renewals and expiries are checked;
//! 5. the time at which an announcement that was held back is due;
//! 6. the end of a responder task, which is an error.
//!
//! After each it publishes what changed. Events of the network that wait already are handled
//! together, since publishing means to look at all nodes.

mod announcements;
mod attestations;
mod commands;
mod connections;
mod grants;
mod inviting;
mod joining;
mod members;
pub(crate) mod state;

use crate::{
    announcement_order::OrderedAnnouncement, membership::MembershipLog, messages::Command,
    stored_log::LogDamage, view,
};
use futures::{FutureExt, StreamExt};
use libp2p::identity::Keypair;
use sentinel_model::SwarmView;
use state::Actor;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// The interval at which due dials, renewals and expiries are checked.
const TICK: Duration = Duration::from_secs(1);
/// The most events of the network that are handled before the state is published.
const MAX_EVENTS_AT_ONCE: usize = 64;
/// How long to wait at the start until every listener has an address.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long pending messages have to go out at shutdown.
const DRAIN_TIME: Duration = Duration::from_millis(150);
/// How long the connections then have to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

impl Actor {
    /// Restores what was known before this run, and publishes it.
    pub(crate) fn restore(
        &mut self,
        log: Option<MembershipLog>,
        damage: Option<LogDamage>,
        owner: Option<Keypair>,
    ) {
        self.owner = owner;
        self.log = log;
        self.log_damage = damage;
        self.apply_membership();
        self.publish();
    }

    /// Runs until the last handle is gone or a shutdown is requested.
    pub(crate) async fn run(mut self) {
        self.wait_for_listeners().await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.channels.events.clone();
        loop {
            tokio::select! {
                command = self.channels.inbox.recv() => match command {
                    Some(Command::Shutdown { reply }) => {
                        self.close().await;
                        // Fails only if the caller no longer waits.
                        let _ = reply.send(());
                        return;
                    }
                    Some(command) => self.on_command(command),
                    None => return,
                },
                event = self.network.select_next_some() => {
                    self.on_network_event(event);
                    self.handle_waiting_events();
                }
                permit = events.reserve(), if !self.events.is_empty() => match (permit, self.events.pop()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    // The engine dropped its receiver.
                    _ => self.events.clear(),
                },
                _ = tick.tick() => self.on_tick(),
                () = sleep_until(self.announce_at.unwrap_or_else(Instant::now)), if self.announce_at.is_some() => {
                    self.publish_held_back_announcement();
                }
                Some(ended) = self.responders.join_next() => {
                    tracing::error!(
                        ?ended,
                        "The STUN responder or the canary zone stopped; restart this node to serve it again"
                    );
                }
            }
            self.publish();
        }
    }

    /// Handles the events of the network that wait already, up to a limit.
    fn handle_waiting_events(&mut self) {
        for _ in 0..MAX_EVENTS_AT_ONCE {
            let Some(Some(event)) = self.network.next().now_or_never() else { return };
            self.on_network_event(event);
        }
    }

    /// Waits until every listener has an address, so that an invitation can name it.
    async fn wait_for_listeners(&mut self) {
        let expected = self.local.listener_count;
        let listening = async {
            while self.network.listeners().count() < expected {
                let event = self.network.select_next_some().await;
                self.on_network_event(event);
            }
        };
        // A node without a network must start all the same.
        if timeout(LISTEN_TIMEOUT, listening).await.is_err() {
            tracing::warn!("This node does not listen on every configured address yet");
        }
    }

    /// Lets pending messages go out, then closes every connection.
    async fn close(&mut self) {
        let drain = async {
            loop {
                let event = self.network.select_next_some().await;
                self.on_network_event(event);
            }
        };
        // Always ends by the timeout. Meanwhile, the connections send what is pending.
        let _ = timeout(DRAIN_TIME, drain).await;
        self.store_marks();
        let connected: Vec<_> = self.network.connected_peers().copied().collect();
        for peer in connected {
            // Fails only if the connection closed in the meantime.
            let _ = self.network.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.network.network_info().num_peers() > 0 {
                self.network.select_next_some().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::debug!("Some connections did not close in time");
        }
        if let Some(storing) = self.storing_marks.take() {
            // The task reports its own errors.
            let _ = timeout(CLOSE_TIMEOUT, storing).await;
        }
    }

    fn on_tick(&mut self) {
        self.update_pairing_access();
        self.continue_joining();
        self.maintain_connections();
        self.renew_grants();
        self.greet_subscribers();
        self.store_marks();
    }

    /// Publishes the view and the witnesses if they changed.
    fn publish(&mut self) {
        let now = self.now();
        let local = view::LocalView {
            peer: &self.local.peer,
            name: &self.local.name,
            role: self.local.role,
            announcement: self.announcement.clone().map(OrderedAnnouncement::into_announcement),
        };
        let current = SwarmView {
            nodes: view::node_views(&local, self.log.as_ref(), &self.peers),
            pending: self.pairing_desk.pending_nodes(now.boot),
            rejected_attestations: self.counters.attestations_rejected,
            refused_peers: self.counters.peers_refused,
        };
        self.channels.view.send_if_modified(|published| replace_if_changed(published, current));
        let witnesses = view::witnesses(&self.local.peer, self.log.as_ref(), &self.peers);
        self.channels.witnesses.send_if_modified(|published| replace_if_changed(published, witnesses));
    }
}

/// Replaces a value. Returns true if it changed.
fn replace_if_changed<T: PartialEq>(published: &mut T, new: T) -> bool {
    let changed = *published != new;
    if changed {
        *published = new;
    }
    changed
}
