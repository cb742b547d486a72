//! Faults of the user's other nodes. The node itself stays honest: what it sees is what is wrong.

use super::{
    inject::network_of,
    names::{self, Lie},
    services::{delay, falsify_source, planned, restore_source},
};
use crate::{
    internet::Direction,
    plan,
    services::resolvers::{Upstream, start_one},
    world::World,
};
use anyhow::{Result, bail};
use std::net::Ipv4Addr;

pub(super) async fn lie_address(world: &World, node: &str, address: Ipv4Addr) -> Result<()> {
    falsify_source(world.host(network_of(node)?)?, "postrouting", "oifname lan", address).await
}

/// The node's router resolves names for it from now on, and lies about the whole panel.
pub(super) async fn lie_dns(world: &mut World, node: &str) -> Result<()> {
    let (router, gateway) = (network_of(node)?, gateway_of(node)?);
    let truth = Upstream::Forward(plan::resolver_of(node, &world.spec.with));
    let resolver = start_one(&world.hosts, router, gateway, truth).await?;
    world.services.push(resolver);
    for name in plan::panel(&world.spec.with) {
        names::lie(world, router, name, Lie::Bogon).await?;
    }
    world.host(node)?.set_resolvers(&[gateway.into()])
}

pub(super) fn slow(world: &World, node: &str, ms: f64) -> Result<()> {
    delay(world, network_of(node)?, ms)
}

/// The lying resolver stays, and nobody asks it any more.
pub(super) async fn back(world: &World, node: &str) -> Result<()> {
    let network = network_of(node)?;
    let planned = planned(world, network)?;
    world.internet.set(network, Direction::Both, |conditions| *conditions = planned)?;
    restore_source(world.host(network)?).await?;
    world.host(node)?.set_resolvers(&[plan::resolver_of(node, &world.spec.with).into()])
}

/// The address of a node's router on its LAN.
fn gateway_of(node: &str) -> Result<Ipv4Addr> {
    match node {
        "vps" => Ok(plan::CLOUD_ROUTER),
        "home-server" => Ok(plan::SECOND_ROUTER),
        _ => bail!("{node} is nobody's witness: it is vps or home-server"),
    }
}
