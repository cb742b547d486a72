//! What one part of the judge hands back: what it found, and what it was able to tell at all.

use crate::policy::Policy;
use sentinel_model::{
    Entity, Epoch, Evidence, Family, Finding, FindingKey, FindingKind, Millis, Moment, Monotonic, Severity,
    Weight,
};

/// The context of one assessment.
#[derive(Clone, Copy)]
pub(crate) struct JudgeContext<'a> {
    pub now: Moment,
    pub epoch: Epoch,
    /// Until when voices from before the last network change may still uphold the verdict.
    pub grace_until: Monotonic,
    pub policy: &'a Policy,
}

impl JudgeContext<'_> {
    /// Time passed since then.
    pub fn age(&self, at: Moment) -> Millis {
        self.now.boot.since(at.boot)
    }

    /// Whether something measured once per round still counts for findings.
    pub fn stands(&self, at: Moment, epoch: Epoch) -> bool {
        epoch == self.epoch && self.age(at) <= self.policy.thresholds.round_ttl
    }

    /// Whether voices from before the last network change may still uphold the verdict.
    pub fn in_grace(&self) -> bool {
        self.now.boot < self.grace_until
    }

    /// The time of day of a moment, as people read it.
    pub fn clock(&self, at: Moment) -> String {
        at.wall.time_of_day(self.policy.offset)
    }
}

/// A finding together with the words of its notice.
#[derive(Clone, Debug)]
pub(crate) struct ReportedFinding {
    pub finding: Finding,
    /// What the alarm's body says: the fact, since when, what to do.
    pub body: String,
}

/// A fact of this machine's own that supports what a voice says.
#[derive(Clone, Debug)]
pub(crate) struct Support {
    /// `The tunnel wg0 is gone.`
    pub sentence: String,
    pub evidence: Vec<Evidence>,
}

impl Support {
    /// What another finding says supports this one too.
    pub fn of(found: &ReportedFinding) -> Self {
        Self { sentence: found.finding.sentence.clone(), evidence: found.finding.evidence.clone() }
    }
}

/// What a finding is made from.
pub(crate) struct FindingDraft<'a> {
    pub kind: FindingKind,
    pub family: Option<Family>,
    pub entity: Option<Entity>,
    pub severity: Severity,
    pub weight: Weight,
    /// The fact without its full stop.
    pub fact: String,
    /// Further sentences, each with its full stop.
    pub details: &'a [String],
    pub advice: &'a str,
    pub evidence: Vec<Evidence>,
    pub since: Moment,
}

impl FindingDraft<'_> {
    /// The finding with its sentences.
    pub fn finish(self, context: &JudgeContext<'_>) -> ReportedFinding {
        let details: String = self.details.iter().flat_map(|sentence| [" ", sentence]).collect();
        let clock = context.clock(self.since);
        ReportedFinding {
            body: format!("{} since {clock}.{details} {}", self.fact, self.advice),
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

/// A question that could be answered, whatever the answer was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub kind: FindingKind,
    pub family: Option<Family>,
    /// Which entity; all of them, if absent.
    pub entity: Option<Entity>,
}

/// What one part found and could tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartResult {
    pub findings: Vec<ReportedFinding>,
    pub determined: Vec<Question>,
}

impl PartResult {
    /// Notes that the question of this kind was answered for all entities.
    pub fn determine(&mut self, kind: FindingKind, family: Option<Family>) {
        self.determined.push(Question { kind, family, entity: None });
    }

    /// Takes in another part's result.
    pub fn join(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.determined.extend(other.determined);
    }

    /// Whether something of this kind was found in this family.
    pub fn has(&self, kind: FindingKind, family: Option<Family>) -> bool {
        self.findings.iter().any(|found| found.finding.kind == kind && found.finding.family == family)
    }

    /// Whether the absence of a finding with this name means that it is not there.
    pub fn is_determined(&self, key: &FindingKey) -> bool {
        self.determined.iter().any(|scope| {
            scope.kind == key.kind
                && scope.family == key.family
                && (scope.entity.is_none() || scope.entity == key.entity)
        })
    }
}
