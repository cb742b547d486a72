//! Connections: which stand, which are due to be dialed, and through whom a node behind a router is reached.

use super::Actor;
use crate::{
    addresses::{ip_of, leads_somewhere},
    behaviour::{BehaviourEvent, MembersEvent, is_relayed},
    gate::Stranger,
    peer::{Link, circuit},
};
use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    swarm::{
        ConnectionId, DialError, ListenError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use sentinel_model::{Millis, Monotonic};

/// How many relays a node behind a router keeps a place at.
const MAX_RESERVATIONS: usize = 3;
/// A second connection to one peer is given this long before it is closed: both sides may have dialed at once, and
/// requests may be under way on either.
const DOUBLE_GRACE: Millis = Millis::secs(10);
/// A connection that stood this long was no mistake: when it is lost it is made again at once.
const STOOD: Millis = Millis::secs(5);

impl Actor {
    pub(super) fn on_network(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.on_closed(&peer_id, connection_id);
            }
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { cause }, .. } => {
                if cause.downcast_ref::<Stranger>().is_some() {
                    self.refused_peers = self.refused_peers.saturating_add(1);
                }
                tracing::debug!(%cause, "connection refused");
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_dial_failed(&peer, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(&address),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                let place = self.reservations.remove(&listener_id);
                tracing::debug!(?reason, relay = ?place, "a listener was closed");
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Pairing(event) => self.on_pairing(event),
            BehaviourEvent::Gate(MembersEvent::Witness(event)) => self.on_witness(event),
            BehaviourEvent::Gate(MembersEvent::Gossipsub(event)) => self.on_gossip(event),
            BehaviourEvent::Gate(MembersEvent::Ping(event)) => match event.result {
                Ok(_) => self.heard(&event.peer),
                Err(error) => {
                    tracing::debug!(peer = %event.peer, %error, "no answer to a ping");
                    self.network.close_connection(event.connection);
                }
            },
            BehaviourEvent::Gate(MembersEvent::Dcutr(event)) => {
                tracing::debug!(peer = %event.remote_peer_id, result = ?event.result, "hole punching");
            }
            BehaviourEvent::Gate(_) | BehaviourEvent::Limits(_) | BehaviourEvent::Memory(_) => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = self.now().boot;
        if self.network.behaviour().gate.is_guest(connection) {
            self.guests.insert(connection, (id, now));
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let first = !peer.is_connected();
        peer.links.push(Link { id: connection, relayed: endpoint.is_relayed(), since: now });
        peer.dialing = false;
        if let (ConnectedPoint::Dialer { address, .. }, false) = (endpoint, endpoint.is_relayed()) {
            peer.worked = Some(address.clone());
        }
        if first {
            self.greet(&id);
            self.ask_credential(&id);
        }
    }

    fn on_closed(&mut self, id: &PeerId, connection: ConnectionId) {
        let now = self.now().boot;
        if self.guests.remove(&connection).is_some() {
            return self.guest_left(id);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            // One that was closed as soon as it stood will fare no better at once; the wait goes on growing.
            let stood = |link: &Link| link.id == connection && now.since(link.since) >= STOOD;
            let stood = peer.links.iter().any(stood);
            peer.links.retain(|link| link.id != connection);
            if stood && !peer.is_connected() {
                peer.dial_at_once(now);
            }
        }
    }

    fn on_dial_failed(&mut self, id: &PeerId, error: &DialError) {
        tracing::debug!(peer = %id, %error, "cannot connect");
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(id) {
            peer.dialing = false;
        }
    }

    fn on_listening(&mut self, address: &Multiaddr) {
        // Without the address itself, which may be the home line's.
        let port: Multiaddr = address.iter().skip(1).collect();
        tracing::info!(%port, "listening");
        // A relay must be able to say where it is, or nobody can keep a place at it.
        if self.me.relay && self.me.external.is_empty() && !is_relayed(address) {
            self.network.add_external_address(address.clone());
        }
    }

    /// Dials what is due, keeps places at relays, closes surplus connections.
    pub(super) fn tend_connections(&mut self) {
        let now = self.now().boot;
        let due: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_due(now)).map(|(peer, _)| *peer).collect();
        for id in due {
            self.dial(&id, now);
        }
        self.tend_reservations();
        self.close_surplus(now);
    }

    fn dial(&mut self, id: &PeerId, now: Monotonic) {
        let circuits = self.circuits(id);
        let own: Vec<_> = self.network.listeners().filter_map(ip_of).collect();
        let Some(member) = self.log.as_ref().and_then(|log| log.members().get(id)).cloned() else { return };
        let Some(peer) = self.peers.get_mut(id) else { return };
        let mut addresses = peer.candidates(&member, circuits);
        addresses.retain(|address| leads_somewhere(address, &own));
        peer.postpone(now, spread());
        if addresses.is_empty() {
            return;
        }
        let options =
            DialOpts::peer_id(*id).condition(PeerCondition::NotDialing).addresses(addresses).build();
        match self.network.dial(options) {
            Ok(()) => peer.dialing = true,
            Err(error) => tracing::debug!(peer = %id, %error, "cannot dial"),
        }
    }

    /// Ways to a member through the relays this node is connected to.
    fn circuits(&self, target: &PeerId) -> Vec<Multiaddr> {
        let relays = self.relays().filter(|(relay, _)| relay != target);
        relays.map(|(relay, address)| circuit(&address, relay, Some(*target))).collect()
    }

    /// Directly connected members that pass traffic on, each with an address.
    fn relays(&self) -> impl Iterator<Item = (PeerId, Multiaddr)> {
        let members = self.log.as_ref().map(crate::membership::Log::members);
        self.peers.iter().filter_map(move |(id, peer)| {
            let member = members?.get(id)?;
            if !peer.is_direct() || !(peer.relays || member.relay) {
                return None;
            }
            Some((*id, peer.direct_addresses(member).into_iter().next()?))
        })
    }

    /// A node without an address of its own keeps a place at the swarm's relays, where others can reach it.
    fn tend_reservations(&mut self) {
        if !self.me.external.is_empty() {
            return;
        }
        let free = MAX_RESERVATIONS.saturating_sub(self.reservations.len());
        let wanted: Vec<_> = self
            .relays()
            .filter(|(relay, _)| !self.reservations.values().any(|held| held == relay))
            .take(free)
            .collect();
        for (relay, address) in wanted {
            match self.network.listen_on(circuit(&address, relay, None)) {
                Ok(listener) => {
                    self.reservations.insert(listener, relay);
                }
                Err(error) => tracing::debug!(%relay, %error, "no place at a relay"),
            }
        }
    }

    /// Of several connections to one peer the oldest direct one is enough. Only the node with the smaller identity
    /// closes, so that the two sides do not close one each.
    fn close_surplus(&mut self, now: Monotonic) {
        let mut surplus = Vec::new();
        for (_, peer) in self.peers.iter().filter(|(id, peer)| self.me.peer < **id && peer.links.len() > 1) {
            let best = peer.links.iter().min_by_key(|link| (link.relayed, link.since)).map(|link| link.id);
            let others = peer.links.iter().filter(|link| Some(link.id) != best);
            surplus.extend(others.filter(|link| now.since(link.since) >= DOUBLE_GRACE).map(|link| link.id));
        }
        for connection in surplus {
            self.network.close_connection(connection);
        }
    }

    /// The network changed: no wait counts any more, and what stands must prove that it still does.
    pub(super) fn network_changed(&mut self) {
        let now = self.now().boot;
        for peer in self.peers.values_mut() {
            peer.dial_at_once(now);
        }
        self.greet_all();
        self.tend_connections();
    }
}

/// A little chance, so that nodes which lost each other together do not dial in step for ever.
fn spread() -> u8 {
    let mut byte = [0];
    // Without chance they dial in step, which is harmless.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
