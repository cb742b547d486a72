//! Cables, addresses, routes and NAT of the standard world.

use crate::{
    access_network::AccessNetwork,
    host::Host,
    internet::{Conditions, DEVICE, Internet, InternetBuilder},
    ip_commands::{add_address, parse_prefix, with_length},
    plan::{self, Attachment, Extras},
};
use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use sentinel_model::IpNet;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tokio::process::Command;

/// The hosts of a world, by name.
pub(crate) type Hosts = BTreeMap<String, Host>;

/// A LAN with one router and one machine behind it.
struct Lan {
    router: &'static str,
    machine: &'static str,
    router_addresses: Vec<IpNet>,
    machine_addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
}

/// Creates all hosts, connects them, and starts the Internet between them.
pub(crate) async fn build_network(
    seed: u64,
    with: &Extras,
    links: &BTreeMap<String, Conditions>,
    home: &AccessNetwork,
) -> Result<(Hosts, Internet)> {
    let hosts = create_hosts(&plan::list_hosts(with)).await?;
    let mut builder = InternetBuilder::new(seed);
    let attachments = plan::attachments(with);
    for attachment in &attachments {
        let conditions = links.get(attachment.host).copied().unwrap_or(attachment.conditions);
        builder.attach(find_host(&hosts, attachment.host)?, &parse_prefixes(attachment)?, conditions)?;
    }
    try_join_all(attachments.iter().map(|attachment| configure_link(&hosts, attachment))).await?;
    try_join_all(plan_lans(home)?.iter().map(|lan| connect_lan(&hosts, lan))).await?;
    try_join_all([
        install_router_rules(find_host(&hosts, "home-router")?, None),
        install_router_rules(find_host(&hosts, "cafe-router")?, None),
        install_router_rules(find_host(&hosts, "second-router")?, Some((plan::SERVER, plan::SERVER_V6))),
    ])
    .await?;
    enable_forwarding(find_host(&hosts, "cafe-router")?)?;
    Ok((hosts, builder.start()?))
}

/// Finds a host by its name.
///
/// # Errors
/// Fails if there is no such host.
pub(crate) fn find_host<'a>(hosts: &'a Hosts, name: &str) -> Result<&'a Host> {
    let names = || hosts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    hosts.get(name).with_context(|| format!("there is no host {name}; the hosts are {}", names()))
}

/// Deletes the hosts' namespaces. Processes that still run in a namespace keep it until they end.
pub(crate) fn delete_hosts(hosts: &Hosts) {
    for name in hosts.keys() {
        // What this fails to delete ends with the sandbox.
        let _ = std::process::Command::new("ip").args(["netns", "delete", name]).status();
    }
}

async fn create_hosts(names: &[&str]) -> Result<Hosts> {
    let lines = names.iter().map(|name| format!("netns add {name}\n")).collect::<Vec<_>>().concat();
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    crate::host::run_to_end(command, &lines).await.context("cannot create the hosts' network namespaces")?;
    let hosts =
        names.iter().map(|name| Ok(((*name).to_owned(), Host::open(name)?))).collect::<Result<Hosts>>()?;
    for host in hosts.values() {
        host.set_sysctl(&[("net/ipv4/conf/all/rp_filter", "0"), ("net/ipv4/conf/default/rp_filter", "0")])?;
    }
    join_all(hosts.values().map(|host| host.run_ip("link set lo up")))
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    Ok(hosts)
}

fn parse_prefixes(attachment: &Attachment) -> Result<Vec<IpNet>> {
    let own = attachment.addresses.iter().map(|address| Ok(IpNet::from(*address)));
    own.chain(attachment.prefixes.iter().map(|text| parse_prefix(text))).collect()
}

/// Configures the device by which a host is attached to the Internet.
async fn configure_link(hosts: &Hosts, attachment: &Attachment) -> Result<()> {
    let host = find_host(hosts, attachment.host)?;
    let mut lines = format!("link set {DEVICE} up\n");
    for address in &attachment.addresses {
        lines += &add_address(IpNet::from(*address), DEVICE);
    }
    if let Some(source) = attachment.addresses.iter().find(|address| address.is_ipv4()) {
        writeln!(lines, "route add 0.0.0.0/0 dev {DEVICE} src {source}")?;
    }
    if attachment.addresses.iter().any(IpAddr::is_ipv6) {
        writeln!(lines, "route add ::/0 dev {DEVICE}")?;
    }
    host.run_ip(&lines).await
}

fn plan_lans(home: &AccessNetwork) -> Result<Vec<Lan>> {
    Ok(vec![
        Lan {
            router: home.router,
            machine: "laptop",
            router_addresses: home.router_addresses.clone(),
            machine_addresses: home.addresses.clone(),
            gateways: home.gateways.clone(),
        },
        Lan {
            router: "second-router",
            machine: "home-server",
            router_addresses: vec![
                with_length(plan::SECOND_ROUTER, 24)?,
                with_length(plan::SECOND_ROUTER_V6, 64)?,
            ],
            machine_addresses: vec![with_length(plan::SERVER, 24)?, with_length(plan::SERVER_V6, 64)?],
            gateways: vec![plan::SECOND_ROUTER.into(), plan::SECOND_ROUTER_V6.into()],
        },
        Lan {
            router: "cloud",
            machine: "vps",
            router_addresses: vec![
                with_length(plan::CLOUD_ROUTER, 24)?,
                with_length(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1), 64)?,
            ],
            machine_addresses: vec![with_length(plan::VPS, 24)?, with_length(plan::VPS_V6, 64)?],
            gateways: vec![
                plan::CLOUD_ROUTER.into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1).into(),
            ],
        },
    ])
}

/// Connects a machine with its router, and configures both.
async fn connect_lan(hosts: &Hosts, lan: &Lan) -> Result<()> {
    let (router, machine) = (find_host(hosts, lan.router)?, find_host(hosts, lan.machine)?);
    let mut lines = format!("link add lan type veth peer name eth0 netns {}\nlink set lan up\n", lan.machine);
    for address in &lan.router_addresses {
        lines += &add_address(*address, "lan");
    }
    router.run_ip(&lines).await?;
    enable_forwarding(router)?;
    let mut lines = "link set eth0 up\n".to_owned();
    for address in &lan.machine_addresses {
        lines += &add_address(*address, "eth0");
    }
    for gateway in &lan.gateways {
        let default = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        writeln!(lines, "route add {default} via {gateway} dev eth0")?;
    }
    machine.run_ip(&lines).await
}

/// Turns a host into a router.
fn enable_forwarding(router: &Host) -> Result<()> {
    router.set_sysctl(&[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])
}

/// Installs the rules of a home router: NAT for IPv4, and no unsolicited packets to the LAN.
///
/// With `stun`, STUN requests are forwarded to that machine.
async fn install_router_rules(router: &Host, stun: Option<(Ipv4Addr, Ipv6Addr)>) -> Result<()> {
    let port = plan::STUN_PORT;
    let forward =
        stun.map(|(v4, _)| format!("iifname {DEVICE} udp dport {port} dnat to {v4}")).unwrap_or_default();
    let admit = stun.map(|(_, v6)| format!("ip6 daddr {v6} udp dport {port} accept")).unwrap_or_default();
    let rules = format!(
        "table ip nat {{
            chain prerouting {{
                type nat hook prerouting priority dstnat
                {forward}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat
                oifname {DEVICE} masquerade
            }}
        }}
        table inet filter {{
            chain forward {{
                type filter hook forward priority filter
                ct status dnat accept
                {admit}
                iifname {DEVICE} ct state new drop
            }}
        }}"
    );
    router.output("nft", &["-f", "-"], &rules).await.map(drop)
}
