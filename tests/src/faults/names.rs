//! Faults of name resolution: questions that somebody else answers, and answers that are not true.

use super::{Change, Resolver};
use crate::{
    plan,
    services::{
        resolvers::{control, reconfigure},
        rewritten_zone,
    },
    world::World,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{fs, net::Ipv4Addr};

/// Who answers questions that were meant for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interceptor {
    /// The ISP, on the home line.
    Isp,
    /// Example VPN, where the tunnel ends.
    Vpn,
}

/// Which questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Port53 {
    /// Those by UDP.
    Udp,
    /// Those by TCP.
    Tcp,
    /// Both.
    Both,
}

/// Whom the VPN's resolver asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// The public resolver.
    ThirdParty,
    /// The authoritative servers, by itself.
    Itself,
}

/// How much a resolver lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswersOf {
    /// The first name of the panel.
    One,
    /// All of it.
    Many,
}

/// How a resolver lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// With an address from nobody's public range.
    Bogon,
    /// With the address of a server that has no certificate for the name.
    OtherServer,
    /// The IPv4 addresses are true, the IPv6 one is a bogon.
    AaaaOnly,
    /// Names that exist are said not to.
    Nxdomain,
    /// Names that do not exist are given an address; those that do are answered truly.
    NxdomainRewrite,
}

/// An address nobody can be reached at.
pub(super) const BOGON: Ipv4Addr = Ipv4Addr::new(10, 66, 66, 66);
/// The same for IPv6.
pub(super) const BOGON_V6: &str = "fd00:66::66";

/// What passes by for port 53 goes to the interceptor's own resolver. Replies carry the address that was asked, by the
/// same rules.
pub(super) async fn intercept(
    world: &World,
    by: Interceptor,
    transport: Port53,
    change: Change,
) -> Result<()> {
    let (host, from, resolver) = match by {
        Interceptor::Isp => ("home-router", "lan", plan::ISP_RESOLVER),
        Interceptor::Vpn => ("vpn", "wgs0", plan::VPN_RESOLVER),
    };
    let transports = match transport {
        Port53::Udp => "udp",
        Port53::Tcp => "tcp",
        Port53::Both => "udp, tcp",
    };
    let rules = match change {
        Change::Add => format!(
            "table ip interception {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat - 5
                    iifname {from} ip daddr != {router} meta l4proto {{ {transports} }} th dport 53 dnat to {resolver}
                }}
            }}",
            router = plan::ROUTER
        ),
        Change::Remove => "delete table ip interception".to_owned(),
    };
    world.host(host)?.output("nft", &["-f", "-"], &rules).await.map(drop)
}

pub(super) async fn forward(world: &World, to: Forwarding) -> Result<()> {
    let vpn = world.host("vpn")?;
    match to {
        Forwarding::ThirdParty => {
            control(vpn, &["forward_add", ".", &plan::PUBLIC_RESOLVER.to_string()]).await
        }
        Forwarding::Itself => control(vpn, &["forward_remove", "."]).await,
    }
}

pub(super) async fn falsify(
    world: &World,
    at: Resolver,
    names: AnswersOf,
    with: Lie,
    change: Change,
) -> Result<()> {
    let host = at.host();
    if with == Lie::NxdomainRewrite {
        return rewrite(world, host, change).await;
    }
    let count = match names {
        AnswersOf::One => 1,
        AnswersOf::Many => usize::MAX,
    };
    for name in plan::panel(&world.spec.with).into_iter().take(count) {
        match change {
            Change::Add => lie(world, host, name, with).await?,
            Change::Remove => control(world.host(host)?, &["local_zone_remove", name]).await?,
        }
    }
    Ok(())
}

/// Lets the resolver of a host lie about one name. Local data comes before what it has in its cache.
pub(super) async fn lie(world: &World, host: &str, name: &str, with: Lie) -> Result<()> {
    let host = world.host(host)?;
    let truth = plan::PANEL.iter().find(|(known, _, _)| *known == name).map(|(_, v4, _)| *v4);
    let (zone, records) = match with {
        Lie::Bogon => ("redirect", vec![format!("A {BOGON}")]),
        Lie::OtherServer => ("redirect", vec![format!("A {}", plan::IMPOSTOR)]),
        Lie::AaaaOnly => {
            let truth = truth.with_context(|| format!("{name} has no address of its own"))?;
            ("redirect", vec![format!("A {truth}"), format!("AAAA {BOGON_V6}")])
        }
        Lie::Nxdomain | Lie::NxdomainRewrite => ("always_nxdomain", Vec::new()),
    };
    control(host, &["local_zone", name, zone]).await?;
    for record in records {
        control(host, &["local_data", &format!("{name} 60 IN {record}")]).await?;
    }
    Ok(())
}

/// The resolver answers from a copy of the zone in which every missing name has the same address.
async fn rewrite(world: &World, host: &str, change: Change) -> Result<()> {
    let host = world.host(host)?;
    let path = host.directory().join("rewritten.zone");
    let more = match change {
        Change::Remove => String::new(),
        Change::Add => {
            fs::write(&path, rewritten_zone(&world.spec.with, plan::IMPOSTOR)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
            format!(
                "auth-zone:\n  name: \".\"\n  zonefile: \"{}\"\n  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n",
                path.display()
            )
        }
    };
    reconfigure(host, &more).await
}
