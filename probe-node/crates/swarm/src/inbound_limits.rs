//! Limits on incoming connections whose handshake is not finished, so that strangers block nobody.
//!
//! Nothing is known about such a connection but its address. It is refused if one of these holds:
//!
//! 1. too many are pending over the same transport;
//! 2. too many are pending from the same network;
//! 3. the process has grown too much since few were pending.

use crate::{
    addresses::{ip_of, is_relayed},
    subnet::subnet,
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, multiaddr::Protocol, transport::PortUse, util::unreachable},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The most pending connections over one transport, of which there are two: 256 in total.
///
/// QUIC's first packets can come from forged addresses, and must not block TCP.
const MAX_PENDING_PER_TRANSPORT: usize = 128;
/// The most pending connections from one network.
const MAX_PENDING_PER_SUBNET: usize = 4;
/// Up to this many pending connections, the size of the process is its baseline.
const FEW_PENDING: usize = 8;
/// By how much the process may grow above its baseline while more connections are pending.
const MAX_GROWTH_BYTES: usize = 32 << 20;
/// How old the measured size of the process may be.
const MEASUREMENT_TTL: Duration = Duration::from_millis(100);

/// Why a connection was refused before its handshake.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TooManyPending {
    #[error("too many connections are pending")]
    OverTransport,
    #[error("too many connections from the same network are pending")]
    FromSubnet,
    #[error("the process has grown too much")]
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct PendingConnection {
    over_quic: bool,
    /// `None` if it comes through a relay, which only members can use.
    subnet: Option<IpAddr>,
}

impl PendingConnection {
    fn from(remote: &Multiaddr) -> Self {
        Self {
            over_quic: remote.iter().any(|part| part == Protocol::QuicV1),
            subnet: ip_of(remote).filter(|_| !is_relayed(remote)).map(subnet),
        }
    }
}

/// The behaviour that applies the limits.
pub(crate) struct InboundLimits {
    pending: HashMap<ConnectionId, PendingConnection>,
    process_size: fn() -> Option<usize>,
    size: Option<usize>,
    measured_at: Option<Instant>,
    baseline: Option<usize>,
}

impl InboundLimits {
    /// Makes the behaviour. `process_size` returns the size of this process in bytes.
    pub(crate) fn new(process_size: fn() -> Option<usize>) -> Self {
        Self { pending: HashMap::new(), process_size, size: None, measured_at: None, baseline: None }
    }

    fn admit(&mut self, new: PendingConnection) -> Result<(), TooManyPending> {
        self.measure();
        let over_transport = self.pending.values().filter(|other| other.over_quic == new.over_quic).count();
        if over_transport >= MAX_PENDING_PER_TRANSPORT {
            return Err(TooManyPending::OverTransport);
        }
        let from_subnet = self.pending.values().filter(|other| other.subnet == new.subnet).count();
        if new.subnet.is_some() && from_subnet >= MAX_PENDING_PER_SUBNET {
            return Err(TooManyPending::FromSubnet);
        }
        match (self.size, self.baseline) {
            (Some(size), Some(baseline)) if size > baseline.saturating_add(MAX_GROWTH_BYTES) => {
                Err(TooManyPending::Memory)
            }
            _ => Ok(()),
        }
    }

    /// Measures the size of the process if it is time to, and keeps it as the baseline if few
    /// connections are pending.
    fn measure(&mut self) {
        if self.measured_at.is_none_or(|at| at.elapsed() >= MEASUREMENT_TTL) {
            self.measured_at = Some(Instant::now());
            self.size = (self.process_size)();
        }
        if self.pending.len() <= FEW_PENDING {
            self.baseline = self.size;
        }
    }
}

/// Returns the size of this process in bytes, if the system reports it.
pub(crate) fn process_size() -> Option<usize> {
    memory_stats::memory_stats().map(|stats| stats.physical_mem)
}

impl NetworkBehaviour for InboundLimits {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let new = PendingConnection::from(remote);
        self.admit(new).map_err(ConnectionDenied::new)?;
        self.pending.insert(connection, new);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.pending.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        unreachable(event)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn admits(limits: &mut InboundLimits, id: usize, remote: &str) -> bool {
        let id = ConnectionId::new_unchecked(id);
        let local = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        limits.handle_pending_inbound_connection(id, &local, &remote.parse().unwrap()).is_ok()
    }

    #[test]
    fn one_network_has_four_pending_connections_and_each_transport_has_128() {
        let mut limits = InboundLimits::new(|| None);
        let mut from = |id: usize, remote: String| admits(&mut limits, id, &remote);
        let same = (0..10).filter(|last| from(*last, format!("/ip4/192.0.2.{last}/tcp/1"))).count();
        assert_eq!(same, MAX_PENDING_PER_SUBNET);
        let others = (10..300).filter(|id| from(*id, format!("/ip4/10.{}.{}.1/tcp/1", id / 256, id % 256)));
        assert_eq!(others.count(), MAX_PENDING_PER_TRANSPORT - MAX_PENDING_PER_SUBNET);
        assert!(from(301, "/ip4/198.51.100.1/udp/1/quic-v1".to_owned()), "TCP blocks QUIC");
        limits
            .handle_established_inbound_connection(
                ConnectionId::new_unchecked(0),
                PeerId::random(),
                &"/ip4/127.0.0.1/tcp/1".parse().unwrap(),
                &"/ip4/192.0.2.0/tcp/1".parse().unwrap(),
            )
            .unwrap();
        assert!(admits(&mut limits, 302, "/ip4/192.0.2.77/tcp/1"), "a finished handshake still counts");
        assert!(!admits(&mut limits, 303, "/ip4/192.0.2.78/tcp/1"));
    }

    #[test]
    fn growth_counts_only_while_connections_are_pending() {
        static SIZE: AtomicUsize = AtomicUsize::new(100 << 20);
        let mut limits = InboundLimits::new(|| Some(SIZE.load(Ordering::SeqCst)));
        let mut from = |id: usize| {
            limits.measured_at = None;
            admits(&mut limits, id, &format!("/ip4/10.0.{id}.1/tcp/1"))
        };
        assert!(from(0));
        SIZE.store(900 << 20, Ordering::SeqCst);
        assert!((1..=FEW_PENDING + 1).all(&mut from), "the node grew for another reason");
        SIZE.store(931 << 20, Ordering::SeqCst);
        assert!(from(20));
        SIZE.store(933 << 20, Ordering::SeqCst);
        assert!(!from(21));
    }
}
