//! What the judge concludes.

use crate::{
    entity::Entity,
    net::Family,
    observation::Voice,
    time::{Moment, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The home address is visible from outside, by quorum or by one voice with local evidence.
    ExitExposed,
    /// One voice alone saw the home address.
    ExitSuspect,
    /// The exit contradicts what the user expects.
    ExitUnexpected,
    /// The exit moved to another operator.
    ExitOperatorChanged,
    /// The exit moved within the same operator.
    ExitAddressChanged,
    /// A resolver that belongs to home answered for us, or one was reached outside the tunnel.
    DnsLeak,
    /// A third party's resolver was reached through the tunnel.
    DnsForeignResolver,
    /// Several names resolve to something several witnesses say is wrong.
    DnsTampering,
    /// Somebody on the way answers in place of a public resolver.
    DnsInterception,
    /// The path became much faster than it was.
    LatencyDrop,
    /// Traffic is faster than the tunnel's own path: it is not in the tunnel.
    LatencyFloor,
    /// Packets to somewhere would leave by a physical interface though a tunnel is expected.
    RouteOutsideTunnel,
    /// The tunnel's interface is gone or down.
    TunnelDown,
    /// Nothing but the routes keeps traffic in the tunnel: there is no kill switch, or it is open.
    KillSwitchOpen,
    /// A voice says something else than the quorum.
    VoiceDissents,
    /// No witness answers: the protection is unknown.
    WitnessesSilent,
    /// A node has fallen silent without saying goodbye.
    NodeSilent,
    /// There is no network, or a captive portal in its place.
    Offline,
}

impl FindingKind {
    /// The name used in configuration and the API: `exit-exposed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExitExposed => "exit-exposed",
            Self::ExitSuspect => "exit-suspect",
            Self::ExitUnexpected => "exit-unexpected",
            Self::ExitOperatorChanged => "exit-operator-changed",
            Self::ExitAddressChanged => "exit-address-changed",
            Self::DnsLeak => "dns-leak",
            Self::DnsForeignResolver => "dns-foreign-resolver",
            Self::DnsTampering => "dns-tampering",
            Self::DnsInterception => "dns-interception",
            Self::LatencyDrop => "latency-drop",
            Self::LatencyFloor => "latency-floor",
            Self::RouteOutsideTunnel => "route-outside-tunnel",
            Self::TunnelDown => "tunnel-down",
            Self::KillSwitchOpen => "kill-switch-open",
            Self::VoiceDissents => "voice-dissents",
            Self::WitnessesSilent => "witnesses-silent",
            Self::NodeSilent => "node-silent",
            Self::Offline => "offline",
        }
    }
}

impl FindingKind {
    /// Returns the one title of a finding of this kind, as tray, notification, dashboard, CLI and API show it.
    pub fn title(self, entity: Option<&Entity>) -> String {
        match (self, entity) {
            (Self::ExitExposed, _) => "Your real address is visible",
            (Self::ExitSuspect, _) => "Your real address may be visible",
            (Self::ExitUnexpected, _) => "Your exit is not the one you expect",
            (Self::ExitOperatorChanged, _) => "Your exit moved to another operator",
            (Self::ExitAddressChanged, _) => "Your exit address changed",
            (Self::DnsLeak, _) => "DNS leaves the tunnel",
            (Self::DnsForeignResolver, _) => "A third party resolves your names",
            (Self::DnsTampering, _) => "Names resolve to something else",
            (Self::DnsInterception, _) => "Somebody answers in place of your resolver",
            (Self::LatencyDrop, _) => "The path became faster than your VPN",
            (Self::LatencyFloor, _) => "Traffic is faster than your tunnel can be",
            (Self::RouteOutsideTunnel, _) => "Traffic leaves outside the tunnel",
            (Self::TunnelDown, _) => "The tunnel is down",
            (Self::KillSwitchOpen, _) => "Your kill switch is open",
            (Self::VoiceDissents, Some(voice)) => {
                return format!("{} disagrees with the others", voice.name());
            }
            (Self::VoiceDissents, None) => "A voice disagrees with the others",
            (Self::WitnessesSilent, _) => "Cannot verify your VPN",
            (Self::NodeSilent, Some(node)) => return format!("{} has fallen silent", node.name()),
            (Self::NodeSilent, None) => "A node has fallen silent",
            (Self::Offline, _) => "No network",
        }
        .to_owned()
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a finding matters to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Information,
    /// Worth looking at.
    Warning,
    /// Protection is lost.
    Critical,
}

/// What kind of knowledge a finding rests on; it decides how fast a rule may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// A fact that several sources or the kernel itself vouch for: fires at once.
    Proof,
    /// A statistic: needs repetition.
    Statistic,
    /// An absence: needs repetition over time.
    Silence,
}

/// What identifies a finding from one assessment to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// The kind of finding.
    pub kind: FindingKind,
    /// The family it concerns, where it concerns one.
    pub family: Option<Family>,
    /// The entity it is about, where several of one kind can be found at once.
    pub entity: Option<Entity>,
}

/// What the judge concluded from observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// The family it concerns, where it concerns one.
    pub family: Option<Family>,
    /// The entity it is about, where several of one kind can be found at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// How much it matters.
    pub severity: Severity,
    /// What it rests on.
    pub weight: Weight,
    /// The title, the same wherever the finding is shown.
    pub title: String,
    /// The fact in one sentence a person understands, without its time: `198.51.100.142 (Example ISP) seen over IPv4 by
    /// vps-fra and home-server.`
    pub sentence: String,
    /// What to do about it, one sentence.
    pub advice: String,
    /// Who saw what.
    pub evidence: Vec<Evidence>,
    /// When the first observation behind it was made.
    pub since: Moment,
}

impl Finding {
    /// Returns what identifies the finding from one assessment to the next.
    pub fn key(&self) -> FindingKey {
        FindingKey { kind: self.kind, family: self.family, entity: self.entity.clone() }
    }
}

/// One piece of what a finding rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who saw it; nobody for what this machine's own kernel says.
    pub voice: Option<Voice>,
    /// What was seen, in a few words.
    pub saw: String,
    /// When.
    pub at: Timestamp,
}
