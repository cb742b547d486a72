//! What goes wrong with the laptop's routes, its firewall and the networks around it.

mod lan;
mod time;

pub(crate) use lan::{captive_portal, dhcp_route, router_advertisement};
pub(crate) use time::{clock_jumped, fake_clock, suspended};

use super::{Change, Whereabouts};
use crate::{
    host::Host,
    place::Place,
    plan::{self, Extra},
    wiring::add_address,
    world::World,
};
use anyhow::{Context, Result, ensure};
use sentinel_model::{Family, IpNet};

/// The routing table of the policy rule: the number wg-quick uses for its own.
const RULE_TABLE: &str = "51820";
/// Before the rules for the main table (32766).
const RULE_PRIORITY: &str = "100";

fn family(prefix: IpNet) -> Family {
    if prefix.addr().is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The laptop's way past the tunnel, as `ip route` writes it.
fn egress(world: &World, family: Family) -> Result<String> {
    Ok(format!("via {} dev eth0", world.place.gateway(family)?))
}

pub(crate) async fn route_outside(world: &World, prefix: IpNet, change: Change) -> Result<()> {
    let verb = match change {
        Change::Add => "add",
        Change::Remove => "delete",
    };
    let way = egress(world, family(prefix))?;
    world.laptop()?.ip(&format!("route {verb} {prefix} {way}\n")).await
}

/// The table is there already where the world has one: then the rule is all that moves.
pub(crate) async fn policy_rule(world: &World, prefix: Option<IpNet>, change: Change) -> Result<()> {
    let laptop = world.laptop()?;
    let family = prefix.map_or(Family::V4, family);
    let to = prefix.map_or_else(|| "all".to_owned(), |prefix| prefix.to_string());
    let prepared = world.spec.with.contains(&Extra::SecondTable);
    let rule = |verb: &str| {
        format!("{} rule {verb} to {to} lookup {RULE_TABLE} priority {RULE_PRIORITY}", version(family))
    };
    if change == Change::Add && !prepared {
        second_table(world, family).await?;
    }
    command(laptop, &rule(if change == Change::Add { "add" } else { "delete" })).await?;
    if change == Change::Remove && !prepared {
        command(laptop, &format!("{} route flush table {RULE_TABLE}", version(family))).await?;
    }
    Ok(())
}

/// Gives the laptop a table with nothing but the way past the tunnel.
pub(crate) async fn second_table(world: &World, family: Family) -> Result<()> {
    let way = egress(world, family)?;
    let route = format!("{} route replace default {way} table {RULE_TABLE}", version(family));
    command(world.laptop()?, &route).await
}

fn version(family: Family) -> &'static str {
    if family == Family::V4 { "-4" } else { "-6" }
}

async fn command(host: &Host, words: &str) -> Result<()> {
    host.output("ip", &words.split(' ').collect::<Vec<_>>(), "").await.map(drop)
}

/// Forwarding ends; what the two hosts send themselves still goes.
pub(crate) async fn ipv6_dead(world: &World, change: Change) -> Result<()> {
    let rules = "table ip6 dead {
        chain forward {
            type filter hook forward priority filter - 10; policy drop
        }
    }";
    for host in [world.place.router, "vpn"] {
        firewall(world.host(host)?, "ip6 dead", rules, change).await?;
    }
    Ok(())
}

/// As VPN clients close it: by interface, so that it holds without the tunnel too.
pub(crate) async fn kill_switch(world: &World, change: Change) -> Result<()> {
    let endpoint = match change {
        Change::Add => {
            let endpoint = world.tunnel.endpoint().context("the tunnel is down, so its server is unknown")?;
            let ip = if endpoint.is_ipv4() { "ip" } else { "ip6" };
            format!("{ip} daddr {endpoint} udp dport {} accept", plan::WIREGUARD_PORT)
        }
        Change::Remove => String::new(),
    };
    // ARP does not pass here at all.
    let rules = format!(
        "table inet kill_switch {{
            chain output {{
                type filter hook output priority filter
                oifname != eth0 accept
                {endpoint}
                udp sport 68 udp dport 67 accept
                udp sport 546 udp dport 547 accept
                icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept
                reject
            }}
        }}"
    );
    firewall(world.laptop()?, "inet kill_switch", &rules, change).await
}

/// Installs a table of firewall rules, or removes it.
async fn firewall(host: &Host, table: &str, rules: &str, change: Change) -> Result<()> {
    let rules = match change {
        Change::Add => rules.to_owned(),
        Change::Remove => format!("delete table {table}"),
    };
    host.output("nft", &["-f", "-"], &rules).await.map(drop)
}

/// The far end of the laptop's cable is unplugged from one router and plugged into another, which takes the link down in
/// between. Whoever manages the network then readdresses it, and the VPN client puts its server's route back and
/// tells WireGuard.
pub(crate) async fn roamed(world: &mut World, to: Whereabouts) -> Result<()> {
    let place = match to {
        Whereabouts::Home => Place::home(world.spec.ipv6)?,
        Whereabouts::Cafe => Place::cafe()?,
    };
    ensure!(place.router != world.place.router, "the laptop is there already");
    let gateway = place.gateway(world.spec.ipv6.main_family())?;
    let laptop = world.laptop()?;
    laptop.ip("link set eth0 down\naddress flush dev eth0\n").await?;
    let old = world.host(world.place.router)?;
    old.ip(&format!("link set lan netns {}\n", place.router)).await?;
    let mut lines = "link set lan up\n".to_owned();
    for address in &place.router_addresses {
        lines += &add_address(*address, "lan");
    }
    world.host(place.router)?.ip(&lines).await?;
    world.tunnel.gateway = gateway;
    let endpoint = world.tunnel.endpoint_route().unwrap_or_default();
    world.laptop()?.ip(&format!("{}{endpoint}", place.lines()?)).await?;
    world.place = place;
    world.tunnel.refresh().await
}
