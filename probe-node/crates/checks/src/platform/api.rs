//! The contract between the checks and the operating system: the [`Platform`] trait and its types.

use super::name_service::NameService;
use crate::error::CheckError;
use async_trait::async_trait;
use futures::future::join_all;
use ipnet::IpNet;
use sentinel_model::{
    ConfiguredResolver, Epoch, FarEndEvidence, Interface, IpsecPolicy, Micros, Millis, Outcome, PerFamily,
    Reason, RouteOrigin, RouteTaken, SocketTable, Traffic, Transport,
};
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// What the checks need from the operating system.
///
/// Methods with a default are optional: a system that cannot provide them is `Unsupported`.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Returns the route that a packet of this kind would take now.
    ///
    /// The packet is an ordinary one of this process: unmarked, and bound to no interface or source
    /// address. `Unknown(Unreachable)` if there is no route, or one that drops or rejects packets.
    async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken>;

    /// Returns the routes of several packets, in their order.
    ///
    /// A system may answer them together at less cost than one by one.
    async fn find_routes(&self, packets: &[PacketKind]) -> Vec<Outcome<RouteTaken>> {
        join_all(packets.iter().map(|packet| self.find_route(*packet))).await
    }

    /// Lists the network interfaces in their current state.
    async fn list_interfaces(&self) -> Outcome<Vec<Interface>>;

    /// Reads the resolvers the system is configured to use now, in the order in which it asks them.
    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>>;

    /// Returns the service of this machine that programs ask for names in place of the configured
    /// resolvers, if there is one.
    ///
    /// The configured resolvers that programs ask on their own are then a second path.
    async fn find_name_service(&self) -> Option<Arc<dyn NameService>> {
        None
    }

    /// Finds what may be the far ends of tunnels, with the evidence for each, best first.
    ///
    /// Each address is listed once.
    async fn find_far_ends(&self) -> Outcome<Vec<FarEnd>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Samples the networks that may be routed otherwise than the default route says.
    ///
    /// Each sample is one packet to a destination inside such a network, whoever wrote its route
    /// and by whichever interface it leads. Whether a packet really takes that route is for
    /// [`find_route`](Self::find_route) to say. Networks of this machine, private networks on-link
    /// and multicast are not included.
    async fn sample_routes(&self) -> Outcome<Vec<RouteSample>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Lists the IPsec policies for packets that leave this machine.
    ///
    /// `Unknown(Refused)` where that needs privileges.
    async fn list_ipsec_policies(&self) -> Outcome<Vec<IpsecPolicy>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Returns the names of the interfaces by which the machine can reach the internet.
    ///
    /// A default route, or a route to a public network through a gateway, leads out by each of them
    /// in some routing table, whether or not packets take it now.
    async fn list_uplinks(&self) -> Outcome<Vec<String>> {
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

/// The port of DNS servers.
const DNS_PORT: u16 = 53;
/// The port of HTTPS servers.
const HTTPS_PORT: u16 = 443;

/// What about a packet may decide its route: its destination, transport protocol and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketKind {
    /// The destination address.
    pub destination: IpAddr,
    /// The transport protocol.
    pub transport: Transport,
    /// The destination port; 0 for ICMP.
    pub port: u16,
}

impl PacketKind {
    /// A packet of ordinary traffic: HTTPS over TCP.
    pub fn web(destination: IpAddr) -> Self {
        Self { destination, transport: Transport::Tcp, port: HTTPS_PORT }
    }

    /// A DNS query over UDP.
    pub fn dns(destination: IpAddr) -> Self {
        Self::udp(SocketAddr::new(destination, DNS_PORT))
    }

    /// A DNS query over TCP.
    pub fn dns_over_tcp(destination: IpAddr) -> Self {
        Self { destination, transport: Transport::Tcp, port: DNS_PORT }
    }

    /// A UDP packet to this port.
    pub fn udp(destination: SocketAddr) -> Self {
        Self {
            destination: destination.ip().to_canonical(),
            transport: Transport::Udp,
            port: destination.port(),
        }
    }

    /// Returns the transport protocol and port.
    pub fn traffic(&self) -> Traffic {
        Traffic { transport: self.transport, port: self.port }
    }
}

/// A packet to a network that has a route of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteSample {
    /// The packet.
    pub packet: PacketKind,
    /// Who wrote the route, if a route made it a sample, rather than a rule.
    pub origin: Option<RouteOrigin>,
    /// True if a rule by protocol or port made it a sample: the route is not that of all packets.
    pub depends_on_traffic: bool,
}

/// An address that may be the far end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FarEnd {
    /// The address.
    pub address: IpAddr,
    /// What says so.
    pub evidence: FarEndEvidence,
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
