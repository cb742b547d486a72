//! Faults of the user's other nodes.
//!
//! The node itself reports correctly what it sees; the fault is in its network.

use super::{
    dns,
    parameters::Falsification,
    public_services::{add_delay, falsify_source, planned_conditions, restore_source},
};
use crate::{
    internet::Direction,
    plan::{self, gateway_of, router_of},
    services::{Upstream, start_resolver},
    world::World,
};
use anyhow::Result;
use std::net::Ipv4Addr;

/// Makes a node see every caller at one address.
pub(super) async fn falsify_address(world: &World, node: &str, address: Ipv4Addr) -> Result<()> {
    falsify_source(world.host(router_of(node)?)?, "postrouting", "oifname lan", address).await
}

/// Makes the node's router its resolver, which falsifies the whole panel.
pub(super) async fn falsify_dns(world: &mut World, node: &str) -> Result<()> {
    let (router, gateway) = (router_of(node)?, gateway_of(node)?);
    let upstream = Upstream::Forward(plan::resolver_of(node, &world.spec.with));
    let resolver = start_resolver(&world.hosts, router, gateway, upstream).await?;
    world.services.push(resolver);
    for name in plan::panel(&world.spec.with) {
        dns::falsify_name(world, router, name, Falsification::Bogon).await?;
    }
    world.host(node)?.set_resolvers(&[gateway.into()])
}

/// Delays the packets of a node's network.
pub(super) fn slow_down(world: &World, node: &str, ms: f64) -> Result<()> {
    add_delay(world, router_of(node)?, ms)
}

/// Ends all faults of a node. The falsifying resolver keeps running, but the node no longer uses
/// it.
pub(super) async fn restore(world: &World, node: &str) -> Result<()> {
    let router = router_of(node)?;
    let planned = planned_conditions(world, router)?;
    world.internet.change_link(router, Direction::Both, |conditions| *conditions = planned)?;
    restore_source(world.host(router)?).await?;
    world.host(node)?.set_resolvers(&[plan::resolver_of(node, &world.spec.with).into()])
}
