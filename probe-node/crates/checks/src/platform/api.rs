//! The contract between the checks and the operating system: the [`Platform`] trait and its types.

use crate::error::CheckError;
use async_trait::async_trait;
use ipnet::IpNet;
use sentinel_model::{
    ConfiguredResolver, Epoch, Interface, Micros, Millis, Outcome, PerFamily, Reason, RouteTaken, SocketTable,
};
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::sync::mpsc;

/// What the checks need from the operating system.
///
/// Methods with a default are optional: a system that cannot provide them is `Unsupported`.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Returns the route that a packet to `destination` would take now.
    ///
    /// `Unknown(Unreachable)` if there is no route.
    async fn find_route(&self, destination: IpAddr) -> Outcome<RouteTaken>;

    /// Lists the network interfaces in their current state.
    async fn list_interfaces(&self) -> Outcome<Vec<Interface>>;

    /// Reads the resolvers the system is configured to use now, in the order in which it asks them.
    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>>;

    /// Finds the far ends of the tunnels in use.
    ///
    /// These are the destinations with a host route of their own outside the tunnel, as far as the
    /// system's routing table shows them.
    async fn find_far_ends(&self) -> Outcome<Vec<IpAddr>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Returns one destination inside every network that is routed outside the tunnel.
    ///
    /// Such a network has a route to a gateway on a physical interface. This is how networks are
    /// diverted from a tunnel that holds the default route, for example by DHCP option 121. The far
    /// ends of the tunnels are not included.
    async fn find_outside_destinations(&self) -> Outcome<Vec<IpAddr>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Lists the resolvers offered by the local network's DHCP server, whether used or not.
    async fn list_dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Lists the connected sockets whose source address belongs to another interface than the
    /// tunnel.
    ///
    /// Sockets of this process are not included, nor are those of a process that has the device of
    /// a tunnel open. At most a few hundred sockets are listed.
    async fn list_outside_sockets(&self, _query: &SocketQuery) -> Outcome<SocketTable> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Sends one small packet and waits for the reply of a router or of the destination.
    ///
    /// - `Refused` or `Unreachable`: this machine did not send the packet.
    /// - `TimedOut`: no reply arrived in time.
    async fn send_probe(&self, _probe: &Probe) -> Outcome<ProbeReply> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Binds a socket to an interface, regardless of the routing table.
    ///
    /// The socket must not be connected yet.
    fn bind_to_interface(&self, _socket: &Socket, _interface: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Starts reporting network changes.
    ///
    /// Each change is sent within about 20 ms of the event. Several events of one kind within 10 ms
    /// are reported as one change. The stream ends when the receiver is dropped. Requires a running
    /// Tokio runtime.
    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError>;
}

/// Which sockets [`Platform::list_outside_sockets`] lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketQuery {
    /// The tunnel of each family. A family without one has no sockets outside it.
    pub tunnels: PerFamily<Option<String>>,
    /// Networks whose addresses are no peers of interest: those that are not public, and those that
    /// are reached outside the tunnel on purpose.
    pub ignored_peers: Vec<IpNet>,
    /// The epoch: what the system said of a socket's route is asked again in another one.
    pub epoch: Epoch,
}

/// A small packet whose content no recipient is expected to understand.
///
/// UDP, except on Windows, which sends an ICMP echo request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where the packet is sent. Windows ignores the port.
    pub destination: SocketAddr,
    /// The interface the packet must leave by; chosen by the routing table if absent.
    pub interface: Option<String>,
    /// How many hops the packet may take (TTL or IPv6 hop limit); the system's default if absent.
    pub hop_limit: Option<u8>,
    /// How long to wait for a reply.
    pub budget: Duration,
}

/// The reply to a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReply {
    /// The router at which the hop limit ran out, or else the destination.
    pub responder: IpAddr,
    /// The round-trip time.
    pub rtt: Micros,
}

/// A change of the local network, which starts a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// An interface was added, removed, or changed its state.
    Link,
    /// An address was added or removed.
    Address,
    /// A route was added or removed.
    Route,
    /// A policy routing rule was added or removed.
    Rule,
    /// The resolver configuration changed.
    ResolverConfig,
    /// The machine woke up after sleeping for this long.
    Woke(Millis),
}
