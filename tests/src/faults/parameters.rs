//! The parameters of faults.

use crate::plan;
use serde::Deserialize;
use std::net::IpAddr;

/// A resolver that the laptop can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// Example ISP's resolver.
    Isp,
    /// The home router, which forwards to Example ISP's resolver.
    Router,
    /// The public resolver.
    Public,
    /// Example VPN's resolver inside the tunnel.
    Vpn,
    /// The anycast resolver, in worlds that have it.
    Anycast,
}

impl Resolver {
    /// Returns the address at which the laptop queries the resolver.
    pub fn address(self) -> IpAddr {
        let address = match self {
            Self::Isp => plan::ISP_RESOLVER,
            Self::Router => plan::ROUTER,
            Self::Public => plan::PUBLIC_RESOLVER,
            Self::Vpn => plan::VPN_RESOLVER,
            Self::Anycast => plan::ANYCAST_RESOLVER,
        };
        address.into()
    }

    /// Returns the host on which the resolver runs.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Isp => "isp",
            Self::Router => "home-router",
            Self::Public => "public-dns",
            Self::Vpn => "vpn",
            Self::Anycast => "anycast-dns",
        }
    }
}

/// An exit of Example VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VpnExit {
    /// The usual exit.
    First,
    /// The other exit.
    Second,
}

/// The transport of a program's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramTransport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// A VPN provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderName {
    /// Example VPN.
    Example,
    /// Other VPN.
    Other,
}

/// A network that the laptop can connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkName {
    /// The home LAN.
    Home,
    /// The café's Wi-Fi.
    Cafe,
}

/// Whether a fault begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It begins.
    Add,
    /// It ends.
    Remove,
}

/// An operator that answers queries addressed to other resolvers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interceptor {
    /// The ISP, on the home line.
    Isp,
    /// Example VPN, at the far end of the tunnel.
    Vpn,
}

/// The transports of intercepted queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsTransport {
    /// UDP only.
    Udp,
    /// TCP only.
    Tcp,
    /// UDP and TCP.
    Both,
}

/// The upstream of the VPN's resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardTarget {
    /// The public resolver.
    ThirdParty,
    /// None: the resolver queries the authoritative servers itself.
    Itself,
}

/// The names of the panel that a resolver falsifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FalsifiedNames {
    /// The first name.
    One,
    /// All names.
    Many,
}

/// The answers that a resolver gives instead of the correct ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Falsification {
    /// A private address.
    Bogon,
    /// The address of a server without a certificate for the name.
    OtherServer,
    /// The correct IPv4 address and a private IPv6 address.
    AaaaOnly,
    /// No such name.
    Nxdomain,
    /// An address for names that do not exist; names that exist are answered correctly.
    NxdomainRewrite,
}

/// The body that an echo service returns instead of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MalformedBody {
    /// A page.
    Html,
    /// A tebibyte of zeros.
    Endless,
}
