//! Faults of name resolution: interception, forwarding, and falsified answers.

use super::parameters::{
    Change, DnsTransport, Falsification, FalsifiedNames, ForwardTarget, Interceptor, Resolver,
};
use crate::{
    plan,
    services::{build_rewritten_zone, control_resolver, reconfigure_resolver},
    world::World,
};
use anyhow::{Context, Result};
use std::{fs, net::Ipv4Addr};

/// The private address of falsified answers.
pub(super) const BOGON: Ipv4Addr = Ipv4Addr::new(10, 66, 66, 66);
/// The private IPv6 address of falsified answers.
pub(super) const BOGON_V6: &str = "fd00:66::66";

/// Redirects forwarded queries for port 53 to the interceptor's own resolver, or stops doing so.
///
/// The same rules give the replies the address that was queried.
pub(super) async fn intercept(
    world: &World,
    by: Interceptor,
    transport: DnsTransport,
    change: Change,
) -> Result<()> {
    let (host, from, resolver) = match by {
        Interceptor::Isp => ("home-router", "lan", plan::ISP_RESOLVER),
        Interceptor::Vpn => ("vpn", "wgs0", plan::VPN_RESOLVER),
    };
    let transports = match transport {
        DnsTransport::Udp => "udp",
        DnsTransport::Tcp => "tcp",
        DnsTransport::Both => "udp, tcp",
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

/// Changes the upstream of the VPN's resolver.
pub(super) async fn set_forwarding(world: &World, to: ForwardTarget) -> Result<()> {
    let vpn = world.host("vpn")?;
    match to {
        ForwardTarget::ThirdParty => {
            control_resolver(vpn, &["forward_add", ".", &plan::PUBLIC_RESOLVER.to_string()]).await
        }
        ForwardTarget::Itself => control_resolver(vpn, &["forward_remove", "."]).await,
    }
}

/// Makes a resolver falsify names of the panel, or stops it.
pub(super) async fn falsify(
    world: &World,
    at: Resolver,
    names: FalsifiedNames,
    with: Falsification,
    change: Change,
) -> Result<()> {
    let host = at.host();
    if with == Falsification::NxdomainRewrite {
        return rewrite_nonexistent(world, host, change).await;
    }
    let count = match names {
        FalsifiedNames::One => 1,
        FalsifiedNames::Many => usize::MAX,
    };
    for name in plan::panel(&world.spec.with).into_iter().take(count) {
        match change {
            Change::Add => falsify_name(world, host, name, with).await?,
            Change::Remove => control_resolver(world.host(host)?, &["local_zone_remove", name]).await?,
        }
    }
    Ok(())
}

/// Makes the resolver of a host falsify one name. Its local data takes precedence over its cache.
pub(super) async fn falsify_name(world: &World, host: &str, name: &str, with: Falsification) -> Result<()> {
    let host = world.host(host)?;
    let correct = plan::PANEL.iter().find(|(panel_name, _, _)| *panel_name == name).map(|(_, v4, _)| *v4);
    let (zone, records) = match with {
        Falsification::Bogon => ("redirect", vec![format!("A {BOGON}")]),
        Falsification::OtherServer => ("redirect", vec![format!("A {}", plan::IMPOSTOR)]),
        Falsification::AaaaOnly => {
            let correct = correct.with_context(|| format!("{name} has no address in the panel"))?;
            ("redirect", vec![format!("A {correct}"), format!("AAAA {BOGON_V6}")])
        }
        Falsification::Nxdomain | Falsification::NxdomainRewrite => ("always_nxdomain", Vec::new()),
    };
    control_resolver(host, &["local_zone", name, zone]).await?;
    for record in records {
        control_resolver(host, &["local_data", &format!("{name} 60 IN {record}")]).await?;
    }
    Ok(())
}

/// Makes a resolver answer from a zone in which every nonexistent name has an address, or stops it.
async fn rewrite_nonexistent(world: &World, host: &str, change: Change) -> Result<()> {
    let host = world.host(host)?;
    let path = host.directory().join("rewritten.zone");
    let more = match change {
        Change::Remove => String::new(),
        Change::Add => {
            fs::write(&path, build_rewritten_zone(&world.spec.with, plan::IMPOSTOR)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
            format!(
                "auth-zone:\n  name: \".\"\n  zonefile: \"{}\"\n  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n",
                path.display()
            )
        }
    };
    reconfigure_resolver(host, &more).await
}
