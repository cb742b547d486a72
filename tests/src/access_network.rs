//! The networks that the laptop can be connected to, and their IP versions.

use crate::{
    ip_commands::{add_address, with_length},
    plan,
};
use anyhow::{Context, Result};
use sentinel_model::{Family, IpNet};
use serde::Deserialize;
use std::{fmt::Write as _, net::IpAddr};

/// The extent of the laptop's IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6 {
    /// The LAN and the tunnel have IPv4 only.
    #[default]
    None,
    /// The LAN has both families, and the tunnel carries both.
    Tunnel,
    /// The LAN has IPv6 only: tunnel endpoint, tunnel, exit and resolver are IPv6.
    Only,
}

impl Ipv6 {
    /// Returns true if the laptop has this family.
    pub(crate) fn includes(self, family: Family) -> bool {
        match family {
            Family::V4 => self != Self::Only,
            Family::V6 => self != Self::None,
        }
    }

    /// Returns the family of what exists only once, such as the tunnel's endpoint: IPv4 if
    /// possible.
    pub(crate) fn main_family(self) -> Family {
        if self == Self::Only { Family::V6 } else { Family::V4 }
    }
}

/// A network that the laptop connects to, with its router and the laptop's configuration there.
#[derive(Clone, Debug)]
pub(crate) struct AccessNetwork {
    /// The host that is the network's router.
    pub(crate) router: &'static str,
    /// The router's addresses on the network.
    pub(crate) router_addresses: Vec<IpNet>,
    /// The laptop's addresses on the network.
    pub(crate) addresses: Vec<IpNet>,
    /// The laptop's default gateways.
    pub(crate) gateways: Vec<IpAddr>,
}

impl AccessNetwork {
    /// Returns the home LAN. The router always has both families, the laptop those of `ipv6`.
    pub(crate) fn home(ipv6: Ipv6) -> Result<Self> {
        let (mut addresses, mut gateways) = (Vec::new(), Vec::new());
        if ipv6.includes(Family::V4) {
            addresses.push(with_length(plan::LAPTOP, 24)?);
            gateways.push(plan::ROUTER.into());
        }
        if ipv6.includes(Family::V6) {
            addresses.push(with_length(plan::LAPTOP_V6, 64)?);
            gateways.push(plan::ROUTER_V6.into());
        }
        let router_addresses = vec![with_length(plan::ROUTER, 24)?, with_length(plan::ROUTER_V6, 64)?];
        Ok(Self { router: "home-router", router_addresses, addresses, gateways })
    }

    /// Returns the café's Wi-Fi, which has IPv4 only and another operator.
    pub(crate) fn cafe() -> Result<Self> {
        Ok(Self {
            router: "cafe-router",
            router_addresses: vec![with_length(plan::CAFE_ROUTER, 24)?],
            addresses: vec![with_length(plan::LAPTOP_AT_CAFE, 24)?],
            gateways: vec![plan::CAFE_ROUTER.into()],
        })
    }

    /// Returns the laptop's gateway for a family.
    ///
    /// # Errors
    /// Fails if the laptop does not have this family on the network.
    pub(crate) fn gateway(&self, family: Family) -> Result<IpAddr> {
        let of_family = |gateway: &&IpAddr| gateway.is_ipv4() == (family == Family::V4);
        let found = self.gateways.iter().find(of_family).copied();
        found.with_context(|| format!("behind {} the laptop has no {family}", self.router))
    }

    /// Returns the `ip` lines that configure the laptop, as DHCP would. They can be repeated.
    pub(crate) fn configuration_lines(&self) -> Result<String> {
        let mut lines = "link set eth0 up\n".to_owned();
        for address in &self.addresses {
            lines += &add_address(*address, "eth0").replacen(" add ", " replace ", 1);
        }
        for gateway in &self.gateways {
            let default = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            writeln!(lines, "route replace {default} via {gateway} dev eth0")?;
        }
        Ok(lines)
    }
}
