//! The allow-list in front of every protocol of the members. A connection is either a member's, and gets the members'
//! protocols, or a guest's while pairing is possible, and gets none of them, or it is closed. libp2p's own allow-list
//! knows only "in" and "out"; pairing needs this third grade, per connection.

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
    task::{Context, Poll, Waker},
};

/// How many guests may be connected at a time.
const MAX_GUESTS: usize = 8;

/// Why a connection was closed: its peer is no member, and no guest is expected.
#[derive(Debug)]
pub(crate) struct Stranger;

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer is not a member of the swarm")
    }
}

impl std::error::Error for Stranger {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Member,
    Guest,
}

/// The gate around the members' protocols.
pub(crate) struct Gate<B> {
    inner: B,
    members: HashSet<PeerId>,
    /// Whether an invitation is open, so that anybody may come as a guest.
    open: bool,
    /// The node whose invitation is being taken up, which may be called on as a guest.
    host: Option<PeerId>,
    guests: HashMap<ConnectionId, PeerId>,
    /// Connections of member grade. The inner behaviour sees these and no others.
    established: HashMap<PeerId, Vec<ConnectionId>>,
    closing: VecDeque<PeerId>,
    waker: Option<Waker>,
}

impl<B> Gate<B> {
    /// A gate that lets nobody in.
    pub(crate) fn new(inner: B) -> Self {
        Self {
            inner,
            members: HashSet::new(),
            open: false,
            host: None,
            guests: HashMap::new(),
            established: HashMap::new(),
            closing: VecDeque::new(),
            waker: None,
        }
    }

    /// The members' protocols.
    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Replaces the list of members. Connections of those no longer on it are closed.
    pub(crate) fn set_members(&mut self, members: HashSet<PeerId>) {
        self.closing.extend(self.members.difference(&members));
        self.members = members;
        self.wake();
    }

    /// Whether guests may come.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// The node to call on as a guest, if any.
    pub(crate) fn set_host(&mut self, host: Option<PeerId>) {
        self.host = host;
    }

    /// Whether a connection is of guest grade.
    pub(crate) fn is_guest(&self, connection: ConnectionId) -> bool {
        self.guests.contains_key(&connection)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn grade(&self, peer: &PeerId) -> Result<Grade, ConnectionDenied> {
        if self.members.contains(peer) {
            return Ok(Grade::Member);
        }
        if self.host.as_ref() == Some(peer) || (self.open && self.guests.len() < MAX_GUESTS) {
            return Ok(Grade::Guest);
        }
        Err(ConnectionDenied::new(Stranger))
    }
}

impl<B: NetworkBehaviour> Gate<B> {
    fn on_established(&mut self, event: ConnectionEstablished) {
        if self.is_guest(event.connection_id) {
            return;
        }
        let known = self.established.entry(event.peer_id).or_default();
        let other_established = known.len();
        known.push(event.connection_id);
        let seen = ConnectionEstablished { other_established, ..event };
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(seen));
    }

    fn on_closed(&mut self, event: ConnectionClosed) {
        if self.guests.remove(&event.connection_id).is_some() {
            return;
        }
        let Some(known) = self.established.get_mut(&event.peer_id) else { return };
        known.retain(|connection| *connection != event.connection_id);
        let remaining_established = known.len();
        if known.is_empty() {
            self.established.remove(&event.peer_id);
        }
        let seen = ConnectionClosed { remaining_established, ..event };
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(seen));
    }

    /// An event of the inner behaviour, kept away from guests' handlers, which could not take it. `None` drops it.
    fn addressed(
        &self,
        event: ToSwarm<B::ToSwarm, THandlerInEvent<B>>,
    ) -> Option<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>> {
        let ToSwarm::NotifyHandler { peer_id, handler, event } = event else {
            return Some(event.map_in(Either::Left));
        };
        let connection = match handler {
            NotifyHandler::Any => *self.established.get(&peer_id)?.first()?,
            // The connection alone counts: libp2p's relay names the wrong peer with the right connection.
            NotifyHandler::One(connection) => (!self.is_guest(connection)).then_some(connection)?,
        };
        Some(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Either::Left(event),
        })
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection_id, local_addr, remote_addr)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.grade(&peer)? {
            Grade::Member => self
                .inner
                .handle_established_inbound_connection(connection_id, peer, local_addr, remote_addr)
                .map(Either::Left),
            Grade::Guest => {
                self.guests.insert(connection_id, peer);
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
        let peer = maybe_peer.ok_or_else(|| ConnectionDenied::new(Stranger))?;
        match self.grade(&peer)? {
            Grade::Member => self.inner.handle_pending_outbound_connection(
                connection_id,
                maybe_peer,
                addresses,
                effective_role,
            ),
            Grade::Guest => Ok(Vec::new()),
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
        match self.grade(&peer)? {
            Grade::Member => self
                .inner
                .handle_established_outbound_connection(connection_id, peer, addr, role_override, port_use)
                .map(Either::Left),
            Grade::Guest => {
                self.guests.insert(connection_id, peer);
                Ok(Either::Right(dummy::ConnectionHandler))
            }
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::AddressChange(change) if self.is_guest(change.connection_id) => {}
            FromSwarm::DialFailure(failure) if self.guests.remove(&failure.connection_id).is_some() => {}
            FromSwarm::ListenFailure(failure) if self.guests.remove(&failure.connection_id).is_some() => {}
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => unreachable(never),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer_id) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
        }
        while let Poll::Ready(event) = self.inner.poll(cx) {
            if let Some(event) = self.addressed(event) {
                return Poll::Ready(event);
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
