//! The addresses of the two VPN providers.

use crate::plan;
use anyhow::{Context, Result};
use sentinel_model::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host and the addresses of a VPN provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) host: &'static str,
    pub(crate) endpoint: Ipv4Addr,
    pub(crate) exit: Ipv4Addr,
    /// The server and its resolver inside the tunnel.
    pub(crate) inside: Ipv4Addr,
    /// The laptop inside the tunnel.
    pub(crate) client: Ipv4Addr,
    /// The IPv6 addresses, where the provider has IPv6.
    ///
    /// Those inside the tunnel are unique local addresses, translated at the exit like IPv4.
    pub(crate) v6: Option<ProviderIpv6>,
}

/// The IPv6 addresses of a VPN provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProviderIpv6 {
    pub(crate) endpoint: Ipv6Addr,
    pub(crate) exit: Ipv6Addr,
    /// The server and its resolver inside the tunnel.
    pub(crate) inside: Ipv6Addr,
    /// The laptop inside the tunnel.
    pub(crate) client: Ipv6Addr,
}

pub(crate) const EXAMPLE_VPN: Provider = Provider {
    host: "vpn",
    endpoint: plan::VPN_ENDPOINT,
    exit: plan::VPN_EXIT,
    inside: plan::VPN_RESOLVER,
    client: plan::TUNNEL,
    v6: Some(ProviderIpv6 {
        endpoint: plan::VPN_ENDPOINT_V6,
        exit: plan::VPN_EXIT_V6,
        inside: plan::VPN_RESOLVER_V6,
        client: plan::TUNNEL_V6,
    }),
};

pub(crate) const OTHER_VPN: Provider = Provider {
    host: "other-vpn",
    endpoint: plan::OTHER_VPN_ENDPOINT,
    exit: plan::OTHER_VPN_EXIT,
    inside: plan::OTHER_VPN_RESOLVER,
    client: plan::OTHER_TUNNEL,
    v6: None,
};

impl Provider {
    fn v6(&self) -> Result<ProviderIpv6> {
        self.v6.with_context(|| format!("{} has no IPv6", self.host))
    }

    /// Returns the address of the WireGuard server outside the tunnel.
    pub(super) fn endpoint(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.endpoint.into()),
            Family::V6 => Ok(self.v6()?.endpoint.into()),
        }
    }

    /// Returns the laptop's address inside the tunnel.
    pub(super) fn client(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.client.into()),
            Family::V6 => Ok(self.v6()?.client.into()),
        }
    }

    /// Returns the address of the resolver inside the tunnel.
    pub(super) fn resolver(&self, family: Family) -> Result<IpAddr> {
        match family {
            Family::V4 => Ok(self.inside.into()),
            Family::V6 => Ok(self.v6()?.inside.into()),
        }
    }
}
