//! The lines: how the laptop is connected to the Internet.

use super::{
    lines::{ethernet, ipv6_access, point_to_point},
    part::PartInfo,
    uplink::{Line, LineIpv6},
};
use crate::{host::Host, plan, world::World};
use anyhow::Result;

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LineKind {
    /// A LAN behind a home router with NAT.
    Ethernet,
    /// A ppp device alone.
    Ppp,
    /// An LTE modem in raw-IP mode alone.
    Lte,
    /// Two lines, the second with a worse metric.
    TwoUplinks,
    /// A LAN behind a home router behind a carrier's NAT.
    Cgnat,
    /// A ppp device beside a LAN.
    PppLan,
    /// IPv6, and IPv4 tunnelled in it.
    DsLite,
    /// IPv6, and IPv4 translated to it.
    Xlat,
}

impl LineKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Ethernet,
        Self::Ppp,
        Self::Lte,
        Self::TwoUplinks,
        Self::Cgnat,
        Self::PppLan,
        Self::DsLite,
        Self::Xlat,
    ];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::Ethernet => ethernet::INFO,
            Self::Ppp => point_to_point::PPP_INFO,
            Self::Lte => point_to_point::LTE_INFO,
            Self::TwoUplinks => ethernet::TWO_UPLINKS_INFO,
            Self::Cgnat => ethernet::CGNAT_INFO,
            Self::PppLan => point_to_point::PPP_LAN_INFO,
            Self::DsLite => ipv6_access::DS_LITE_INFO,
            Self::Xlat => ipv6_access::XLAT_INFO,
        }
    }

    /// Returns true if the machine gets its address by DHCP.
    pub(crate) fn has_dhcp(self) -> bool {
        matches!(self, Self::Ethernet | Self::TwoUplinks | Self::Cgnat)
    }

    /// Returns the line's IPv6.
    pub(crate) fn ipv6(self) -> LineIpv6 {
        match self {
            Self::Ethernet | Self::TwoUplinks | Self::Cgnat => LineIpv6::Possible(plan::ROUTER_V6),
            Self::Ppp | Self::PppLan | Self::Lte => LineIpv6::None,
            Self::DsLite | Self::Xlat => LineIpv6::Native(plan::ROUTER_V6),
        }
    }

    /// Returns true if the line's own resolver has a public address, which a tunnel also reaches.
    pub(crate) fn has_public_resolver(self) -> bool {
        matches!(self, Self::Ppp | Self::PppLan | Self::DsLite | Self::Xlat)
    }

    /// Connects the machine, whose `eth0` is a cable to the home router without addresses.
    ///
    /// Where the line has DHCP, the client configures the device afterwards.
    pub(super) async fn install(self, world: &World, machine: &Host) -> Result<Line> {
        match self {
            Self::Ethernet => ethernet::install(machine).await,
            Self::Ppp => point_to_point::install_ppp(world, machine, false).await,
            Self::Lte => point_to_point::install_lte(world, machine).await,
            Self::TwoUplinks => ethernet::install_two(world, machine).await,
            Self::Cgnat => ethernet::install_cgnat(world, machine).await,
            Self::PppLan => point_to_point::install_ppp(world, machine, true).await,
            Self::DsLite => ipv6_access::install_ds_lite(world, machine).await,
            Self::Xlat => ipv6_access::install_xlat(world, machine).await,
        }
    }

    /// Returns what the user writes under `[home]`: what identifies the line.
    pub(crate) fn home(self) -> String {
        let address = format!("addresses = [\"{}\"]\n", plan::HOME);
        match self {
            // Any customer can get any address of the pool, so the operator identifies the line.
            Self::Cgnat => "asns = [64500]\n".to_owned(),
            Self::DsLite | Self::Xlat => format!("{address}prefixes = [\"2001:db8:51::/56\"]\n"),
            _ => address,
        }
    }
}
