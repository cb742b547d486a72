//! The laptop's move to another network.

use crate::{
    access_network::AccessNetwork, faults::parameters::NetworkName, ip_commands::add_address, world::World,
};
use anyhow::{Result, ensure};

/// Connects the laptop to another network.
///
/// The far end of its cable moves from one router to another, which takes the link down meanwhile.
/// Then the laptop gets new addresses, and the VPN client restores the route to its server and sets
/// the endpoint again.
pub(crate) async fn roam(world: &mut World, to: NetworkName) -> Result<()> {
    let network = match to {
        NetworkName::Home => AccessNetwork::home(world.spec.ipv6)?,
        NetworkName::Cafe => AccessNetwork::cafe()?,
    };
    ensure!(network.router != world.network.router, "the laptop is already connected to this network");
    let gateway = network.gateway(world.spec.ipv6.main_family())?;
    let laptop = world.laptop()?;
    laptop.run_ip("link set eth0 down\naddress flush dev eth0\n").await?;
    let old = world.host(world.network.router)?;
    old.run_ip(&format!("link set lan netns {}\n", network.router)).await?;
    let mut lines = "link set lan up\n".to_owned();
    for address in &network.router_addresses {
        lines += &add_address(*address, "lan");
    }
    world.host(network.router)?.run_ip(&lines).await?;
    world.tunnel.gateway = gateway;
    let endpoint = world.tunnel.endpoint_route().unwrap_or_default();
    world.laptop()?.run_ip(&format!("{}{endpoint}", network.configuration_lines()?)).await?;
    world.network = network;
    world.tunnel.refresh_endpoint().await
}
