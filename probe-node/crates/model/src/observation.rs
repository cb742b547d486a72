//! Observations: what the checks measured.

use crate::{
    id::{Epoch, NodeId},
    net::{Attributed, Family, NetworkKey, is_link_local},
    time::{Micros, Moment},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// One measured fact, with its time and epoch.
///
/// It belongs to the epoch in which its check *started*. If the epoch has moved on by the time it
/// arrives, it is discarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When the measurement was complete.
    pub at: Moment,
    /// The epoch in which the check started.
    pub epoch: Epoch,
    /// The measured fact.
    pub fact: Fact,
}

/// The result of a measurement: a value, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// The measured value.
    Measured(T),
    /// The value is undetermined, for this reason.
    Unknown(Reason),
}

impl<T> Outcome<T> {
    /// Returns the value, if it was measured.
    pub fn measured(&self) -> Option<&T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Applies `derive` to a measured value and keeps the reason otherwise.
    pub fn map<U>(self, derive: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Measured(value) => Outcome::Measured(derive(value)),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

/// Why a measurement is undetermined.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because", content = "detail")]
pub enum Reason {
    /// No answer arrived within the check's time limit.
    TimedOut,
    /// The kernel could not send the packet: no route, no address in this family, or a firewall.
    Unreachable,
    /// The service refused to answer: HTTP 429, a refused query.
    Refused(String),
    /// The answer is invalid: unparsable, wrongly signed, or a private address.
    Malformed(String),
    /// This operating system does not support the measurement.
    Unsupported,
    /// Any other reason, in words.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable => f.write_str("not reachable"),
            Self::Refused(detail) => write!(f, "refused: {detail}"),
            Self::Malformed(detail) => write!(f, "invalid answer: {detail}"),
            Self::Unsupported => f.write_str("not supported on this system"),
            Self::Failed(detail) => f.write_str(detail),
        }
    }
}

/// The origin of a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One of the user's own nodes.
    Node(NodeId),
    /// A public service, by its name in the configuration.
    Service(String),
}

/// A witness as the judge counts it.
///
/// Several voices in the same network count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voice {
    /// The node or service.
    pub source: Source,
    /// Its name for people: `vps-fra`, `stun.example.net`.
    pub name: String,
    /// The network it is in.
    pub network: NetworkKey,
}

/// A measured fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "fact")]
pub enum Fact {
    /// The exit address, as one voice saw it.
    Exit(ExitSeen),
    /// The round-trip time to a target.
    RoundTrip(RoundTrip),
    /// The resolvers that queried an authoritative server for this node.
    Resolver(ResolverSeen),
    /// The addresses of a name.
    Answers(AnswersSeen),
    /// The route the kernel chooses for a destination.
    Route(RouteSeen),
    /// The resolvers the system is configured to use.
    ResolverConfig(Outcome<Vec<ConfiguredResolver>>),
    /// The machine's network interfaces.
    Interfaces(Outcome<Vec<Interface>>),
    /// Whether there is a network.
    Connectivity(Connectivity),
    /// Whether the server that answers for a public resolver is that resolver.
    Interception(InterceptionSeen),
    /// Whether packets get out outside the tunnel.
    KillSwitch(KillSwitchSeen),
    /// The round-trip time to the tunnel's far end, outside the tunnel.
    Underlay(UnderlaySeen),
}

/// How a voice learned the exit address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitPath {
    /// An authenticated STUN exchange with one of the user's nodes.
    Beacon,
    /// A node's signed attestation of what it saw in an earlier exchange.
    Attested,
    /// A public STUN server.
    Stun,
    /// An HTTPS service that returns the caller's address.
    HttpsEcho,
}

/// The exit address, as one voice saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSeen {
    /// The IP version it was asked over.
    pub family: Family,
    /// The voice that was asked.
    pub voice: Voice,
    /// How it was asked.
    pub path: ExitPath,
    /// The address it saw.
    pub address: Outcome<Attributed>,
}

/// The round-trip time to a target: the minimum of several exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The IP version it was measured over.
    pub family: Family,
    /// The voice that answered.
    pub target: Voice,
    /// The round-trip time.
    pub rtt: Micros,
    /// The exit address seen in the same exchange, which identifies the path that was measured.
    pub exit: Option<Attributed>,
}

/// Which resolver a query was sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverPath {
    /// The system resolver, as applications use it.
    System,
    /// One of the configured resolvers, queried directly.
    Configured(IpAddr),
    /// Port 53 of the default gateway, queried outside the tunnel.
    Gateway(IpAddr),
    /// A resolver offered by the local network's DHCP server, queried outside the tunnel.
    Dhcp(IpAddr),
}

/// The resolvers that queried an authoritative server for this node, as that server reports them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverSeen {
    /// The resolver the query was sent to.
    pub path: ResolverPath,
    /// The zone of the queried name. Its authoritative server made the report.
    pub zone: String,
    /// The addresses from which resolvers queried the authoritative server.
    pub resolvers: Outcome<Vec<Attributed>>,
}

/// Who resolved a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerPath {
    /// The system resolver.
    System,
    /// A public resolver, by its name in the configuration.
    Public(String),
    /// One of the user's nodes.
    Node(NodeId),
}

/// The answer to one query for the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersSeen {
    /// The name.
    pub name: String,
    /// Who resolved it.
    pub path: AnswerPath,
    /// The answer. A measured one without addresses means that the name has none.
    pub answer: Outcome<ResolvedName>,
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedName {
    /// The addresses, sorted and without duplicates.
    pub addresses: Vec<Attributed>,
    /// The name at the end of the CNAME chain, if there is one: `www.example.net.cdn.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// The certificate of the server at one of these addresses.
    ///
    /// It is checked only if nothing else explains the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Outcome<Certificate>>,
}

/// What the certificate of a TLS server says about the name that resolved to its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// It is valid for the name and issued by a trusted authority.
    Valid,
    /// The handshake succeeded, but the certificate is for another name.
    WrongName,
    /// It is not issued by a trusted authority, or it has expired.
    Untrusted,
}

/// The transport of a DNS query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// Plain DNS over UDP (RFC 1035).
    Udp,
    /// Plain DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858). Only the resolver itself can answer.
    Tls,
    /// DNS over HTTPS (RFC 8484). Only the resolver itself can answer.
    Https,
}

impl DnsTransport {
    /// Returns true if only the resolver itself can answer.
    pub fn is_authenticated(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }
}

impl fmt::Display for DnsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Https => "HTTPS",
        })
    }
}

/// One query, sent to a public resolver over several transports.
///
/// The authoritative server of the queried name reports from which address it was queried. If that
/// differs between a plain and an authenticated transport, an interceptor on the path answered the
/// plain query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptionSeen {
    /// The resolver, by its name in the configuration.
    pub resolver: String,
    /// Its address.
    pub address: Attributed,
    /// The result per transport.
    pub transports: Vec<TransportSeen>,
}

/// The result of a query over one transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportSeen {
    /// The transport.
    pub transport: DnsTransport,
    /// The addresses from which resolvers queried the authoritative server for this query.
    pub egress_addresses: Outcome<Vec<Attributed>>,
    /// Whether a second, different answer arrived within 250 ms of the first.
    ///
    /// The first one then comes from an interceptor that was faster than the resolver.
    pub second_answer: bool,
}

/// An attempt to send packets outside the tunnel through one physical interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitchSeen {
    /// The interface.
    pub interface: String,
    /// The IP version.
    pub family: Family,
    /// Whether they got out. Without any answer it is undetermined.
    pub egress: Outcome<PhysicalEgress>,
}

/// Whether packets that are bound to a physical interface leave the machine there.
///
/// Such packets ignore the routes that lead into the tunnel, so only a kill switch stops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhysicalEgress {
    /// They do. There is no kill switch, or it is open.
    Open {
        /// The router or server that answered, which is the proof.
        by: IpAddr,
    },
    /// This machine refuses to send them. A kill switch is closed.
    Closed,
}

/// The round-trip time to the tunnel's far end, outside the tunnel.
///
/// Nothing inside the tunnel can be faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderlaySeen {
    /// The far end.
    pub endpoint: IpAddr,
    /// The minimum of several exchanges.
    pub rtt: Outcome<Micros>,
}

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

/// One resolver the system is configured to use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConfiguredResolver {
    /// Its address.
    pub address: IpAddr,
    /// The interface it is configured for, if the system reports one.
    pub interface: Option<String>,
    /// Which names it is queried for, and by whom.
    ///
    /// Defaults to [`ResolverRole::Unspecified`] for records written before this field existed.
    #[serde(default)]
    pub role: ResolverRole,
}

impl ConfiguredResolver {
    /// Returns the interface that queries to it are bound to, regardless of the routes.
    ///
    /// Queries are bound to its own interface in two cases:
    /// - its role is [`ResolverRole::Forwarded`] or [`ResolverRole::Scoped`];
    /// - its address is link-local, which is meaningful only together with an interface.
    pub fn bound_to(&self) -> Option<&str> {
        let forwarded = matches!(self.role, ResolverRole::Forwarded | ResolverRole::Scoped);
        self.interface.as_deref().filter(|_| is_link_local(self.address) || forwarded)
    }
}

/// Which names a configured resolver is queried for, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverRole {
    /// The resolver library of applications queries it for every name, first or along with others.
    First,
    /// The resolver library queries it if those before it do not answer.
    Fallback,
    /// A forwarder on this machine queries it for every name.
    Forwarded,
    /// It is queried only for the domains of its own interface.
    Scoped,
    /// The system does not report the role.
    #[default]
    Unspecified,
}

impl ResolverRole {
    /// Returns true if the resolver library of applications queries it directly.
    pub fn asked_by_applications(self) -> bool {
        matches!(self, Self::First | Self::Fallback)
    }

    /// Returns true if it is queried for every name, even while all other resolvers work.
    pub fn gets_all_names(self) -> bool {
        matches!(self, Self::First | Self::Forwarded)
    }
}

/// Whether there is a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Something outside this machine answered.
    Online,
    /// No interface is up, or there is no route. Nothing can leak.
    Offline,
    /// A captive portal answers in place of the network.
    Portal,
}
