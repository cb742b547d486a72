//! Routes outside the tunnel.

use crate::{faults::parameters::Change, host::Host, plan::Extra, world::World};
use anyhow::Result;
use sentinel_model::{Family, IpNet};

/// The routing table of the policy rule: the number that wg-quick uses for its own table.
const RULE_TABLE: &str = "51820";
/// A priority before the rule for the main table (32766).
const RULE_PRIORITY: &str = "100";

fn family_of(prefix: IpNet) -> Family {
    if prefix.addr().is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Returns the laptop's next hop outside the tunnel, in the syntax of `ip route`.
fn next_hop(world: &World, family: Family) -> Result<String> {
    Ok(format!("via {} dev eth0", world.network.gateway(family)?))
}

/// Adds or deletes a route for a prefix outside the tunnel.
pub(crate) async fn set_route_outside(world: &World, prefix: IpNet, change: Change) -> Result<()> {
    let verb = match change {
        Change::Add => "add",
        Change::Remove => "delete",
    };
    let next_hop = next_hop(world, family_of(prefix))?;
    world.laptop()?.run_ip(&format!("route {verb} {prefix} {next_hop}\n")).await
}

/// Adds or deletes a policy rule that selects a table with a route outside the tunnel.
///
/// Creates and deletes the table as well, unless the world has it from the beginning.
pub(crate) async fn set_policy_rule(world: &World, prefix: Option<IpNet>, change: Change) -> Result<()> {
    let laptop = world.laptop()?;
    let family = prefix.map_or(Family::V4, family_of);
    let to = prefix.map_or_else(|| "all".to_owned(), |prefix| prefix.to_string());
    let has_table = world.spec.with.contains(&Extra::SecondTable);
    let rule = |verb: &str| {
        format!("{} rule {verb} to {to} lookup {RULE_TABLE} priority {RULE_PRIORITY}", ip_option(family))
    };
    if change == Change::Add && !has_table {
        create_second_table(world, family).await?;
    }
    run_words(laptop, &rule(if change == Change::Add { "add" } else { "delete" })).await?;
    if change == Change::Remove && !has_table {
        run_words(laptop, &format!("{} route flush table {RULE_TABLE}", ip_option(family))).await?;
    }
    Ok(())
}

/// Creates a routing table on the laptop that contains only a default route outside the tunnel.
pub(crate) async fn create_second_table(world: &World, family: Family) -> Result<()> {
    let next_hop = next_hop(world, family)?;
    let route = format!("{} route replace default {next_hop} table {RULE_TABLE}", ip_option(family));
    run_words(world.laptop()?, &route).await
}

/// Returns the option of `ip` that selects a family.
fn ip_option(family: Family) -> &'static str {
    if family == Family::V4 { "-4" } else { "-6" }
}

/// Runs `ip` with arguments that are separated by single spaces.
async fn run_words(host: &Host, words: &str) -> Result<()> {
    host.output("ip", &words.split(' ').collect::<Vec<_>>(), "").await.map(drop)
}
