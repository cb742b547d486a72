//! A LAN behind a home router with NAT.

use crate::{
    host::Host,
    plan,
    setups::{
        line::{LineIpv6, Uplink},
        part::PartInfo,
    },
    world::World,
};
use anyhow::Result;
use sentinel_model::IpNet;
use std::net::IpAddr;

pub(in crate::setups) const INFO: PartInfo = PartInfo {
    name: "ethernet",
    summary: "a LAN behind a home router with NAT; addresses by DHCP",
    programs: &[],
    stand_in: None,
};

pub(in crate::setups) async fn install(_world: &World, machine: &Host) -> Result<Uplink> {
    machine.run_ip("link set eth0 up\n").await?;
    Ok(uplink())
}

/// Returns the connection by the home LAN.
pub(super) fn uplink() -> Uplink {
    Uplink {
        device: "eth0".to_owned(),
        address: plan::LAPTOP,
        gateway: Some(plan::ROUTER),
        resolver: plan::ROUTER,
        ipv6: LineIpv6::Possible(plan::ROUTER_V6),
        seen_at: vec![IpNet::from(IpAddr::from(plan::HOME))],
    }
}
