//! The leaks, and what reports each of them.

use sentinel_model::{Family, Finding, Severity, Snapshot, Verdict};

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
