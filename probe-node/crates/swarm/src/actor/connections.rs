//! Connections: the network's events, dialing, reservations at relays, and surplus connections.

use super::state::{Actor, PairingConnection};
use crate::{
    addresses::{circuit, ip_of, is_relayed, is_worth_dialing},
    behaviour::{BehaviourEvent, MemberProtocolsEvent},
    gate::NotMember,
    membership::MembershipLog,
    naming_transport::find_name_error,
    peer::Connection,
};
use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    ping,
    swarm::{
        ConnectionId, DialError, ListenError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use sentinel_model::{Millis, Monotonic};

/// The most relays at which a node behind a router has a reservation.
const MAX_RESERVATIONS: usize = 3;
/// How long a surplus connection to a peer is kept.
///
/// Both sides may have dialed at once, and requests may be in flight on either connection.
const SURPLUS_GRACE: Millis = Millis::secs(10);
/// How long a connection must have lasted to be dialed again at once when it is lost.
///
/// One that was closed sooner would probably be closed again, so its backoff delay keeps growing.
const STABLE_AFTER: Millis = Millis::secs(5);

impl Actor {
    pub(super) fn on_network_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.on_closed(&peer_id, connection_id);
            }
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { cause }, .. } => {
                if cause.downcast_ref::<NotMember>().is_some() {
                    self.counters.peers_refused = self.counters.peers_refused.saturating_add(1);
                }
                tracing::debug!(%cause, "A connection was refused");
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_dial_failed(&peer, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(&address),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                let relay = self.reservations.remove(&listener_id);
                tracing::debug!(?reason, ?relay, "A listener was closed");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Pairing(event) => self.on_pairing_event(event),
            BehaviourEvent::Gate(MemberProtocolsEvent::Requests(event)) => self.on_member_event(event),
            BehaviourEvent::Gate(MemberProtocolsEvent::Gossipsub(event)) => self.on_gossip_event(event),
            BehaviourEvent::Gate(MemberProtocolsEvent::Ping(event)) => {
                // A node that lost its log offers the other only pairing, and gets the log that
                // way.
                if let Err(error) = event.result.as_ref()
                    && !matches!(error, ping::Failure::Unsupported)
                {
                    tracing::debug!(peer = %event.peer, %error, "A member did not answer a ping");
                    self.network.close_connection(event.connection);
                }
            }
            BehaviourEvent::Gate(MemberProtocolsEvent::Dcutr(event)) => {
                tracing::debug!(peer = %event.remote_peer_id, result = ?event.result, "Hole punching ended");
            }
            BehaviourEvent::Gate(_) | BehaviourEvent::Limits(_) | BehaviourEvent::Inbound(_) => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = self.now().boot;
        if self.network.behaviour().gate.is_pairing(connection) {
            self.pairing_connections.insert(connection, PairingConnection { peer: id, since: now });
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let first = !peer.is_connected();
        peer.connections.push(Connection { id: connection, relayed: endpoint.is_relayed(), since: now });
        peer.dialing = false;
        peer.name_error = None;
        if let (ConnectedPoint::Dialer { address, .. }, false) = (endpoint, endpoint.is_relayed()) {
            peer.working_address = Some(address.clone());
        }
        if first {
            self.greet(&id);
            self.request_grant(&id);
        }
    }

    fn on_closed(&mut self, id: &PeerId, connection: ConnectionId) {
        let now = self.now().boot;
        if self.pairing_connections.remove(&connection).is_some() {
            return self.on_pairing_connection_closed(id);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            let was_stable = peer
                .connections
                .iter()
                .any(|closed| closed.id == connection && now.since(closed.since) >= STABLE_AFTER);
            peer.connections.retain(|other| other.id != connection);
            if was_stable && !peer.is_connected() {
                peer.dial_at_once(now);
            }
        }
    }

    fn on_dial_failed(&mut self, id: &PeerId, error: &DialError) {
        tracing::debug!(peer = %id, %error, "Cannot connect to a member");
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        let name_error = find_name_error(error).map(ToString::to_string);
        if let Some(attempt) = self.join_attempt.as_mut().filter(|attempt| attempt.invitation.inviter == *id)
        {
            attempt.name_error.clone_from(&name_error);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            peer.dialing = false;
            peer.note_name_error(id, name_error);
        }
    }

    fn on_listening(&mut self, address: &Multiaddr) {
        // The IP address is not logged, since it may identify the home line.
        let port: Multiaddr = address.iter().skip(1).collect();
        tracing::info!(%port, "Listening");
        // A relay without an external address would refuse every reservation.
        if self.local.relay && self.local.external.is_empty() && !is_relayed(address) {
            self.network.add_external_address(address.clone());
        }
    }

    /// Dials what is due, makes missing reservations, and closes surplus connections.
    pub(super) fn maintain_connections(&mut self) {
        let now = self.now().boot;
        let due: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_dial_due(now)).map(|(peer, _)| *peer).collect();
        for id in due {
            self.dial(&id, now);
        }
        self.maintain_reservations();
        self.close_surplus_connections(now);
    }

    fn dial(&mut self, id: &PeerId, now: Monotonic) {
        let circuits = self.circuits(id);
        let own: Vec<_> = self.network.listeners().filter_map(ip_of).collect();
        let Some(member) = self.log.as_ref().and_then(|log| log.members().get(id)).cloned() else { return };
        let Some(peer) = self.peers.get_mut(id) else { return };
        let mut addresses = peer.dial_candidates(&member, circuits);
        addresses.retain(|address| is_worth_dialing(address, &own));
        peer.back_off(now, random_jitter());
        if addresses.is_empty() {
            return;
        }
        let options =
            DialOpts::peer_id(*id).condition(PeerCondition::NotDialing).addresses(addresses).build();
        match self.network.dial(options) {
            Ok(()) => peer.dialing = true,
            Err(error) => tracing::debug!(peer = %id, %error, "Cannot dial a member"),
        }
    }

    /// Returns the addresses of a member through the relays to which this node is connected.
    fn circuits(&self, target: &PeerId) -> Vec<Multiaddr> {
        let relays = self.relays().filter(|(relay, _)| relay != target);
        relays.map(|(relay, address)| circuit(&address, relay, Some(*target))).collect()
    }

    /// Returns the directly connected members that relay traffic, each with an address.
    fn relays(&self) -> impl Iterator<Item = (PeerId, Multiaddr)> {
        let members = self.log.as_ref().map(MembershipLog::members);
        self.peers.iter().filter_map(move |(id, peer)| {
            let member = members?.get(id)?;
            if !peer.is_direct() || !(peer.is_relay || member.relay) {
                return None;
            }
            Some((*id, peer.direct_addresses(member).into_iter().next()?))
        })
    }

    /// Makes reservations at relays, through which others reach a node without an external address.
    fn maintain_reservations(&mut self) {
        if !self.local.external.is_empty() {
            return;
        }
        let free = MAX_RESERVATIONS.saturating_sub(self.reservations.len());
        let wanted: Vec<_> = self
            .relays()
            .filter(|(relay, _)| !self.reservations.values().any(|reserved| reserved == relay))
            .take(free)
            .collect();
        for (relay, address) in wanted {
            match self.network.listen_on(circuit(&address, relay, None)) {
                Ok(listener) => {
                    self.reservations.insert(listener, relay);
                }
                Err(error) => tracing::debug!(%relay, %error, "Cannot make a reservation at a relay"),
            }
        }
    }

    /// Closes all but the oldest direct connection to each peer.
    ///
    /// Only the node with the smaller id closes, so that the two sides do not close one each.
    fn close_surplus_connections(&mut self, now: Monotonic) {
        let mut surplus = Vec::new();
        for (_, peer) in self.peers.iter().filter(|(id, _)| self.local.peer < **id) {
            let best =
                peer.connections.iter().min_by_key(|connection| (connection.relayed, connection.since));
            let best = best.map(|connection| connection.id);
            let others = peer.connections.iter().filter(|connection| Some(connection.id) != best);
            let old = others.filter(|connection| now.since(connection.since) >= SURPLUS_GRACE);
            surplus.extend(old.map(|connection| connection.id));
        }
        for connection in surplus {
            self.network.close_connection(connection);
        }
    }

    /// Dials missing connections without a backoff delay, and tests the others with a greeting.
    pub(super) fn on_network_change(&mut self) {
        let now = self.now().boot;
        for peer in self.peers.values_mut() {
            peer.dial_at_once(now);
        }
        self.greet_all();
        self.maintain_connections();
    }
}

/// Returns jitter for the backoff, so that nodes that lost each other do not keep dialing in step.
fn random_jitter() -> u8 {
    let mut byte = [0];
    // Without random numbers they dial in step, which is harmless.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
