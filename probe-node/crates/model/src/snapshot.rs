//! The whole current state, as every face of the program shows it.

use crate::{
    finding::Finding,
    id::{Epoch, NodeId},
    incident::Incident,
    net::{Attributed, Family},
    node::NodeView,
    observation::{ConfiguredResolver, Connectivity, Outcome, ResolverPath, Voice},
    time::{Micros, Millis, Timestamp, UtcOffset},
    verdict::VerdictView,
};
use serde::{Deserialize, Serialize};

/// The version of the snapshot's form. It rises when a field changes meaning or goes away.
pub const SCHEMA: u32 = 2;

/// The whole current state of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Rises with every snapshot of this run.
    pub sequence: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The node's local offset from UTC, for showing times.
    pub offset: UtcOffset,
    /// The current epoch.
    pub epoch: Epoch,
    /// This node's identity.
    pub node: NodeId,
    /// This node's name.
    pub name: String,
    /// What the judge concludes of it all.
    #[serde(flatten)]
    pub shown: ShownState,
    /// The swarm.
    pub swarm: SwarmView,
    /// When things were and will be done.
    pub schedule: Schedule,
}

/// What the judge concludes at one moment, as every face of the program shows it.
///
/// The judge's assessment and the published snapshot embed the same value, so a field is added in one place. A new
/// snapshot is published whenever it differs from the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownState {
    /// The verdict and its reason.
    pub verdict: VerdictView,
    /// Whether there is a network.
    pub connectivity: Connectivity,
    /// What the world sees, IPv4 then IPv6.
    pub exits: Vec<ExitView>,
    /// Who resolves our names.
    pub dns: DnsView,
    /// Round trips.
    pub latency: Vec<LatencyView>,
    /// The tunnel, if one is known.
    pub tunnel: Option<TunnelView>,
    /// Everything the judge finds at this moment.
    pub findings: Vec<Finding>,
    /// Open incidents, newest first.
    pub incidents: Vec<Incident>,
    /// What the program needs from the person to do its work.
    pub needs: Vec<Need>,
}

/// What the world sees over one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitView {
    /// The family.
    pub family: Family,
    /// What most voices see; unknown with the reason when nobody can tell.
    pub address: Outcome<Attributed>,
    /// Whether that is home; unknown while home is.
    pub is_home: Option<bool>,
    /// Since when it has been that.
    pub since: Timestamp,
    /// Who saw what.
    pub voices: Vec<VoiceView>,
}

/// How a voice relates to what most others say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It saw the same operator.
    Agrees,
    /// It saw another, or home.
    Disagrees,
    /// It did not answer.
    Silent,
}

/// What one voice saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoiceView {
    /// Who.
    pub voice: Voice,
    /// What it saw.
    pub saw: Outcome<Attributed>,
    /// How that relates to the others.
    pub agreement: Agreement,
    /// The last round trip to it.
    pub rtt: Option<Micros>,
    /// When.
    pub at: Timestamp,
}

/// Who resolves our names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsView {
    /// Resolvers seen at work by an authoritative server; unknown with the reason when none could be told.
    pub resolvers: Outcome<Vec<ResolverView>>,
    /// Resolvers the system is configured to use.
    pub configured: Vec<ConfiguredResolver>,
    /// Since when it has been so.
    pub since: Timestamp,
}

/// One resolver seen at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolverView {
    /// Where the authoritative server was asked from.
    pub resolver: Attributed,
    /// Which resolver we had asked.
    pub path: ResolverPath,
    /// Whether it belongs to home.
    pub is_home: bool,
}

/// Round trips to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyView {
    /// The target.
    pub target: Voice,
    /// The family.
    pub family: Family,
    /// The median of the baseline, once there is one.
    pub baseline: Option<Micros>,
    /// The latest points, oldest first; at most 120.
    pub points: Vec<LatencyPoint>,
}

/// One round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// When.
    pub at: Timestamp,
    /// How long.
    pub rtt: Micros,
}

/// The tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelView {
    /// Its interface.
    pub interface: String,
    /// Whether it is there and up.
    pub up: bool,
    /// Whether anything but the routes keeps traffic in it; nothing while that has not been tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_switch: Option<KillSwitch>,
    /// The round trip to its far end, outside of it; nothing inside can be faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Micros>,
}

/// Whether anything but the routes keeps traffic in the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillSwitch {
    /// Packets bound to a physical interface are refused.
    Closed,
    /// Such packets get out.
    Open,
}

/// The swarm as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmView {
    /// All nodes, this one first.
    pub nodes: Vec<NodeView>,
    /// Nodes waiting to be confirmed: name and fingerprint.
    pub pending: Vec<PendingNode>,
    /// Attestations refused because their signature, challenge or time was wrong.
    pub rejected_attestations: u64,
    /// Connections refused because the peer is not a member.
    pub refused_peers: u64,
}

/// A node waiting to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNode {
    /// Its identity.
    pub id: NodeId,
    /// What it calls itself.
    pub name: String,
    /// What it shows and the owner compares.
    pub fingerprint: String,
}

/// When things were and will be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When the last full round ended.
    pub last_round: Option<Timestamp>,
    /// How long that took, all its checks together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_round_took: Option<Millis>,
    /// When the next one starts.
    pub next_round: Option<Timestamp>,
    /// How often a round runs.
    pub round_every: Millis,
    /// How often a beacon runs.
    pub beacon_every: Millis,
    /// Whether judging is paused.
    pub paused: Option<Pause>,
}

/// A pause the person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends by itself; never, if absent.
    pub until: Option<Timestamp>,
}

/// What the program needs from the person to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Neither home nor an expectation is known.
    Home,
    /// No node of one's own.
    Witness,
    /// Neither an own node nor the consent to ask public services.
    Consent,
}
