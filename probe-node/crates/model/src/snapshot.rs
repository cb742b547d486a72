//! The snapshot: the whole current state, as tray, dashboard, CLI and API show it.

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

/// The version of the snapshot's JSON form.
///
/// It rises when a field changes its meaning or is removed.
pub const SCHEMA: u32 = 2;

/// The whole current state of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this form: [`SCHEMA`].
    pub schema: u32,
    /// A number that rises with every snapshot of one run.
    pub sequence: u64,
    /// When it was created.
    pub at: Timestamp,
    /// The node's local offset from UTC, for showing times.
    pub offset: UtcOffset,
    /// The current epoch.
    pub epoch: Epoch,
    /// This node's identity.
    pub node: NodeId,
    /// This node's name.
    pub name: String,
    /// What the judge concludes at this moment.
    #[serde(flatten)]
    pub shown: ShownState,
    /// The user's other nodes and those waiting to join.
    pub swarm: SwarmView,
    /// Past and future rounds, and a pause.
    pub schedule: Schedule,
    /// What is not stored yet.
    #[serde(default)]
    pub storage: StorageView,
}

/// What the judge concludes at one moment.
///
/// The judge's assessment and the published snapshot embed the same value, so a field is added in
/// one place. A new snapshot is published whenever it differs from the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownState {
    /// The verdict and its reason.
    pub verdict: VerdictView,
    /// Whether there is a network.
    pub connectivity: Connectivity,
    /// The exit per IP version, IPv4 first.
    pub exits: Vec<ExitView>,
    /// The resolvers of this node.
    pub dns: DnsView,
    /// Round-trip times per target and IP version.
    pub latency: Vec<LatencyView>,
    /// The tunnel, if one has been recognised.
    pub tunnel: Option<TunnelView>,
    /// All current findings.
    pub findings: Vec<Finding>,
    /// Open incidents, newest first.
    pub incidents: Vec<Incident>,
    /// What the program needs from the person.
    pub needs: Vec<Need>,
}

/// The exit over one IP version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitView {
    /// The IP version.
    pub family: Family,
    /// The address most voices see.
    pub address: Outcome<Attributed>,
    /// Whether the address is home. `None` while the address or home is unknown.
    pub is_home: Option<bool>,
    /// Since when the exit has been this.
    pub since: Timestamp,
    /// What each voice saw.
    pub voices: Vec<VoiceView>,
}

/// Whether a voice agrees with the majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It saw the same operator.
    Agrees,
    /// It saw another operator, or home.
    Disagrees,
    /// It did not answer.
    Silent,
}

/// What one voice saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoiceView {
    /// The voice.
    pub voice: Voice,
    /// The address it saw.
    pub saw: Outcome<Attributed>,
    /// Whether that agrees with the majority.
    pub agreement: Agreement,
    /// The latest round-trip time to it.
    pub rtt: Option<Micros>,
    /// When it saw this.
    pub at: Timestamp,
}

/// The resolvers of this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsView {
    /// The resolvers that queried an authoritative server for this node.
    pub resolvers: Outcome<Vec<ResolverView>>,
    /// The resolvers the system is configured to use.
    pub configured: Vec<ConfiguredResolver>,
    /// Since when these resolvers have been in use.
    pub since: Timestamp,
}

/// One resolver that queried an authoritative server for this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolverView {
    /// The address from which it queried the authoritative server.
    pub resolver: Attributed,
    /// The resolver the query had been sent to.
    pub path: ResolverPath,
    /// Whether it belongs to home.
    pub is_home: bool,
}

/// The round-trip times to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyView {
    /// The target.
    pub target: Voice,
    /// The IP version.
    pub family: Family,
    /// The usual round trip, once there are enough samples: their median, from before a reported
    /// drop.
    pub baseline: Option<Micros>,
    /// The latest measurements, oldest first; at most 120.
    pub points: Vec<LatencyPoint>,
}

/// One measured round-trip time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// When it was measured.
    pub at: Timestamp,
    /// The round-trip time.
    pub rtt: Micros,
}

/// The tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelView {
    /// Its interface.
    pub interface: String,
    /// Whether the interface exists and is up.
    pub up: bool,
    /// Whether a kill switch keeps traffic in the tunnel. `None` while that is undetermined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_switch: Option<KillSwitch>,
    /// The round-trip time to its far end, outside the tunnel. Nothing inside can be faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Micros>,
}

/// Whether something other than the routes keeps traffic in the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillSwitch {
    /// Packets bound to a physical interface are refused.
    Closed,
    /// Packets bound to a physical interface get out.
    Open,
}

/// The swarm as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmView {
    /// All nodes, this one first.
    pub nodes: Vec<NodeView>,
    /// Nodes waiting to be confirmed.
    pub pending: Vec<PendingNode>,
    /// Number of attestations refused because of their signature, challenge or time.
    pub rejected_attestations: u64,
    /// Number of connections refused because the peer is not a member.
    pub refused_peers: u64,
}

/// A node waiting to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNode {
    /// Its identity.
    pub id: NodeId,
    /// The name it gives itself.
    pub name: String,
    /// The fingerprint that it shows and the owner compares.
    pub fingerprint: String,
}

/// Past and future rounds, and a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When the last full round ended.
    pub last_round: Option<Timestamp>,
    /// How long that round took, from its start to the end of its last check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_round_took: Option<Millis>,
    /// When the next round starts.
    pub next_round: Option<Timestamp>,
    /// The interval between rounds.
    pub round_every: Millis,
    /// The interval between beacons to one witness.
    pub beacon_every: Millis,
    /// The pause, if judging is paused.
    pub paused: Option<Pause>,
}

/// What this node has not been able to store yet.
///
/// Unstored changes are kept in memory and tried again; a crash would lose them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    /// Number of changes that are in memory only, such as incidents and notices.
    pub unstored: u32,
    /// Since when storing them has failed. `None` if the last attempt succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed, as a sentence with the cause and the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Number of changes and measurements that this run gave up because too many were waiting.
    #[serde(default)]
    pub dropped: u64,
}

/// A pause the person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends by itself. `None` means never.
    pub until: Option<Timestamp>,
}

/// What the program needs from the person to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The home line, or an expectation: neither is known.
    Home,
    /// A node of the user's own as a witness.
    Witness,
    /// A node of the user's own, or the consent to ask public services.
    Consent,
}
