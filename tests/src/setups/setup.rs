//! One composition of parts.

use super::{
    client::{ClientKind, Place},
    dhcp::DhcpKind,
    leak::{Applicability, LeakKind},
    line::LineKind,
    part::PartInfo,
    resolvers::ResolverKind,
    uplink::LineIpv6,
};
use anyhow::{Context, Result, ensure};
use std::{fmt, str::FromStr, time::Duration};

/// A composition of parts, which its name lists: `ethernet+wg-quick+file+udhcpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Setup {
    pub(crate) line: LineKind,
    pub(crate) client: ClientKind,
    pub(crate) resolver: ResolverKind,
    pub(crate) dhcp: DhcpKind,
}

impl Setup {
    /// Returns all compositions that make sense, in a fixed order.
    pub(crate) fn list_all() -> Vec<Self> {
        let mut all = Vec::new();
        for &line in LineKind::ALL {
            for &client in ClientKind::ALL {
                for &resolver in ResolverKind::ALL {
                    for &dhcp in DhcpKind::ALL {
                        all.push(Self { line, client, resolver, dhcp });
                    }
                }
            }
        }
        all.retain(|setup| setup.exclusion().is_none());
        all
    }

    /// Returns the descriptions of the parts: line, client, resolver, DHCP client.
    pub(crate) fn parts(self) -> [PartInfo; 4] {
        [self.line.info(), self.client.info(), self.resolver.info(), self.dhcp.info()]
    }

    /// Returns why the parts cannot be combined, if so.
    pub(crate) fn exclusion(self) -> Option<&'static str> {
        if !self.line.has_dhcp() && self.dhcp != DhcpKind::Fixed {
            return Some("the line has no DHCP");
        }
        if self.client.place() != Place::Machine && self.resolver != ResolverKind::File {
            return Some("a namespace or container has a resolv.conf of its own");
        }
        self.dhcp.excludes(self.resolver).or_else(|| self.client.excludes(self.line))
    }

    /// Returns the longest time until a leak must be found.
    ///
    /// What the machine itself shows must be found within 3 s, the rest within two rounds. The
    /// new servers of a forwarder, of the router, and of what lies outside a container stand in no
    /// file of the system, and nothing but its operator tells a public resolver from others.
    pub(crate) fn deadline(self, leak: LeakKind) -> Duration {
        let hidden = self.client == ClientKind::OnTheRouter
            || self.resolver.is_forwarder()
            || self.client.place() == Place::Namespace
            || self.line.has_public_resolver();
        let remote = hidden && leak == LeakKind::DnsPast;
        if remote || leak == LeakKind::ProgramPast { Duration::from_mins(1) } else { Duration::from_secs(3) }
    }

    /// Returns whether a leak can happen.
    pub(crate) fn applicability(self, leak: LeakKind) -> Applicability {
        if leak == LeakKind::DhcpRoute && self.dhcp == DhcpKind::Fixed {
            return Applicability::Not("no DHCP");
        }
        let inside = self.client.place() == Place::Namespace;
        if leak == LeakKind::Ipv6Past && (inside || self.line.ipv6() == LineIpv6::None) {
            return Applicability::Not("no IPv6");
        }
        self.client.holds(leak, self.line).unwrap_or(Applicability::Leaks)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.parts().map(|part| part.name).join("+"))
    }
}

impl FromStr for Setup {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::list_all().into_iter().find(|setup| setup.to_string() == text);
        let setup = found.with_context(|| {
            format!("{text} is not a world: see `lab matrix --list`, or put parts together as LINE+CLIENT+RESOLVER+DHCP")
        })?;
        ensure!(setup.exclusion().is_none());
        Ok(setup)
    }
}
