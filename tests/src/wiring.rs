//! Cables, addresses, routes and NAT of the standard world.

use crate::{
    host::Host,
    internet::{Builder, Conditions, DEVICE, Internet},
    place::Place,
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

/// Every host by name.
pub(crate) type Hosts = BTreeMap<String, Host>;

/// A LAN: one router and one machine behind it.
struct Lan {
    router: &'static str,
    machine: &'static str,
    router_addresses: Vec<IpNet>,
    machine_addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
}

/// Makes all hosts, connects them, and starts the Internet between them.
pub(crate) async fn build(
    seed: u64,
    with: &Extras,
    links: &BTreeMap<String, Conditions>,
    home: &Place,
) -> Result<(Hosts, Internet)> {
    let hosts = make_hosts(&plan::hosts(with)).await?;
    let mut builder = Builder::new(seed);
    let attachments = plan::attachments(with);
    for attachment in &attachments {
        let conditions = links.get(attachment.host).copied().unwrap_or(attachment.conditions);
        builder.attach(host(&hosts, attachment.host)?, &prefixes(attachment)?, conditions)?;
    }
    try_join_all(attachments.iter().map(|attachment| configure(&hosts, attachment))).await?;
    try_join_all(lans(home)?.iter().map(|lan| connect(&hosts, lan))).await?;
    try_join_all([
        router_rules(host(&hosts, "home-router")?, None),
        router_rules(host(&hosts, "cafe-router")?, None),
        router_rules(host(&hosts, "second-router")?, Some((plan::SERVER, plan::SERVER_V6))),
    ])
    .await?;
    forwards(host(&hosts, "cafe-router")?)?;
    Ok((hosts, builder.start()?))
}

/// Looks a host up.
///
/// # Errors
/// There is none of that name.
pub(crate) fn host<'a>(hosts: &'a Hosts, name: &str) -> Result<&'a Host> {
    let known = || hosts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    hosts.get(name).with_context(|| format!("there is no host {name}; these are: {}", known()))
}

/// Removes the namespaces. What still runs in them keeps them until it ends.
pub(crate) fn remove(hosts: &Hosts) {
    for name in hosts.keys() {
        // At worst the sandbox's own end removes it.
        let _ = std::process::Command::new("ip").args(["netns", "delete", name]).status();
    }
}

async fn make_hosts(names: &[&str]) -> Result<Hosts> {
    let lines = names.iter().map(|name| format!("netns add {name}\n")).collect::<Vec<_>>().concat();
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    crate::host::output(command, &lines).await.context("cannot make the hosts' network namespaces")?;
    let hosts =
        names.iter().map(|name| Ok(((*name).to_owned(), Host::open(name)?))).collect::<Result<Hosts>>()?;
    for host in hosts.values() {
        host.sysctl(&[("net/ipv4/conf/all/rp_filter", "0"), ("net/ipv4/conf/default/rp_filter", "0")])?;
    }
    join_all(hosts.values().map(|host| host.ip("link set lo up")))
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    Ok(hosts)
}

fn prefixes(attachment: &Attachment) -> Result<Vec<IpNet>> {
    let own = attachment.addresses.iter().map(|address| Ok(IpNet::from(*address)));
    own.chain(attachment.prefixes.iter().map(|text| plan::prefix(text))).collect()
}

async fn configure(hosts: &Hosts, attachment: &Attachment) -> Result<()> {
    let host = host(hosts, attachment.host)?;
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
    host.ip(&lines).await
}

fn lans(home: &Place) -> Result<Vec<Lan>> {
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
            router_addresses: vec![net(plan::SECOND_ROUTER, 24)?, net(plan::SECOND_ROUTER_V6, 64)?],
            machine_addresses: vec![net(plan::SERVER, 24)?, net(plan::SERVER_V6, 64)?],
            gateways: vec![plan::SECOND_ROUTER.into(), plan::SECOND_ROUTER_V6.into()],
        },
        Lan {
            router: "cloud",
            machine: "vps",
            router_addresses: vec![
                net(plan::CLOUD_ROUTER, 24)?,
                net(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1), 64)?,
            ],
            machine_addresses: vec![net(plan::VPS, 24)?, net(plan::VPS_V6, 64)?],
            gateways: vec![
                plan::CLOUD_ROUTER.into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1).into(),
            ],
        },
    ])
}

/// Without duplicate address detection, which would hold an IPv6 address back for a second.
pub(crate) fn add_address(address: IpNet, device: &str) -> String {
    let at_once = if matches!(address, IpNet::V6(_)) { " nodad" } else { "" };
    format!("address add {address} dev {device}{at_once}\n")
}

fn net(address: impl Into<IpAddr>, length: u8) -> Result<IpNet> {
    Ok(IpNet::new(address.into(), length)?)
}

async fn connect(hosts: &Hosts, lan: &Lan) -> Result<()> {
    let (router, machine) = (host(hosts, lan.router)?, host(hosts, lan.machine)?);
    let mut lines = format!("link add lan type veth peer name eth0 netns {}\nlink set lan up\n", lan.machine);
    for address in &lan.router_addresses {
        lines += &add_address(*address, "lan");
    }
    router.ip(&lines).await?;
    forwards(router)?;
    let mut lines = "link set eth0 up\n".to_owned();
    for address in &lan.machine_addresses {
        lines += &add_address(*address, "eth0");
    }
    for gateway in &lan.gateways {
        let default = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        writeln!(lines, "route add {default} via {gateway} dev eth0")?;
    }
    machine.ip(&lines).await
}

/// Makes a host a router.
fn forwards(router: &Host) -> Result<()> {
    router.sysctl(&[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])
}

/// What a home router does: NAT for IPv4, nothing unasked comes in, except STUN to one machine where wanted.
async fn router_rules(router: &Host, stun: Option<(Ipv4Addr, Ipv6Addr)>) -> Result<()> {
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
