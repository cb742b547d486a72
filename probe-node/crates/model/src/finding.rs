//! Findings: what the judge concludes from observations.

use crate::{
    entity::Entity,
    net::Family,
    observation::Voice,
    time::{Moment, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The home address is visible from outside, by quorum or by one voice with local evidence.
    ExitExposed,
    /// A single voice saw the home address, without local evidence.
    ExitSuspect,
    /// The exit contradicts the user's expectation.
    ExitUnexpected,
    /// The exit moved to another operator.
    ExitOperatorChanged,
    /// The exit moved within the same operator.
    ExitAddressChanged,
    /// A resolver of home answered for this node, or a resolver was reached outside the tunnel.
    DnsLeak,
    /// A third party's resolver was reached through the tunnel.
    DnsForeignResolver,
    /// Several names resolve to addresses that several witnesses contradict.
    DnsTampering,
    /// An interceptor on the path answers in place of a public resolver.
    DnsInterception,
    /// The path became much faster than its baseline.
    LatencyDrop,
    /// Traffic is faster than the tunnel's underlay and therefore not in the tunnel.
    LatencyFloor,
    /// Some destinations are routed to a physical interface although a tunnel is expected.
    RouteOutsideTunnel,
    /// One program's connections bypass a tunnel that is up.
    ApplicationOutsideTunnel,
    /// The tunnel's interface is missing or down.
    TunnelDown,
    /// Packets that bypass the routes get out: there is no kill switch, or it is open.
    KillSwitchOpen,
    /// A voice contradicts the quorum.
    VoiceDissents,
    /// No witness answers, so the protection is unknown.
    WitnessesSilent,
    /// A node stopped sending heartbeats without announcing that it leaves.
    NodeSilent,
    /// There is no network, or a captive portal answers in its place.
    Offline,
}

impl FindingKind {
    /// Returns the name used in configuration and the API: `exit-exposed`.
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
            Self::ApplicationOutsideTunnel => "application-outside-tunnel",
            Self::TunnelDown => "tunnel-down",
            Self::KillSwitchOpen => "kill-switch-open",
            Self::VoiceDissents => "voice-dissents",
            Self::WitnessesSilent => "witnesses-silent",
            Self::NodeSilent => "node-silent",
            Self::Offline => "offline",
        }
    }

    /// Returns the title of a finding of this kind.
    ///
    /// Tray, notification, dashboard, CLI and API all show this one title.
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
            (Self::ApplicationOutsideTunnel, _) => "A program bypasses the tunnel",
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

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; no action is needed.
    Information,
    /// Worth looking into.
    Warning,
    /// Protection is lost.
    Critical,
}

/// The kind of evidence behind a finding. It determines how soon a rule may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// A fact confirmed by several sources or by the kernel. One is enough.
    Proof,
    /// A statistic. It has to repeat.
    Statistic,
    /// An absence of answers. It has to repeat over some time.
    Silence,
}

/// Identifies a finding across assessments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// The kind of finding.
    pub kind: FindingKind,
    /// The IP version, for kinds that concern one.
    pub family: Option<Family>,
    /// What it is about, for kinds that can be found several times at once.
    pub entity: Option<Entity>,
}

/// A conclusion of the judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of finding.
    pub kind: FindingKind,
    /// The IP version, for kinds that concern one.
    pub family: Option<Family>,
    /// What it is about, for kinds that can be found several times at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// How serious it is.
    pub severity: Severity,
    /// The kind of evidence behind it.
    pub weight: Weight,
    /// The title, the same wherever the finding is shown.
    pub title: String,
    /// The fact in one sentence for the person, without its time.
    ///
    /// For example: `198.51.100.142 (Example ISP) seen over IPv4 by vps-fra and home-server.`
    pub sentence: String,
    /// What to do about it, in one sentence.
    pub advice: String,
    /// The observations behind it.
    pub evidence: Vec<Evidence>,
    /// When the first of these observations was made.
    pub since: Moment,
}

impl Finding {
    /// Returns the key that identifies the finding across assessments.
    pub fn key(&self) -> FindingKey {
        FindingKey { kind: self.kind, family: self.family, entity: self.entity.clone() }
    }
}

/// One observation behind a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The voice that reported it, or `None` if this machine observed it itself.
    pub voice: Option<Voice>,
    /// What was seen, in a few words.
    pub saw: String,
    /// When it was seen.
    pub at: Timestamp,
}
