//! The user's rules for turning findings into incidents.

use crate::{
    finding::{FindingKind, Severity},
    id::RuleId,
    time::Millis,
};
use serde::{Deserialize, Serialize};

/// Defines when a finding becomes an incident, and when that incident is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique within one node.
    pub id: RuleId,
    /// The kind of findings it applies to.
    pub finding: FindingKind,
    /// When it triggers.
    pub trigger: Trigger,
    /// When an incident it opened is over.
    pub clear: Clear,
    /// The severity of its incidents. `None` takes that of the finding.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Whether the person is notified. Incidents are recorded either way.
    #[serde(default = "notify_by_default")]
    pub notify: bool,
}

fn notify_by_default() -> bool {
    true
}

/// The condition under which a rule triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// On the first finding.
    AtOnce,
    /// When `hits` of the last `of` samples had the finding.
    ///
    /// A sample is taken from at most one assessment per second. Those in which the finding was
    /// undetermined are not counted.
    Samples {
        /// The number of samples that must have the finding.
        hits: u8,
        /// The number of samples considered.
        of: u8,
    },
    /// When the finding has been present for this long without interruption.
    ///
    /// A short time in which it was undetermined is not an interruption.
    For(Millis),
}

/// The condition under which an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clear {
    /// How long the finding has to be absent.
    ///
    /// Only time in which its absence was determined counts: missing data never resolves an
    /// incident.
    pub absent_for: Millis,
}
