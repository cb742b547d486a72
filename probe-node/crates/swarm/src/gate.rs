//! The membership gate: the allow-list in front of all protocols between members.
//!
//! Every connection, in either direction, is one of three:
//!
//! - a member's connection, which gets the member protocols;
//! - a pairing connection, which gets none of them, admitted while pairing is possible;
//! - any other, which is closed.
//!
//! libp2p's own allow-list only distinguishes allowed peers from others. Pairing needs the second
//! class, per connection.

use crate::{
    addresses::{ip_of, is_relayed},
    subnet,
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse, util::unreachable},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        derive_prelude::{ConnectionEstablished, Either},
        dummy,
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    net::IpAddr,
    task::{Context, Poll, Waker},
};

/// The most guests at once: connections for pairing that have not proved anything yet.
const MAX_GUESTS: usize = 32;
/// The most guests from one source. Others then find room.
const MAX_GUESTS_PER_SOURCE: usize = 2;

/// Why a connection was refused: its peer is not a member, and pairing with it is not possible.
#[derive(Debug)]
pub(crate) struct NotMember;

impl fmt::Display for NotMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer is not a member of the swarm")
    }
}

impl std::error::Error for NotMember {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionClass {
    Member,
    Pairing,
}

/// The other end of a pairing connection.
struct PairingPeer {
    peer: PeerId,
    /// Where it connected from. `None` if this node dialed it, or if it came through a relay.
    source: Option<IpAddr>,
}

/// The gate around the member protocols, which are the behaviour `B`.
pub(crate) struct MembershipGate<B> {
    member_protocols: B,
    members: HashSet<PeerId>,
    /// True while an invitation is open: any peer may then connect for pairing.
    pairing_allowed: bool,
    /// The node whose invitation this node uses, if any. It is connected for pairing.
    inviter: Option<PeerId>,
    /// The nodes that proved to hold the secret of an invitation.
    applicants: HashSet<PeerId>,
    pairing_connections: HashMap<ConnectionId, PairingPeer>,
    /// The connections that the member protocols are shown.
    member_connections: HashMap<PeerId, Vec<ConnectionId>>,
    peers_to_disconnect: VecDeque<PeerId>,
    waker: Option<Waker>,
}

impl<B> MembershipGate<B> {
    /// Makes a gate that admits no connection.
    pub(crate) fn new(member_protocols: B) -> Self {
        Self {
            member_protocols,
            members: HashSet::new(),
            pairing_allowed: false,
            inviter: None,
            applicants: HashSet::new(),
            pairing_connections: HashMap::new(),
            member_connections: HashMap::new(),
            peers_to_disconnect: VecDeque::new(),
            waker: None,
        }
    }

    /// Returns the member protocols.
    pub(crate) fn member_protocols_mut(&mut self) -> &mut B {
        &mut self.member_protocols
    }

    /// Replaces the list of members, and closes the connections of those no longer in it.
    pub(crate) fn set_members(&mut self, members: HashSet<PeerId>) {
        self.peers_to_disconnect.extend(self.members.difference(&members));
        self.members = members;
        self.wake();
    }

    /// Sets whether any peer may connect for pairing.
    pub(crate) fn set_pairing_allowed(&mut self, allowed: bool) {
        self.pairing_allowed = allowed;
    }

    /// Sets the node to which this node connects for pairing, if any.
    pub(crate) fn set_inviter(&mut self, inviter: Option<PeerId>) {
        self.inviter = inviter;
    }

    /// Sets the nodes that proved to hold the secret of an invitation. They are no longer guests.
    pub(crate) fn set_applicants(&mut self, applicants: HashSet<PeerId>) {
        self.applicants = applicants;
    }

    /// Returns true if a connection is for pairing only.
    pub(crate) fn is_pairing(&self, connection: ConnectionId) -> bool {
        self.pairing_connections.contains_key(&connection)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn classify(&self, peer: &PeerId, source: Option<IpAddr>) -> Result<ConnectionClass, ConnectionDenied> {
        if self.members.contains(peer) {
            return Ok(ConnectionClass::Member);
        }
        let is_expected = self.inviter.as_ref() == Some(peer) || self.applicants.contains(peer);
        if is_expected || (self.pairing_allowed && self.has_room_for_guest(source)) {
            return Ok(ConnectionClass::Pairing);
        }
        Err(ConnectionDenied::new(NotMember))
    }

    fn has_room_for_guest(&self, source: Option<IpAddr>) -> bool {
        let guests =
            || self.pairing_connections.values().filter(|guest| !self.applicants.contains(&guest.peer));
        let from_source = guests().filter(|guest| guest.source == source).count();
        guests().count() < MAX_GUESTS && from_source < MAX_GUESTS_PER_SOURCE
    }
}

impl<B: NetworkBehaviour> MembershipGate<B> {
    fn on_established(&mut self, event: ConnectionEstablished) {
        if self.is_pairing(event.connection_id) {
            return;
        }
        let connections = self.member_connections.entry(event.peer_id).or_default();
        let other_established = connections.len();
        connections.push(event.connection_id);
        let event = ConnectionEstablished { other_established, ..event };
        self.member_protocols.on_swarm_event(FromSwarm::ConnectionEstablished(event));
    }

    fn on_closed(&mut self, event: ConnectionClosed) {
        if self.pairing_connections.remove(&event.connection_id).is_some() {
            return;
        }
        let Some(connections) = self.member_connections.get_mut(&event.peer_id) else { return };
        connections.retain(|connection| *connection != event.connection_id);
        let remaining_established = connections.len();
        if connections.is_empty() {
            self.member_connections.remove(&event.peer_id);
        }
        let event = ConnectionClosed { remaining_established, ..event };
        self.member_protocols.on_swarm_event(FromSwarm::ConnectionClosed(event));
    }

    /// Addresses an event of the member protocols to a member's connection.
    ///
    /// The handlers of pairing connections cannot take such an event. Returns `None` to drop it.
    fn address_event(
        &self,
        event: ToSwarm<B::ToSwarm, THandlerInEvent<B>>,
    ) -> Option<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>> {
        let ToSwarm::NotifyHandler { peer_id, handler, event } = event else {
            return Some(event.map_in(Either::Left));
        };
        let connection = match handler {
            NotifyHandler::Any => *self.member_connections.get(&peer_id)?.first()?,
            // Only the connection is checked: libp2p's relay names a wrong peer with the right
            // connection.
            NotifyHandler::One(connection) => (!self.is_pairing(connection)).then_some(connection)?,
        };
        Some(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Either::Left(event),
        })
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for MembershipGate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.member_protocols.handle_pending_inbound_connection(connection_id, local_addr, remote_addr)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let source = ip_of(remote_addr).filter(|_| !is_relayed(remote_addr)).map(subnet::source);
        match self.classify(&peer, source)? {
            ConnectionClass::Member => self
                .member_protocols
                .handle_established_inbound_connection(connection_id, peer, local_addr, remote_addr)
                .map(Either::Left),
            ConnectionClass::Pairing => {
                self.pairing_connections.insert(connection_id, PairingPeer { peer, source });
                Ok(Either::Right(dummy::ConnectionHandler))
            }
        }
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection_id: ConnectionId,
        maybe_peer: Option<PeerId>,
        addresses: &[Multiaddr],
        effective_role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let peer = maybe_peer.ok_or_else(|| ConnectionDenied::new(NotMember))?;
        match self.classify(&peer, None)? {
            ConnectionClass::Member => self.member_protocols.handle_pending_outbound_connection(
                connection_id,
                maybe_peer,
                addresses,
                effective_role,
            ),
            ConnectionClass::Pairing => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.classify(&peer, None)? {
            ConnectionClass::Member => self
                .member_protocols
                .handle_established_outbound_connection(connection_id, peer, addr, role_override, port_use)
                .map(Either::Left),
            ConnectionClass::Pairing => {
                self.pairing_connections.insert(connection_id, PairingPeer { peer, source: None });
                Ok(Either::Right(dummy::ConnectionHandler))
            }
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::AddressChange(change) if self.is_pairing(change.connection_id) => {}
            FromSwarm::DialFailure(failure)
                if self.pairing_connections.remove(&failure.connection_id).is_some() => {}
            FromSwarm::ListenFailure(failure)
                if self.pairing_connections.remove(&failure.connection_id).is_some() => {}
            other => self.member_protocols.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.member_protocols.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => unreachable(never),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer_id) = self.peers_to_disconnect.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
        }
        while let Poll::Ready(event) = self.member_protocols.poll(cx) {
            if let Some(event) = self.address_event(event) {
                return Poll::Ready(event);
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
