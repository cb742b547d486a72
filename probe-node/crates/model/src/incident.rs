//! Incidents, and the notices about them.

use crate::{
    entity::Entity,
    finding::{Evidence, FindingKey, FindingKind, Severity},
    id::{IncidentId, RuleId},
    net::Family,
    time::{Moment, Timestamp},
};
use serde::{Deserialize, Serialize};

/// The state of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// The finding is present, but the rule has not triggered yet.
    Pending,
    /// The rule has triggered, and the person has been notified.
    Firing,
    /// The finding is absent, but the clear condition is not met yet.
    Recovering,
    /// The incident is over.
    Resolved,
    /// It was open, and whether the finding is still present is undetermined at the moment.
    Unknown,
}

impl IncidentState {
    /// Returns true if the incident is shown among the open ones.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering | Self::Unknown)
    }
}

/// The life of a finding under a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its stable identifier.
    pub id: IncidentId,
    /// The rule that opened it.
    pub rule: RuleId,
    /// The kind of the finding.
    pub kind: FindingKind,
    /// The IP version, for kinds that concern one.
    pub family: Option<Family>,
    /// What it is about, for kinds that can be found several times at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// How serious it is.
    pub severity: Severity,
    /// Its state.
    pub state: IncidentState,
    /// The title of its finding, the same wherever the incident is shown.
    pub title: String,
    /// The fact, in one sentence without its time.
    pub sentence: String,
    /// What to do about it, in one sentence.
    pub advice: String,
    /// The observations behind it when the rule triggered.
    pub evidence: Vec<Evidence>,
    /// When it began.
    pub opened: Moment,
    /// When it last changed state.
    pub changed: Moment,
    /// When the person acknowledged it, if they have.
    pub acknowledged: Option<Timestamp>,
}

impl Incident {
    /// Returns the key of the finding behind the incident.
    pub fn key(&self) -> FindingKey {
        FindingKey { kind: self.kind, family: self.family, entity: self.entity.clone() }
    }
}

/// The event that a notice reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The incident began.
    Alarm,
    /// The incident is over.
    Resolve,
}

/// One message to the person about an incident.
///
/// It is stored before it is shown, unless the disk fails; each channel delivers it at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The incident it is about. Together with `kind` it identifies the notice.
    pub incident: IncidentId,
    /// The event it reports.
    pub kind: NoticeKind,
    /// How serious the incident is.
    pub severity: Severity,
    /// The title, a few words.
    pub title: String,
    /// The fact, since when, and what to do.
    pub body: String,
    /// When it was created.
    pub at: Timestamp,
}
