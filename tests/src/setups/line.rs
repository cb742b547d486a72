//! The lines: how the laptop is connected to the Internet.

use super::{
    lines::{self, ethernet},
    part::PartInfo,
};
use crate::{host::Host, plan, world::World};
use anyhow::Result;
use sentinel_model::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LineKind {
    /// A LAN behind a home router with NAT.
    Ethernet,
}

/// The IPv6 of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineIpv6 {
    /// There is none.
    None,
    /// The router could advertise it at any time, but does not.
    Possible(Ipv6Addr),
    /// The machine has it from the beginning, with this gateway.
    Native(Ipv6Addr),
}

/// The machine's connection outside the tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Uplink {
    /// The device of IPv4.
    pub(crate) device: String,
    /// The machine's IPv4 address on it.
    pub(crate) address: Ipv4Addr,
    /// The next hop of IPv4; a point-to-point device has none.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The line's own resolver.
    pub(crate) resolver: Ipv4Addr,
    /// The line's IPv6, which is always on the device `eth0`.
    pub(crate) ipv6: LineIpv6,
    /// The addresses at which the world sees the line.
    pub(crate) seen_at: Vec<IpNet>,
}

impl Uplink {
    /// Returns the next hop past the tunnel, in the syntax of `ip route`.
    pub(crate) fn next_hop(&self) -> String {
        let gateway = self.gateway.map(|gateway| format!("via {gateway} ")).unwrap_or_default();
        format!("{gateway}dev {}", self.device)
    }

    /// Returns true if this is an address at which the world sees the line.
    pub(crate) fn is_home(&self, address: IpAddr) -> bool {
        self.seen_at.iter().any(|network| network.contains(&address))
    }
}

impl LineKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[Self::Ethernet];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::Ethernet => ethernet::INFO,
        }
    }

    /// Returns true if the machine gets its address by DHCP.
    pub(crate) fn has_dhcp(self) -> bool {
        matches!(self, Self::Ethernet)
    }

    /// Returns the line's IPv6.
    pub(crate) fn ipv6(self) -> LineIpv6 {
        match self {
            Self::Ethernet => LineIpv6::Possible(plan::ROUTER_V6),
        }
    }

    /// Connects the machine, whose `eth0` is a cable to the home router without addresses.
    ///
    /// Where the line has DHCP, the client configures the device afterwards.
    pub(crate) async fn install(self, world: &World, machine: &Host) -> Result<Uplink> {
        match self {
            Self::Ethernet => lines::ethernet::install(world, machine).await,
        }
    }
}
