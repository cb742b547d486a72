//! The states that a scenario requires or forbids.

use sentinel_model::{Assurance, Connectivity, Family, FindingKind, IncidentState, Severity, Verdict};
use serde::Deserialize;

/// The state that is required before any fault: the verdict Protected, with enough witnesses.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettleCondition {
    /// Longest time until the state is reached after all nodes are up and paired, in milliseconds.
    pub within_ms: u64,
    /// Time for which the state must then last before the first fault, in milliseconds.
    pub for_ms: u64,
    /// Number of the user's own nodes that must agree on the exit; all of them by default.
    ///
    /// This applies to the IPv4 exit, where there is IPv4.
    pub witnesses: Option<usize>,
    /// Whether the resolvers must be known.
    pub resolvers: bool,
    /// The required assurance of the verdict.
    pub assurance: Option<Assurance>,
}

impl Default for SettleCondition {
    fn default() -> Self {
        // Longer than the 30 s between two rounds.
        Self { within_ms: 45_000, for_ms: 2000, witnesses: None, resolvers: true, assurance: None }
    }
}

/// A snapshot that must be published after a fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSnapshot {
    /// The id of the fault.
    pub after: String,
    /// Longest time after the fault, in milliseconds.
    pub within_ms: u64,
    /// Time for which every later snapshot must match too, in milliseconds.
    #[serde(default)]
    pub for_ms: u64,
    /// The verdict.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// A finding.
    #[serde(default)]
    pub finding: Option<FindingKind>,
    /// The family of that finding.
    #[serde(default)]
    pub family: Option<Family>,
    /// A part of that finding's sentence.
    #[serde(default)]
    pub says: Option<String>,
    /// The state of an incident for that finding.
    #[serde(default)]
    pub incident_state: Option<IncidentState>,
    /// The connectivity.
    #[serde(default)]
    pub connectivity: Option<Connectivity>,
    /// Findings that must be absent.
    #[serde(default)]
    pub without: Vec<FindingKind>,
}

/// What must not be reported after settling.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forbidden {
    /// Forbidden findings.
    pub findings: Vec<FindingKind>,
    /// Forbidden verdicts.
    pub verdicts: Vec<Verdict>,
    /// Whether a second incident about the same subject is forbidden.
    pub second_incident: bool,
    /// Severity from which findings are forbidden.
    pub severity: Option<Severity>,
    /// Hosts to which the laptop must not send a packet, before settling included.
    pub packets_to: Vec<String>,
    /// Whether every finding, incident and verdict other than Protected is forbidden.
    pub anything: bool,
    /// Findings that a calm scenario allows in spite of their severity.
    pub except: Vec<FindingKind>,
}
