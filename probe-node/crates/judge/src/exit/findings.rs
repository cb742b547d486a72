//! What follows from the voices: exposed, suspect, unexpected, moved.

use super::{
    family_exit::{ExitTallies, FamilyExit, SettledExit},
    quorum::VoiceReport,
};
use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult, Question, ReportedFinding, Support},
    policy::ExitChange,
    wording,
};
use sentinel_model::{Entity, Evidence, Family, FamilyPolicy, FindingKind, Millis, Moment, Severity, Weight};

/// What this machine itself knows that corroborates a single voice, per family.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalEvidence {
    /// Whether the family is supposed to be protected at all.
    pub guarded: bool,
    /// The kernel has no way out over this family.
    pub closed: bool,
    /// What it knows, each a sentence: `The tunnel wg0 is gone.`
    pub sentences: Vec<String>,
    /// What the sentences rest on.
    pub evidence: Vec<Evidence>,
}

impl LocalEvidence {
    /// Takes in a fact that supports a single voice.
    pub fn support(&mut self, support: Support) {
        self.sentences.push(support.sentence);
        self.evidence.extend(support.evidence);
    }
}

/// How long a voice must keep contradicting the others: a round, less its jitter, so that two answers at least stand
/// behind it.
const DISSENT: Millis = Millis::secs(10);
const RECONNECT: &str = "Reconnect the VPN or go offline.";

impl FamilyExit {
    /// Rules on one family's exit.
    pub fn evaluate(
        &mut self,
        reading: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        let home_known = context.policy.home.known(self.family);
        if reading.agreed() && home_known {
            self.vouched_in = Some(context.epoch);
        }
        self.tell(reading, local, home_known, context, &mut result);
        if !local.guarded {
            return result;
        }
        if let Some(found) = self.exposed(reading, local, context) {
            result.findings.push(found);
        }
        if let Some(found) = self.unexpected(reading, local, context) {
            result.findings.push(found);
        }
        if let Some(found) = self.suspect(reading, &result, context) {
            result.findings.push(found);
        }
        if let Some(found) = self.moved(reading, context) {
            result.findings.push(found);
        }
        self.dissent(reading, context, &mut result);
        result
    }

    /// Voices that keep contradicting a quorum. They are named, since one that is wrong once may be wrong when it counts;
    /// one that names home is a matter of its own.
    fn dissent(&self, reading: &ExitTallies, context: &JudgeContext<'_>, result: &mut PartResult) {
        let Some(majority) = reading.now.agreeing.first().filter(|_| reading.agreed()) else { return };
        for heard in reading.now.voices.iter().filter(|heard| !heard.names_home) {
            let name = &heard.voice.name;
            if heard.exit.same_operator(&majority.exit) {
                result.determined.push(Question {
                    kind: FindingKind::VoiceDissents,
                    family: Some(self.family),
                    entity: Some(Entity::Voice(name.clone())),
                });
            } else if heard.at.boot.since(heard.since.boot) >= DISSENT {
                let others = reading.now.agreeing.len();
                let fact = format!(
                    "{name} sees {} over {} where {others} others see {}",
                    heard.exit, self.family, majority.exit
                );
                let nobody = LocalEvidence::default();
                let seen = std::slice::from_ref(heard);
                let draft = FindingDraft {
                    entity: Some(Entity::Voice(name.clone())),
                    weight: Weight::Statistic,
                    advice: "Nothing to do if that voice is reached another way; else do not rely on it.",
                    ..self.draft(FindingKind::VoiceDissents, Severity::Information, fact, seen, &nobody)
                };
                result.findings.push(draft.finish(context));
            }
        }
    }

    /// What could be told: with a quorum everything that can be compared, and with no way out that nobody sees home.
    fn tell(
        &self,
        reading: &ExitTallies,
        local: &LocalEvidence,
        home_known: bool,
        context: &JudgeContext<'_>,
        result: &mut PartResult,
    ) {
        let family = Some(self.family);
        let closed = local.closed && reading.now.voices.is_empty() && !reading.unsettled;
        if closed || (reading.agreed() && home_known && reading.now.home.is_empty()) {
            result.determine(FindingKind::ExitExposed, family);
        }
        let none_violates =
            || reading.now.voices.iter().all(|heard| self.accepts(heard, context) == Some(true));
        let met = reading.agreed() && none_violates();
        if closed || met {
            result.determine(FindingKind::ExitUnexpected, family);
        }
        let comparable = home_known || context.policy.expectation.names_exit_over(self.family);
        if closed || (met && comparable && reading.now.home.is_empty()) {
            result.determine(FindingKind::ExitSuspect, family);
        }
        if reading.agreed() {
            result.determine(FindingKind::ExitOperatorChanged, family);
            result.determine(FindingKind::ExitAddressChanged, family);
        }
    }

    /// Home seen by two voices, or by one and corroborated by this machine.
    fn exposed(
        &self,
        reading: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let home = &reading.now.home;
        let proven = home.len() >= 2 || (home.len() == 1 && !local.sentences.is_empty());
        let address = wording::address(&home.first().filter(|_| proven)?.exit, &context.policy.home);
        let fact = format!("{address} seen over {} by {}", self.family, wording::names(voices(home)));
        Some(self.draft(FindingKind::ExitExposed, Severity::Critical, fact, home, local).finish(context))
    }

    /// An exit the user's expectation rules out, with the same need for proof.
    fn unexpected(
        &self,
        reading: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let against = self.violating(reading, context);
        let proven = against.len() >= 2 || (against.len() == 1 && !local.sentences.is_empty());
        let first = against.first().filter(|_| proven)?;
        let names = wording::names(voices(&against));
        let fact = if self.is_blocked(context) {
            format!("{} gets out as {} though it should be blocked, seen by {names}", self.family, first.exit)
        } else {
            format!(
                "{} seen over {} by {names}, which is not where you expect to be",
                first.exit, self.family
            )
        };
        Some(
            self.draft(FindingKind::ExitUnexpected, Severity::Critical, fact, &against, local)
                .finish(context),
        )
    }

    /// One voice alone says home, or something the user rules out.
    fn suspect(
        &self,
        reading: &ExitTallies,
        result: &PartResult,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let family = Some(self.family);
        let home = &reading.now.home;
        let against = self.violating(reading, context);
        let alone = if home.len() == 1 && !result.has(FindingKind::ExitExposed, family) {
            home
        } else if against.len() == 1 && !result.has(FindingKind::ExitUnexpected, family) {
            &against
        } else {
            return None;
        };
        let address = wording::address(&alone.first()?.exit, &context.policy.home);
        let fact = format!("{address} seen over {} by {} alone", self.family, wording::names(voices(alone)));
        let nobody = LocalEvidence::default();
        let draft = FindingDraft {
            weight: Weight::Statistic,
            advice: "No other voice confirms it yet; check your VPN if it stays.",
            ..self.draft(FindingKind::ExitSuspect, Severity::Warning, fact, alone, &nobody)
        };
        Some(draft.finish(context))
    }

    /// The exit moved. With a stated expectation that is what decides; without one, it is worth telling.
    fn moved(&mut self, reading: &ExitTallies, context: &JudgeContext<'_>) -> Option<ReportedFinding> {
        let policy = context.policy.thresholds.exit_change;
        if policy == ExitChange::Ignore {
            self.settled = None;
            return None;
        }
        if !reading.agreed() || context.policy.expectation.names_exit_over(self.family) {
            return None;
        }
        let exits: Vec<_> = reading.now.agreeing.iter().map(|heard| heard.exit.clone()).collect();
        let first = exits.first()?.clone();
        let settled = self.settled.get_or_insert_with(|| SettledExit { exits: exits.clone(), moved: None });
        let shared = exits.iter().any(|exit| settled.exits.iter().any(|known| known.address == exit.address));
        if shared {
            // What is new beside it is not settled yet: voices notice a move one after the other.
            settled.moved = None;
            return None;
        }
        let since = *settled.moved.get_or_insert(context.now);
        let before = settled.exits.first()?.clone();
        let unknown = before.owner.is_none() || first.owner.is_none();
        let same = before.same_operator(&first) || unknown;
        let (kind, severity) = match (same, policy == ExitChange::Alarm) {
            (true, false) => (FindingKind::ExitAddressChanged, Severity::Information),
            (true, true) => (FindingKind::ExitAddressChanged, Severity::Warning),
            (false, false) => (FindingKind::ExitOperatorChanged, Severity::Warning),
            (false, true) => (FindingKind::ExitOperatorChanged, Severity::Critical),
        };
        // What must not happen does not become right by lasting: it stands until the person knows, or it is undone.
        let stays = severity == Severity::Critical;
        if !stays && context.age(since) >= context.policy.thresholds.change_shown {
            *settled = SettledExit { exits, moved: None };
            return None;
        }
        let fact = format!("The exit over {} moved from {before} to {first}", self.family);
        let nobody = LocalEvidence::default();
        let draft = FindingDraft {
            since,
            advice: if stays {
                "Acknowledge it if you or your VPN changed the server."
            } else {
                "Nothing to do if you or your VPN changed the server."
            },
            ..self.draft(kind, severity, fact, &reading.now.agreeing, &nobody)
        };
        Some(draft.finish(context))
    }

    /// The voices whose sight the expectation rules out. Home is a matter of its own.
    fn violating(&self, reading: &ExitTallies, context: &JudgeContext<'_>) -> Vec<VoiceReport> {
        let voices = reading.now.voices.iter().filter(|heard| !heard.names_home);
        voices.filter(|heard| self.accepts(heard, context) == Some(false)).cloned().collect()
    }

    /// Whether a voice's sight is what the user expects. Where nothing is expected of this family, anything is.
    fn accepts(&self, heard: &VoiceReport, context: &JudgeContext<'_>) -> Option<bool> {
        if self.is_blocked(context) {
            return Some(false);
        }
        let expectation = &context.policy.expectation;
        if !expectation.names_exit_over(self.family) {
            return Some(true);
        }
        expectation.accepts_exit(&heard.exit)
    }

    pub(crate) fn is_blocked(&self, context: &JudgeContext<'_>) -> bool {
        self.family == Family::V6 && context.policy.expectation.ipv6 == FamilyPolicy::Blocked
    }

    fn draft<'a>(
        &self,
        kind: FindingKind,
        severity: Severity,
        fact: String,
        seen: &[VoiceReport],
        local: &'a LocalEvidence,
    ) -> FindingDraft<'a> {
        FindingDraft {
            kind,
            family: Some(self.family),
            entity: None,
            severity,
            weight: Weight::Proof,
            fact,
            details: &local.sentences,
            advice: RECONNECT,
            evidence: seen.iter().map(evidence).chain(local.evidence.iter().cloned()).collect(),
            since: earliest(seen),
        }
    }
}

fn voices(heard: &[VoiceReport]) -> impl Iterator<Item = &sentinel_model::Voice> {
    heard.iter().map(|heard| &heard.voice)
}

fn evidence(heard: &VoiceReport) -> Evidence {
    Evidence { voice: Some(heard.voice.clone()), saw: heard.exit.to_string(), at: heard.at.wall }
}

fn earliest(heard: &[VoiceReport]) -> Moment {
    heard.iter().map(|heard| heard.since).min_by_key(|since| (since.boot, since.wall)).unwrap_or_default()
}
