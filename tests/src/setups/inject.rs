//! Injects leaks, and proves that something leaks.

use super::{leak::LeakKind, program::OutsideProgram, uplink::LineIpv6, wait::retry, world::SetupWorld};
use crate::{
    host::Host,
    plan,
    probe::{ProbeOptions, query_stun_once},
};
use anyhow::{Result, bail, ensure};
use std::{net::IpAddr, time::Duration};

/// A destination that the node never contacts, and the network around it.
const UNUSED_SERVICE: IpAddr = IpAddr::V4(plan::THIRD_STUN);
const UNUSED_NETWORK: &str = "198.19.23.0/24";
/// The routing table of the policy rule.
const RULE_TABLE: &str = "53535";
/// Longest time until the effect of a leak shows.
const EFFECT: Duration = Duration::from_secs(12);

/// An injected leak.
pub(super) enum InjectedLeak {
    Plain,
    Program(OutsideProgram),
}

impl SetupWorld {
    /// Injects a leak.
    pub(super) async fn inject(&mut self, leak: LeakKind) -> Result<InjectedLeak> {
        let next_hop = self.uplink.next_hop();
        match leak {
            LeakKind::NarrowRoute => {
                self.leaking.run_ip(&format!("route add {UNUSED_NETWORK} {next_hop}\n")).await?;
            }
            LeakKind::DhcpRoute => self.offer_route(Some(UNUSED_NETWORK)).await?,
            LeakKind::PolicyRule => {
                let lines = format!(
                    "route add default {next_hop} table {RULE_TABLE}\n\
                     rule add to {UNUSED_NETWORK} lookup {RULE_TABLE} priority 50\n"
                );
                self.leaking.run_ip(&lines).await?;
            }
            LeakKind::DnsPast => self.set_resolver_leak(true).await?,
            LeakKind::Ipv6Past => self.set_ipv6_leak(true).await?,
            LeakKind::ProgramPast => {
                let server = self.world.host("stun-3")?.clone();
                let program = OutsideProgram::start(&self.leaking, &self.uplink, &server).await?;
                return Ok(InjectedLeak::Program(program));
            }
            LeakKind::TunnelGone => self.crash().await?,
        }
        Ok(InjectedLeak::Plain)
    }

    /// Undoes a leak.
    pub(super) async fn undo(&mut self, leak: LeakKind) -> Result<()> {
        match leak {
            LeakKind::NarrowRoute => self.leaking.run_ip(&format!("route delete {UNUSED_NETWORK}\n")).await,
            LeakKind::DhcpRoute => self.offer_route(None).await,
            LeakKind::PolicyRule => {
                let lines = format!(
                    "rule delete to {UNUSED_NETWORK} lookup {RULE_TABLE} priority 50\nroute flush table {RULE_TABLE}\n"
                );
                self.leaking.run_ip(&lines).await
            }
            LeakKind::DnsPast => self.set_resolver_leak(false).await,
            LeakKind::Ipv6Past => self.set_ipv6_leak(false).await,
            // It ends with its handle.
            LeakKind::ProgramPast => Ok(()),
            LeakKind::TunnelGone => self.connect().await,
        }
    }

    async fn set_ipv6_leak(&mut self, leaks: bool) -> Result<()> {
        let router = match self.uplink.ipv6 {
            LineIpv6::None => bail!("the line has no IPv6"),
            LineIpv6::Native(_) => return self.set_tunnel_ipv6(!leaks).await,
            LineIpv6::Possible(router) => router,
        };
        let (address, verb) = (plan::LAPTOP_V6, if leaks { "add" } else { "delete" });
        let mut lines = [
            format!("address {verb} {address}/64 dev eth0{}\n", if leaks { " nodad" } else { "" }),
            format!("route {verb} ::/0 via {router} dev eth0\n"),
        ];
        if !leaks {
            lines.reverse();
        }
        self.leaking.run_ip(&lines.concat()).await
    }

    /// Waits until the world itself shows that something leaks, whatever the node reports.
    ///
    /// # Errors
    /// Fails if it does not show.
    pub(super) async fn prove(&self, leak: LeakKind, injected: &InjectedLeak) -> Result<()> {
        let within = EFFECT;
        match (leak, injected) {
            (LeakKind::DnsPast, _) => retry(within, async || self.require_leaking_names().await).await,
            (_, InjectedLeak::Program(program)) => {
                retry(within, async || {
                    let seen = program.seen_at()?;
                    ensure!(self.uplink.is_home(seen), "the program is seen at {seen}");
                    Ok(())
                })
                .await
            }
            (leak, InjectedLeak::Plain) => {
                let service = service_of(leak);
                retry(within, async || self.require_home(&self.laptop, service).await).await
            }
        }
    }

    /// Returns the routes and rules of the host that has the line, for messages.
    pub(super) async fn list_routes(&self) -> String {
        let script = "ip -4 route; ip -4 rule; ip -6 route show default";
        let listed = self.machine.output("sh", &["-c", script], "").await;
        listed.unwrap_or_else(|error| format!("{error:#}")).replace('\n', ", ")
    }

    /// Succeeds if nothing gets out by a leak now.
    ///
    /// # Errors
    /// Fails if something does.
    pub(super) async fn require_held(&self, leak: LeakKind, injected: &InjectedLeak) -> Result<()> {
        let leaks = match (leak, injected) {
            (LeakKind::DnsPast, _) => self.require_leaking_names().await,
            (_, InjectedLeak::Program(program)) => program.seen_at().map(drop),
            (leak, InjectedLeak::Plain) => self.require_home(&self.laptop, service_of(leak)).await,
        };
        ensure!(leaks.is_err(), "it leaks, although the setup should hold it back");
        Ok(())
    }

    /// Succeeds if a service sees a host at the line's address.
    async fn require_home(&self, host: &Host, service: IpAddr) -> Result<()> {
        let (seen, _) = query_stun_once(host, service, ProbeOptions::default()).await?;
        let home = self.uplink.is_home(seen) || seen.to_string().starts_with("2001:db8:51:");
        ensure!(home, "{service} sees {seen}");
        Ok(())
    }

    /// Succeeds if a new name, looked up as programs do, is asked by the line's operator.
    ///
    /// The canary zone answers with the address that asked. `getent` is a new process each time,
    /// so that it reads the configuration of this moment.
    async fn require_leaking_names(&self) -> Result<()> {
        let name = format!("control-{:x}.{}", fastrand::u64(..), plan::CANARY_ZONE);
        let answer = self.laptop.output("timeout", &["3", "getent", "ahostsv4", &name], "").await?;
        ensure!(answer.contains(&plan::ISP_RESOLVER.to_string()), "{} asks", answer.trim());
        Ok(())
    }
}

/// Returns the service that sees the line's address while something leaks.
fn service_of(leak: LeakKind) -> IpAddr {
    match leak {
        LeakKind::Ipv6Past => plan::STUN_V6.into(),
        LeakKind::TunnelGone => plan::STUN.into(),
        _ => UNUSED_SERVICE,
    }
}
