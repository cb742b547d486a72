//! Network interfaces, and the routes the kernel chooses.

use super::outcome::Outcome;
use crate::net::Attributed;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// Why a destination's route was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutePurpose {
    /// The destination is a witness.
    Witness,
    /// The destination is a configured resolver.
    Resolver,
    /// The destination is one of the addresses spread over the address space.
    Spread,
    /// The destination is in a network that has a more specific route than the default one.
    Specific,
}

/// The route the kernel chooses for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSeen {
    /// The destination.
    pub destination: IpAddr,
    /// Why it was looked up.
    pub purpose: RoutePurpose,
    /// The route. It is [`Reason::Unreachable`] if the kernel has none.
    pub taken: Outcome<RouteTaken>,
    /// Who wrote the route, where it is one of its own that leads past the tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<RouteOrigin>,
    /// The packets it applies to, where a rule gives one protocol or port a route of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// A kind of packets that policy rules can tell apart: the transport protocol and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// The transport protocol.
    pub transport: Transport,
    /// The destination port; 0 for ICMP.
    pub port: u16,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Udp => write!(f, "UDP port {}", self.port),
            Transport::Tcp => write!(f, "TCP port {}", self.port),
            Transport::Icmp => f.write_str("ICMP"),
        }
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP, or ICMPv6.
    Icmp,
}

/// Who wrote a route into the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteOrigin {
    /// The kernel, for the network of an interface's own address.
    Kernel,
    /// A person or a program: scripts, VPN clients, and DHCP clients that write no origin.
    Program,
    /// The network, by DHCP.
    Dhcp,
    /// The network, by a router advertisement.
    RouterAdvertisement,
    /// The network, by a redirect message.
    Redirect,
}

/// The route of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTaken {
    /// The interface it would leave by.
    pub interface: String,
    /// The kind of that interface.
    pub kind: InterfaceKind,
    /// The next hop, unless the destination is on-link.
    pub gateway: Option<IpAddr>,
    /// The source address of the packet, if the kernel names one.
    pub source: Option<IpAddr>,
}

/// The kind of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceKind {
    /// Ethernet, Wi-Fi or cellular. Packets leave the machine here unprotected.
    Physical,
    /// A tunnel: WireGuard, TUN/TAP, PPP, IPsec.
    Tunnel,
    /// The loopback interface.
    Loopback,
    /// Any other virtual interface: a bridge, one end of a container's veth pair.
    Virtual,
    /// Packets end here: a dummy device, or a bridge whose ports all end on this machine.
    Sink,
}

/// An interface by which the machine can reach the internet, whether or not packets take it now.
///
/// A default route or a route to a public network through a gateway leads out by it, in any routing
/// table. Without another uplink beneath it, an interface that looks like a tunnel is the access
/// line itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// Its name: `wlan0`.
    pub interface: String,
    /// Its public addresses, with their operator where the local tables name it.
    pub public_addresses: Vec<Attributed>,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name: `wg0`.
    pub name: String,
    /// Its kind.
    pub kind: InterfaceKind,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
}
