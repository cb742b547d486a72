//! Faults made with firewall rules: the kill switch, and IPv6 that is not forwarded.

use crate::{faults::parameters::Change, host::Host, plan, world::World};
use anyhow::{Context, Result};

/// Stops the home router and the VPN server from forwarding IPv6, or lets them forward it again.
///
/// Their own packets are not affected.
pub(crate) async fn block_ipv6(world: &World, change: Change) -> Result<()> {
    let rules = "table ip6 dead {
        chain forward {
            type filter hook forward priority filter - 10; policy drop
        }
    }";
    for host in [world.network.router, "vpn"] {
        change_table(world.host(host)?, "ip6 dead", rules, change).await?;
    }
    Ok(())
}

/// Closes or opens the laptop's kill switch.
///
/// Like that of a VPN client it blocks an interface, so it also holds without the tunnel.
pub(crate) async fn set_kill_switch(world: &World, change: Change) -> Result<()> {
    let endpoint = match change {
        Change::Add => {
            let endpoint = world.tunnel.endpoint().context("the tunnel is down, so its server is unknown")?;
            let ip = if endpoint.is_ipv4() { "ip" } else { "ip6" };
            format!("{ip} daddr {endpoint} udp dport {} accept", plan::WIREGUARD_PORT)
        }
        Change::Remove => String::new(),
    };
    // ARP does not pass through this hook.
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
    change_table(world.laptop()?, "inet kill_switch", &rules, change).await
}

/// Installs a table of firewall rules on a host, or deletes it.
pub(super) async fn change_table(host: &Host, table: &str, rules: &str, change: Change) -> Result<()> {
    let rules = match change {
        Change::Add => rules.to_owned(),
        Change::Remove => format!("delete table {table}"),
    };
    host.output("nft", &["-f", "-"], &rules).await.map(drop)
}
