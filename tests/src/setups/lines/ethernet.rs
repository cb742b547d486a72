//! A LAN behind a home router with NAT: alone, behind carrier-grade NAT, and beside another line.

use crate::{
    host::Host,
    plan,
    setups::{
        part::PartInfo,
        uplink::{Line, LineIpv6, Uplink},
    },
    world::World,
};
use anyhow::Result;
use sentinel_model::IpNet;
use std::net::IpAddr;

pub(crate) const INFO: PartInfo = PartInfo {
    name: "ethernet",
    summary: "a LAN behind a home router with NAT",
    programs: &[],
    stand_in: None,
};

pub(crate) const CGNAT_INFO: PartInfo = PartInfo {
    name: "cgnat",
    summary: "the same behind a carrier's NAT: each connection leaves by one of eight addresses of the provider",
    programs: &[],
    stand_in: None,
};

pub(crate) const TWO_UPLINKS_INFO: PartInfo = PartInfo {
    name: "two-uplinks",
    summary: "the same, and a Wi-Fi of another operator with a worse metric",
    programs: &[],
    stand_in: Some("the Wi-Fi is a veth named `wlan0`, as there is no radio"),
};

/// The addresses of the carrier's NAT, which include the home line's.
const POOL: &str = "198.51.100.136/29";
const POOL_RANGE: &str = "198.51.100.136-198.51.100.143";

pub(crate) async fn install(machine: &Host) -> Result<Line> {
    machine.run_ip("link set eth0 up\n").await?;
    Ok(Line::new(uplink(), Vec::new(), Vec::new()))
}

/// Lets the carrier choose one of its addresses for every connection.
pub(crate) async fn install_cgnat(world: &World, machine: &Host) -> Result<Line> {
    let rules = format!(
        "flush chain ip nat postrouting
        add rule ip nat postrouting oifname net0 snat to {POOL_RANGE} random"
    );
    world.host("home-router")?.output("nft", &["-f", "-"], &rules).await?;
    world.internet().reroute(POOL.parse()?, "home-router", &[])?;
    let mut line = install(machine).await?;
    line.uplink.seen_at = vec![POOL.parse()?];
    Ok(line)
}

/// Adds a cable to the café's router, with addresses and a default route of its own.
pub(crate) async fn install_two(world: &World, machine: &Host) -> Result<Line> {
    let router = world.host("cafe-router")?;
    router
        .run_ip(&format!(
            "link add lan type veth peer name wlan0 netns {}\nlink set lan up\naddress add {}/24 dev lan\n",
            machine.name(),
            plan::CAFE_ROUTER
        ))
        .await?;
    machine
        .run_ip(&format!(
            "link set wlan0 up\naddress add {}/24 dev wlan0\nroute add default via {} dev wlan0 metric 600\n",
            plan::LAPTOP_AT_CAFE,
            plan::CAFE_ROUTER
        ))
        .await?;
    install(machine).await
}

/// Returns the connection by the home LAN.
fn uplink() -> Uplink {
    Uplink {
        device: "eth0".to_owned(),
        address: plan::LAPTOP,
        gateway: Some(plan::ROUTER),
        resolver: plan::ROUTER,
        ipv6: LineIpv6::Possible(plan::ROUTER_V6),
        seen_at: vec![IpNet::from(IpAddr::from(plan::HOME))],
        router_device: "lan",
        is_translated: false,
    }
}
