//! A finding's life under a rule.

use crate::{
    entity::Entity,
    finding::{Evidence, FindingKey, FindingKind, Severity},
    id::{IncidentId, RuleId},
    net::Family,
    time::{Moment, Timestamp},
};
use serde::{Deserialize, Serialize};

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// The finding is there, the rule's trigger not yet met.
    Pending,
    /// The trigger is met: the person has been told.
    Firing,
    /// The finding is gone, the clear condition not yet met.
    Recovering,
    /// Over.
    Resolved,
    /// It was open and now nobody can tell: neither worse nor over.
    Unknown,
}

impl IncidentState {
    /// Whether the incident is still shown among the open ones.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering | Self::Unknown)
    }
}

/// A finding's life under a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its stable name.
    pub id: IncidentId,
    /// The rule it lives under.
    pub rule: RuleId,
    /// What was found.
    pub kind: FindingKind,
    /// The family it concerns, where it concerns one.
    pub family: Option<Family>,
    /// The entity it is about, where several of one kind can be found at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// How loud it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: IncidentState,
    /// The title of its finding, the same wherever the incident is shown.
    pub title: String,
    /// The fact, in one sentence.
    pub sentence: String,
    /// What to do.
    pub advice: String,
    /// Who saw what when it fired.
    pub evidence: Vec<Evidence>,
    /// When it began.
    pub opened: Moment,
    /// When it last changed state.
    pub changed: Moment,
    /// When the person said they know.
    pub acknowledged: Option<Timestamp>,
}

impl Incident {
    /// Returns what identifies the finding behind the incident.
    pub fn key(&self) -> FindingKey {
        FindingKey { kind: self.kind, family: self.family, entity: self.entity.clone() }
    }
}

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Something began.
    Alarm,
    /// It is over.
    Resolve,
}

/// What a person is told, once, about an incident. Persisted before it is shown; delivered at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The incident it belongs to. With `kind` it identifies the notice.
    pub incident: IncidentId,
    /// What it tells.
    pub kind: NoticeKind,
    /// How loud.
    pub severity: Severity,
    /// A few words.
    pub title: String,
    /// The fact, since when, what to do.
    pub body: String,
    /// When it was made.
    pub at: Timestamp,
}
