//! The leaks: how each is injected, where it applies, and what shows that it is real.

use super::{
    client::{ClientKind, Place},
    dhcp::DhcpKind,
    line::LineIpv6,
    program::OutsideProgram,
    setup::Setup,
    wait::retry,
    world::SetupWorld,
};
use crate::{
    host::Host,
    plan,
    probe::{ProbeOptions, query_stun_once},
};
use anyhow::{Result, bail, ensure};
use sentinel_model::{Family, Finding, Severity, Snapshot, Verdict};
use std::{net::IpAddr, time::Duration};

/// A destination that the node never contacts, and the network around it.
const UNUSED_SERVICE: IpAddr = IpAddr::V4(plan::THIRD_STUN);
const UNUSED_NETWORK: &str = "198.19.23.0/24";
/// The routing table of the policy rule.
const RULE_TABLE: &str = "53535";
/// Longest time until the effect of a leak shows.
const EFFECT: Duration = Duration::from_secs(12);

/// A leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeakKind {
    /// A program adds a route for a /24 past the tunnel.
    NarrowRoute,
    /// The DHCP server hands out such a route (option 121).
    DhcpRoute,
    /// A policy rule leads the /24 to a table with a route past the tunnel.
    PolicyRule,
    /// Names are asked of the line's resolver.
    DnsPast,
    /// IPv6 leaves by the line.
    Ipv6Past,
    /// One program is bound to the line's device.
    ProgramPast,
    /// The tunnel's device goes.
    TunnelGone,
}

/// Whether a leak can happen in a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applicability {
    /// It leaks, and must be found.
    Leaks,
    /// The setup holds it back, so that no exposure may be reported.
    Held,
    /// It cannot be injected, for this reason.
    Not(&'static str),
}

impl LeakKind {
    /// All of them, in the order in which they are injected.
    pub(crate) const ALL: &'static [Self] = &[
        Self::NarrowRoute,
        Self::DhcpRoute,
        Self::PolicyRule,
        Self::DnsPast,
        Self::Ipv6Past,
        Self::ProgramPast,
        Self::TunnelGone,
    ];

    /// Returns the name in the matrix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NarrowRoute => "route",
            Self::DhcpRoute => "dhcp-route",
            Self::PolicyRule => "rule",
            Self::DnsPast => "dns",
            Self::Ipv6Past => "ipv6",
            Self::ProgramPast => "program",
            Self::TunnelGone => "tunnel-gone",
        }
    }

    /// Returns one sentence for the documentation.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::NarrowRoute => {
                "a program adds a route for a /24, in which nothing is that the node contacts"
            }
            Self::DhcpRoute => "the DHCP server hands out such a route (option 121, TunnelVision)",
            Self::PolicyRule => {
                "a policy rule leads the /24 to a table of its own, with a route past the tunnel"
            }
            Self::DnsPast => "names are asked of the line's resolver, as after a renewed lease",
            Self::Ipv6Past => {
                "IPv6 leaves by the line: the router begins to advertise it, or the tunnel loses it"
            }
            Self::ProgramPast => "one program is bound to the line's device and exchanges data with a server",
            Self::TunnelGone => "the VPN client crashes, and its device goes",
        }
    }

    /// Returns the longest time until it must be found.
    ///
    /// What the machine itself shows must be found within 3 s, the rest within two rounds. A
    /// forwarder's new servers stand in no file of the system.
    pub(crate) fn deadline(self, setup: Setup) -> Duration {
        let hidden = setup.client == ClientKind::OnTheRouter || setup.resolver.is_forwarder();
        let remote = hidden && self == Self::DnsPast;
        if remote || self == Self::ProgramPast { Duration::from_mins(1) } else { Duration::from_secs(3) }
    }

    /// Returns whether it can happen in a setup.
    pub(crate) fn applicability(self, setup: Setup) -> Applicability {
        if self == Self::DhcpRoute && setup.dhcp == DhcpKind::Fixed {
            return Applicability::Not("no DHCP");
        }
        let inside = setup.client.place() == Place::Namespace;
        if self == Self::Ipv6Past && (inside || setup.line.ipv6() == LineIpv6::None) {
            return Applicability::Not("no IPv6");
        }
        setup.client.holds(self, setup.line).unwrap_or(Applicability::Leaks)
    }

    /// Returns true if a snapshot reports it.
    pub(crate) fn is_reported(self, snapshot: &Snapshot) -> bool {
        let shown = &snapshot.shown;
        let found = |names: &[&str], family: Option<Family>| {
            let mut findings = shown.findings.iter();
            findings.any(|finding| {
                is_alarm(finding)
                    && names.contains(&finding.kind.name())
                    && (family.is_none() || finding.family == family)
            })
        };
        match self {
            Self::NarrowRoute | Self::DhcpRoute | Self::PolicyRule => {
                found(&["route-outside-tunnel", "exit-exposed"], Some(Family::V4))
            }
            Self::DnsPast => found(&["dns-leak"], None) && shown.verdict.verdict == Verdict::Exposed,
            Self::Ipv6Past => {
                found(&["exit-exposed", "route-outside-tunnel"], Some(Family::V6))
                    && shown.verdict.verdict == Verdict::Exposed
            }
            Self::ProgramPast => found(&["application-outside-tunnel"], None),
            Self::TunnelGone => {
                found(&["exit-exposed", "exit-unexpected"], None) && shown.verdict.verdict == Verdict::Exposed
            }
        }
    }
}

/// Returns true if a finding demands the person's attention.
pub(crate) fn is_alarm(finding: &Finding) -> bool {
    finding.severity >= Severity::Warning
}

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
