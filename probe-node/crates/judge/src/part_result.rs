//! What one part of the judge returns: its findings, and the questions it was able to answer.
//!
//! A finding that is missing means two different things: the fault is absent, or it could not be
//! determined. Each part therefore lists the questions it determined, and only those resolve
//! incidents. A question without an answer leaves everything as it was.

use crate::context::JudgeContext;
use sentinel_model::{Entity, Evidence, Family, Finding, FindingKey, FindingKind, Moment, Severity, Weight};

/// A finding together with the body of its notice.
#[derive(Clone, Debug)]
pub(crate) struct ReportedFinding {
    /// The finding.
    pub finding: Finding,
    /// The body of the alarm: the fact, since when, what to do.
    pub notice_body: String,
}

/// A fact this machine established itself, in support of what a single voice saw.
#[derive(Clone, Debug)]
pub(crate) struct Support {
    /// The fact as a sentence: `The tunnel wg0 is gone.`
    pub sentence: String,
    /// What the fact rests on.
    pub evidence: Vec<Evidence>,
}

impl From<&ReportedFinding> for Support {
    /// Uses one finding in support of another.
    fn from(reported: &ReportedFinding) -> Self {
        Self { sentence: reported.finding.sentence.clone(), evidence: reported.finding.evidence.clone() }
    }
}

/// The material a finding and its notice are made from.
pub(crate) struct FindingDraft<'a> {
    /// What was found.
    pub kind: FindingKind,
    /// The family it concerns, where it concerns one.
    pub family: Option<Family>,
    /// The entity it is about, where several of one kind can be found at once.
    pub entity: Option<Entity>,
    /// How much it matters.
    pub severity: Severity,
    /// What it rests on.
    pub weight: Weight,
    /// The fact, without its full stop.
    pub fact: String,
    /// Further sentences, each with its full stop.
    pub details: &'a [String],
    /// What to do about it, one sentence.
    pub advice: &'a str,
    /// Who saw what.
    pub evidence: Vec<Evidence>,
    /// When the first observation behind it was made.
    pub since: Moment,
}

impl FindingDraft<'_> {
    /// Writes the finding's sentences.
    pub fn finish(self, context: &JudgeContext<'_>) -> ReportedFinding {
        let details: String = self.details.iter().flat_map(|sentence| [" ", sentence]).collect();
        let time = context.time_of_day(self.since);
        ReportedFinding {
            notice_body: format!("{} since {time}.{details} {}", self.fact, self.advice),
            finding: Finding {
                kind: self.kind,
                family: self.family,
                title: self.kind.title(self.entity.as_ref()),
                entity: self.entity,
                severity: self.severity,
                weight: self.weight,
                sentence: format!("{}.{details}", self.fact),
                advice: self.advice.to_owned(),
                evidence: self.evidence,
                since: self.since,
            },
        }
    }
}

/// Returns evidence that this machine measured itself.
pub(crate) fn own_evidence(saw: impl Into<String>, at: Moment) -> Evidence {
    Evidence { voice: None, saw: saw.into(), at: at.wall }
}

/// A question that could be answered, whatever the answer was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    kind: FindingKind,
    family: Option<Family>,
    /// The entity asked about; every entity, if absent.
    entity: Option<Entity>,
}

impl Question {
    fn covers(&self, key: &FindingKey) -> bool {
        self.kind == key.kind
            && self.family == key.family
            && (self.entity.is_none() || self.entity == key.entity)
    }
}

/// The findings of one part of the judge, and the questions it could answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartResult {
    /// What was found.
    pub findings: Vec<ReportedFinding>,
    determined: Vec<Question>,
}

impl PartResult {
    /// Records that findings of this kind were looked for and would have been found.
    pub fn determine(&mut self, kind: FindingKind, family: Option<Family>) {
        self.determined.push(Question { kind, family, entity: None });
    }

    /// Records the same for a single entity.
    pub fn determine_entity(&mut self, kind: FindingKind, family: Option<Family>, entity: Entity) {
        self.determined.push(Question { kind, family, entity: Some(entity) });
    }

    /// Adds another part's result.
    pub fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.determined.extend(other.determined);
    }

    /// Drops whatever concerns one family.
    pub fn forget_family(&mut self, family: Family) {
        self.findings.retain(|reported| reported.finding.family != Some(family));
        self.determined.retain(|question| question.family != Some(family));
    }

    /// Returns true if there is a finding of this kind in this family.
    pub fn contains(&self, kind: FindingKind, family: Option<Family>) -> bool {
        self.findings
            .iter()
            .any(|reported| reported.finding.kind == kind && reported.finding.family == family)
    }

    /// Returns the finding that a key identifies.
    pub fn get(&self, key: &FindingKey) -> Option<&ReportedFinding> {
        self.findings.iter().find(|reported| reported.finding.key() == *key)
    }

    /// Returns true if the absence of the finding means that the fault is absent.
    pub fn is_determined(&self, key: &FindingKey) -> bool {
        self.determined.iter().any(|question| question.covers(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{context::EpochState, policy::Policy};

    fn key(family: Family, voice: &str) -> FindingKey {
        FindingKey {
            kind: FindingKind::VoiceDissents,
            family: Some(family),
            entity: Some(Entity::Voice(voice.to_owned())),
        }
    }

    #[test]
    fn a_question_about_one_entity_says_nothing_about_another() {
        let mut result = PartResult::default();
        let entity = Entity::Voice("a".to_owned());
        result.determine_entity(FindingKind::VoiceDissents, Some(Family::V4), entity);
        assert!(result.is_determined(&key(Family::V4, "a")));
        assert!(!result.is_determined(&key(Family::V4, "b")));
        assert!(!result.is_determined(&key(Family::V6, "a")));
        result.determine(FindingKind::VoiceDissents, Some(Family::V4));
        assert!(result.is_determined(&key(Family::V4, "b")), "asked about every entity");
    }

    #[test]
    fn forgetting_a_family_keeps_the_other_and_what_concerns_neither() {
        let mut result = PartResult::default();
        for family in [None, Some(Family::V4), Some(Family::V6)] {
            result.determine(FindingKind::DnsLeak, family);
        }
        result.forget_family(Family::V4);
        let determined =
            |family| result.is_determined(&FindingKey { kind: FindingKind::DnsLeak, family, entity: None });
        assert!(determined(None) && determined(Some(Family::V6)) && !determined(Some(Family::V4)));
    }

    #[test]
    fn the_notice_says_since_when_and_the_sentence_does_not() {
        let policy = Policy::default();
        let context = EpochState::default().context(Moment::default(), &policy);
        let draft = FindingDraft {
            kind: FindingKind::TunnelDown,
            family: None,
            entity: None,
            severity: Severity::Warning,
            weight: Weight::Proof,
            fact: "The tunnel wg0 is gone".to_owned(),
            details: &["The kill switch holds traffic back.".to_owned()],
            advice: "Reconnect.",
            evidence: vec![own_evidence("wg0 is gone", Moment::default())],
            since: Moment::default(),
        };
        let reported = draft.finish(&context);
        assert_eq!(reported.finding.sentence, "The tunnel wg0 is gone. The kill switch holds traffic back.");
        assert_eq!(
            reported.notice_body,
            "The tunnel wg0 is gone since 00:00:00. The kill switch holds traffic back. Reconnect."
        );
    }
}
