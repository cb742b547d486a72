//! Name resolution: the configured resolvers, who asked for them, and what they answered.

use super::outcome::Outcome;
use crate::{
    id::NodeId,
    net::{Attributed, is_link_local},
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

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
    /// A forwarder on this machine, but in another network namespace, queries it for every name.
    ///
    /// The links and routes by which it is queried are not this namespace's, and unknown.
    ForwardedElsewhere,
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
        matches!(self, Self::First | Self::Forwarded | Self::ForwardedElsewhere)
    }
}
