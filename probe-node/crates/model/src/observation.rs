//! What a check measured: one typed fact, with its time, epoch and source.

use crate::{
    id::{Epoch, NodeId},
    net::{Attributed, Family, NetworkKey, is_link_local},
    time::{Micros, Moment},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// One measured fact. It belongs to the epoch in which its check *started*; if the epoch has moved on by the time it
/// arrives, it is discarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When the answer arrived.
    pub at: Moment,
    /// The epoch in which the check started.
    pub epoch: Epoch,
    /// What was measured.
    pub fact: Fact,
}

/// Measured, or could not tell, because.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// The answer.
    Measured(T),
    /// No answer, and why.
    Unknown(Reason),
}

impl<T> Outcome<T> {
    /// The answer, if there is one.
    pub fn measured(&self) -> Option<&T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The same outcome about something derived from the answer.
    pub fn map<U>(self, derive: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Measured(value) => Outcome::Measured(derive(value)),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

/// Why a check could not tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because", content = "detail")]
pub enum Reason {
    /// No answer within the budget.
    TimedOut,
    /// The kernel had no way there: no route, no address in this family, a firewall.
    Unreachable,
    /// The service answered that it will not: HTTP 429, a refused query.
    Refused(String),
    /// The answer made no sense: garbage, a wrong signature, a private address.
    Malformed(String),
    /// This system offers no way to ask.
    Unsupported,
    /// Anything else, in words.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable => f.write_str("no way there"),
            Self::Refused(detail) => write!(f, "refused: {detail}"),
            Self::Malformed(detail) => write!(f, "the answer made no sense: {detail}"),
            Self::Unsupported => f.write_str("this system offers no way to ask"),
            Self::Failed(detail) => f.write_str(detail),
        }
    }
}

/// Who told us.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One of the user's own nodes.
    Node(NodeId),
    /// A public service, by the name it has in the configuration.
    Service(String),
}

/// A witness as the judge counts it: two voices in one network count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voice {
    /// Who it is.
    pub source: Source,
    /// What people call it: `vps-fra`, `stun.example.net`.
    pub name: String,
    /// The network it sits in.
    pub network: NetworkKey,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "fact")]
pub enum Fact {
    /// The address a voice saw us at.
    Exit(ExitSeen),
    /// A round trip to a target.
    RoundTrip(RoundTrip),
    /// Which resolvers asked an authoritative server on our behalf.
    Resolver(ResolverSeen),
    /// What a name resolved to.
    Answers(AnswersSeen),
    /// The kernel's own answer to "which way would this go".
    Route(RouteSeen),
    /// The resolvers the system is configured to use.
    ResolverConfig(Outcome<Vec<ConfiguredResolver>>),
    /// The machine's network interfaces.
    Interfaces(Outcome<Vec<Interface>>),
    /// Whether there is a network at all.
    Connectivity(Connectivity),
    /// Who answers when a public resolver is asked in several ways.
    Interception(InterceptionSeen),
    /// Whether a packet gets out past the tunnel.
    KillSwitch(KillSwitchSeen),
    /// The round trip to the tunnel's far end, outside the tunnel.
    Underlay(UnderlaySeen),
}

/// How the exit address was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitPath {
    /// An authenticated STUN exchange with one of the user's nodes.
    Beacon,
    /// What a node attested, signed, of the exchange before.
    Attested,
    /// A public STUN server.
    Stun,
    /// An HTTPS service that answers with the caller's address.
    HttpsEcho,
}

/// The address a voice saw us at, or why it could not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSeen {
    /// The family asked about.
    pub family: Family,
    /// Who was asked.
    pub voice: Voice,
    /// How.
    pub path: ExitPath,
    /// The address it saw.
    pub address: Outcome<Attributed>,
}

/// One round trip to a target: the smallest of the exchanges it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The family it was measured over.
    pub family: Family,
    /// Who answered.
    pub target: Voice,
    /// How long it took.
    pub rtt: Micros,
    /// The exit address seen in the same exchange: it says which path was measured.
    pub exit: Option<Attributed>,
}

/// Which resolver a question was put to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverPath {
    /// The system's own, the way applications ask.
    System,
    /// One of the configured servers, directly.
    Configured(IpAddr),
    /// The default gateway's port 53, past the tunnel.
    Gateway(IpAddr),
    /// A resolver the local network's DHCP server offered, past the tunnel.
    Dhcp(IpAddr),
}

/// Which resolvers asked an authoritative server on our behalf, told by that server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverSeen {
    /// Which resolver was asked.
    pub path: ResolverPath,
    /// Who reported: the zone asked under.
    pub zone: String,
    /// The addresses the authoritative server was asked from.
    pub resolvers: Outcome<Vec<Attributed>>,
}

/// Who was asked for a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerPath {
    /// The system's own resolver.
    System,
    /// A known public resolver, by its name in the configuration.
    Public(String),
    /// One of the user's nodes.
    Node(NodeId),
}

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersSeen {
    /// The name asked for.
    pub name: String,
    /// Who was asked.
    pub path: AnswerPath,
    /// The answer; one without addresses is an authentic "there are none".
    pub answer: Outcome<ResolvedName>,
}

/// What a name resolved to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedName {
    /// The addresses, sorted, each once.
    pub addresses: Vec<Attributed>,
    /// The name at the end of the chain of aliases, where there is one: `www.example.net.cdn.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// What the server at one of these addresses proved to be, where it was asked: only for answers that nothing else
    /// explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Outcome<Certificate>>,
}

/// What a TLS server at an address proved to be for the name that led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// Its certificate is valid for the name and leads to a trusted authority.
    Valid,
    /// A well-formed handshake with a certificate for another name.
    WrongName,
    /// A certificate nobody trusted vouches for, or one that has expired.
    Untrusted,
}

/// How a question travelled to a resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// Plain, over UDP (RFC 1035).
    Udp,
    /// Plain, over TCP (RFC 7766).
    Tcp,
    /// Over TLS (RFC 7858): only the resolver itself can answer.
    Tls,
    /// Over HTTPS (RFC 8484): only the resolver itself can answer.
    Https,
}

impl DnsTransport {
    /// Whether only the resolver itself can have answered.
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

/// The same question, under a name whose authoritative server tells who asked, put to one public resolver in several
/// ways. If another one asked on behalf of a plain question than of an authenticated one, somebody on the way answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptionSeen {
    /// The resolver, by its name in the configuration.
    pub resolver: String,
    /// Its address.
    pub address: Attributed,
    /// What came of each way.
    pub transports: Vec<TransportSeen>,
}

/// One way to a public resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportSeen {
    /// How the question travelled.
    pub transport: DnsTransport,
    /// Who asked the authoritative server on our behalf.
    pub egress_addresses: Outcome<Vec<Attributed>>,
    /// A second answer, different from the first, came within 250 ms: somebody was quicker than the resolver.
    pub second_answer: bool,
}

/// An attempt to get out past the tunnel by one physical interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitchSeen {
    /// The interface.
    pub interface: String,
    /// The family.
    pub family: Family,
    /// Whether it worked. No answer at all says neither.
    pub egress: Outcome<PhysicalEgress>,
}

/// Whether packets bound to a physical interface get out past the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhysicalEgress {
    /// They do: nothing but the routes keeps traffic in the tunnel. The router that answered is the proof.
    Open {
        /// Who answered.
        by: IpAddr,
    },
    /// This machine refuses to send them: a kill switch is closed.
    Closed,
}

/// The round trip to the tunnel's far end, outside the tunnel. Nothing inside the tunnel can be faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderlaySeen {
    /// The far end.
    pub endpoint: IpAddr,
    /// The smallest of the exchanges it was made of.
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
    /// One of the addresses spread over the space.
    Spread,
    /// A network with a route of its own past the default one, as the routing table lists it.
    Specific,
}

/// The kernel's answer for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSeen {
    /// The destination.
    pub destination: IpAddr,
    /// Why it was looked up.
    pub purpose: RoutePurpose,
    /// Which way it would go; `Unreachable` when there is no way.
    pub taken: Outcome<RouteTaken>,
}

/// The way a packet would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTaken {
    /// The interface it would leave by.
    pub interface: String,
    /// What that interface is.
    pub kind: InterfaceKind,
    /// The next hop, where there is one.
    pub gateway: Option<IpAddr>,
    /// The source address it would carry.
    pub source: Option<IpAddr>,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceKind {
    /// A wire or a radio: packets leave the machine here unprotected.
    Physical,
    /// A tunnel: WireGuard, TUN/TAP, PPP, IPsec.
    Tunnel,
    /// The loopback interface.
    Loopback,
    /// A bridge, a container's pair end, anything else virtual.
    Virtual,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name: `wg0`.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// One resolver the system is configured to use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConfiguredResolver {
    /// Its address.
    pub address: IpAddr,
    /// The link it is configured for, where the system says so.
    pub interface: Option<String>,
    /// Which names it is asked for, and by whom. Unspecified in what was written before there was such a word.
    #[serde(default)]
    pub role: ResolverRole,
}

impl ConfiguredResolver {
    /// Whether questions to it leave by its own link, whatever the routes say: a forwarder asks the servers of a link
    /// bound to that link, and a link-local address means nothing without one.
    pub fn bound_to(&self) -> Option<&str> {
        let forwarded = matches!(self.role, ResolverRole::Forwarded | ResolverRole::Scoped);
        self.interface.as_deref().filter(|_| is_link_local(self.address) || forwarded)
    }
}

/// Which names a configured resolver is asked for, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverRole {
    /// Applications' resolver library asks it for every name, first or at once with others.
    First,
    /// The same asks it when those before it do not answer.
    Fallback,
    /// A forwarder on this machine asks it for every name.
    Forwarded,
    /// It is asked only for the names of its own link's domains.
    Scoped,
    /// The system does not say.
    #[default]
    Unspecified,
}

impl ResolverRole {
    /// Whether applications' own resolver library asks it.
    pub fn asked_by_applications(self) -> bool {
        matches!(self, Self::First | Self::Fallback)
    }

    /// Whether it gets ordinary look-ups without another server having failed.
    pub fn gets_all_names(self) -> bool {
        matches!(self, Self::First | Self::Forwarded)
    }
}

/// Whether there is a network at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Something answered.
    Online,
    /// No interface is up or there is no route: nothing can leak.
    Offline,
    /// A captive portal answers in place of the network.
    Portal,
}
