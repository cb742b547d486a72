//! The user's thresholds for turning a finding into an incident.

use crate::{
    finding::{FindingKind, Severity},
    id::RuleId,
    time::Millis,
};
use serde::{Deserialize, Serialize};

/// When a finding becomes an incident, and when the incident is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// The findings it looks at.
    pub finding: FindingKind,
    /// When it fires.
    pub trigger: Trigger,
    /// When an incident under it is over.
    pub clear: Clear,
    /// How loud the incident is; the finding's own severity unless told.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Whether the person is notified; a rule that does not notify still records.
    #[serde(default = "yes")]
    pub notify: bool,
}

fn yes() -> bool {
    true
}

/// When a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// On the first finding.
    AtOnce,
    /// When `hits` of the last `of` assessments that could tell had the finding.
    Samples {
        /// How many must have it.
        hits: u8,
        /// Out of how many.
        of: u8,
    },
    /// When the finding has stood for this long without a break.
    For(Millis),
}

/// When an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clear {
    /// The finding has been absent for this long, while the judge *could tell*: absence of data never resolves.
    pub absent_for: Millis,
}
