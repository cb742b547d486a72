//! The parameters of faults.

use crate::plan;
use serde::Deserialize;
use std::net::IpAddr;

/// A resolver the laptop can be told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// Example ISP's.
    Isp,
    /// The home router, which forwards to Example ISP's.
    Router,
    /// The public one.
    Public,
    /// Example VPN's, inside the tunnel.
    Vpn,
    /// The one that asks from elsewhere, in worlds that have it.
    Anycast,
}

impl Resolver {
    /// Where it is.
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

    /// Where it runs.
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

/// One of Example VPN's exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The usual one.
    First,
    /// The other one.
    Second,
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

/// A network the laptop can move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whereabouts {
    /// At home.
    Home,
    /// In a café.
    Cafe,
}

/// Whether something comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It comes.
    Add,
    /// It goes.
    Remove,
}
