//! The networks the laptop can be in, and which IP versions they have.

use crate::{plan, wiring::add_address};
use anyhow::{Context, Result};
use sentinel_model::{Family, IpNet};
use serde::Deserialize;
use std::{fmt::Write as _, net::IpAddr};

/// What IPv6 the laptop has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6 {
    /// None: its LAN and its tunnel are IPv4 only.
    #[default]
    None,
    /// Its LAN has IPv6 beside IPv4, and the tunnel covers both.
    Tunnel,
    /// Its LAN has nothing else: tunnel endpoint, tunnel, exit and resolver are IPv6.
    Only,
}

impl Ipv6 {
    /// Whether the laptop has this family at all.
    pub(crate) fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self != Self::Only,
            Family::V6 => self != Self::None,
        }
    }

    /// The family of everything of which there is only one, such as the way to the tunnel's endpoint.
    pub(crate) fn main_family(self) -> Family {
        if self == Self::Only { Family::V6 } else { Family::V4 }
    }
}

/// One LAN as the laptop knows it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The host that routes it.
    pub(crate) router: &'static str,
    /// The router's addresses on it.
    pub(crate) router_addresses: Vec<IpNet>,
    /// The laptop's addresses on it.
    pub(crate) addresses: Vec<IpNet>,
    /// The laptop's default gateways.
    pub(crate) gateways: Vec<IpAddr>,
}

impl Place {
    /// The home LAN. The router always has both families; the laptop what the world says.
    pub(crate) fn home(ipv6: Ipv6) -> Result<Self> {
        let (mut addresses, mut gateways) = (Vec::new(), Vec::new());
        if ipv6.has(Family::V4) {
            addresses.push(net(plan::LAPTOP, 24)?);
            gateways.push(plan::ROUTER.into());
        }
        if ipv6.has(Family::V6) {
            addresses.push(net(plan::LAPTOP_V6, 64)?);
            gateways.push(plan::ROUTER_V6.into());
        }
        let router_addresses = vec![net(plan::ROUTER, 24)?, net(plan::ROUTER_V6, 64)?];
        Ok(Self { router: "home-router", router_addresses, addresses, gateways })
    }

    /// The café's Wi-Fi: IPv4 only, by another operator.
    pub(crate) fn cafe() -> Result<Self> {
        Ok(Self {
            router: "cafe-router",
            router_addresses: vec![net(plan::CAFE_ROUTER, 24)?],
            addresses: vec![net(plan::LAPTOP_AT_CAFE, 24)?],
            gateways: vec![plan::CAFE_ROUTER.into()],
        })
    }

    /// The laptop's gateway of a family here.
    ///
    /// # Errors
    /// This network has no such family.
    pub(crate) fn gateway(&self, family: Family) -> Result<IpAddr> {
        let of_family = |gateway: &&IpAddr| gateway.is_ipv4() == (family == Family::V4);
        let found = self.gateways.iter().find(of_family).copied();
        found.with_context(|| format!("behind {} the laptop has no {family}", self.router))
    }

    /// The `ip` commands by which the laptop gets its addresses and default routes here, as DHCP would give them. They
    /// can be repeated.
    pub(crate) fn lines(&self) -> Result<String> {
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

fn net(address: impl Into<IpAddr>, length: u8) -> Result<IpNet> {
    Ok(IpNet::new(address.into(), length)?)
}
