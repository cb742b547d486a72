//! What follows from the voices: exposed, suspect, unexpected, moved, dissenting.

use super::{
    family_exit::{ExitTallies, FamilyExit, SettledExit},
    quorum::VoiceReport,
};
use crate::{
    context::JudgeContext,
    part_result::{FindingDraft, PartResult, ReportedFinding, Support},
    policy::ExitChange,
    wording::{self, RECONNECT},
};
use sentinel_model::{
    Attributed, Entity, Evidence, Family, FamilyPolicy, FindingKind, Millis, Moment, Severity, Voice, Weight,
};

/// How long a voice must contradict the others to be named.
///
/// A round less its jitter, so that the contradiction rests on at least two answers.
const DISSENT: Millis = Millis::secs(10);

/// What this machine itself knows about a family, which may corroborate a single voice.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalEvidence {
    /// Whether the family is supposed to be protected at all.
    pub is_guarded: bool,
    /// Whether the kernel has no route out over this family.
    pub is_closed: bool,
    /// What corroborates a single voice, each as a sentence: `The tunnel wg0 is gone.`
    pub sentences: Vec<String>,
    /// What the sentences rest on.
    pub evidence: Vec<Evidence>,
}

impl LocalEvidence {
    /// Adds a fact that corroborates a single voice.
    pub fn add(&mut self, support: Support) {
        self.sentences.push(support.sentence);
        self.evidence.extend(support.evidence);
    }
}

impl FamilyExit {
    /// Evaluates one family's exit.
    pub fn evaluate(
        &mut self,
        tallies: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        if tallies.has_quorum() && context.policy.home.known(self.family) {
            self.confirmed_in = Some(context.epoch);
        }
        self.determine(tallies, local, context, &mut result);
        if !local.is_guarded {
            return result;
        }
        result.findings.extend(self.find_exposed(tallies, local, context));
        result.findings.extend(self.find_unexpected(tallies, local, context));
        let suspect = self.find_suspect(tallies, &result, context);
        result.findings.extend(suspect);
        result.findings.extend(self.find_moved(tallies, context));
        self.find_dissent(tallies, context, &mut result);
        result
    }

    /// Records which questions the voices answer.
    ///
    /// With a quorum, everything that there is something to compare with; with no route out, that
    /// no voice sees home.
    fn determine(
        &self,
        tallies: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
        result: &mut PartResult,
    ) {
        let family = Some(self.family);
        let has_quorum = tallies.has_quorum();
        let tally = &tallies.current;
        let home_known = context.policy.home.known(self.family);
        let is_closed = local.is_closed && tally.voices.is_empty() && !tallies.is_settling;
        if is_closed || (has_quorum && home_known && tally.home.is_empty()) {
            result.determine(FindingKind::ExitExposed, family);
        }
        let is_expected =
            has_quorum && tally.voices.iter().all(|report| self.is_accepted(report, context) == Some(true));
        if is_closed || is_expected {
            result.determine(FindingKind::ExitUnexpected, family);
        }
        let is_comparable = home_known || context.policy.expectation.names_exit_over(self.family);
        if is_closed || (is_expected && is_comparable && tally.home.is_empty()) {
            result.determine(FindingKind::ExitSuspect, family);
        }
        if has_quorum {
            result.determine(FindingKind::ExitOperatorChanged, family);
            result.determine(FindingKind::ExitAddressChanged, family);
        }
    }

    /// Home, seen by two voices, or by one and corroborated by this machine.
    fn find_exposed(
        &self,
        tallies: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let home = &tallies.current.home;
        let first = home.first().filter(|_| is_proven(home, local))?;
        let address = wording::name_address(&first.exit, &context.policy.home);
        let fact = format!("{address} seen over {} by {}", self.family, names(home));
        let draft = self.draft(FindingKind::ExitExposed, Severity::Critical, fact, home, local);
        Some(draft.finish(context))
    }

    /// An exit that the user's expectation rules out, with the same need for proof.
    fn find_unexpected(
        &self,
        tallies: &ExitTallies,
        local: &LocalEvidence,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let violating = self.violating_reports(tallies, context);
        let first = violating.first().filter(|_| is_proven(&violating, local))?;
        let (family, exit, names) = (self.family, &first.exit, names(&violating));
        let fact = if self.is_blocked(context) {
            format!("{family} gets out as {exit} though it should be blocked, seen by {names}")
        } else {
            format!("{exit} seen over {family} by {names}, which is not where you expect to be")
        };
        let draft = self.draft(FindingKind::ExitUnexpected, Severity::Critical, fact, &violating, local);
        Some(draft.finish(context))
    }

    /// Home, or an exit that the user's expectation rules out, seen by one voice alone.
    fn find_suspect(
        &self,
        tallies: &ExitTallies,
        result: &PartResult,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let family = Some(self.family);
        let home = &tallies.current.home;
        let violating = self.violating_reports(tallies, context);
        let alone = if home.len() == 1 && !result.contains(FindingKind::ExitExposed, family) {
            home
        } else if violating.len() == 1 && !result.contains(FindingKind::ExitUnexpected, family) {
            &violating
        } else {
            return None;
        };
        let address = wording::name_address(&alone.first()?.exit, &context.policy.home);
        let fact = format!("{address} seen over {} by {} alone", self.family, names(alone));
        let no_support = LocalEvidence::default();
        let draft = FindingDraft {
            weight: Weight::Statistic,
            advice: "No other voice confirms it yet; check your VPN if it stays.",
            ..self.draft(FindingKind::ExitSuspect, Severity::Warning, fact, alone, &no_support)
        };
        Some(draft.finish(context))
    }

    /// An exit that moved, unless the user stated which exits are expected.
    fn find_moved(&mut self, tallies: &ExitTallies, context: &JudgeContext<'_>) -> Option<ReportedFinding> {
        let exit_change = context.policy.thresholds.exit_change;
        if exit_change == ExitChange::Ignore {
            self.settled = None;
            return None;
        }
        if !tallies.has_quorum() || context.policy.expectation.names_exit_over(self.family) {
            return None;
        }
        let exits: Vec<_> = tallies.current.agreeing.iter().map(|report| report.exit.clone()).collect();
        let new = exits.first()?.clone();
        let settled =
            self.settled.get_or_insert_with(|| SettledExit { exits: exits.clone(), moved_since: None });
        let is_shared = |exit: &Attributed| settled.exits.iter().any(|known| known.address == exit.address);
        if exits.iter().any(is_shared) {
            // Further exits are not settled yet: voices notice a move one after the other.
            settled.moved_since = None;
            return None;
        }
        let since = *settled.moved_since.get_or_insert(context.now);
        let old = settled.exits.first()?.clone();
        let (kind, severity) = classify_move(&old, &new, exit_change);
        // A move that must not happen is reported until it is acknowledged or undone.
        let is_lasting = severity == Severity::Critical;
        if !is_lasting && context.age(since) >= context.policy.thresholds.change_shown {
            *settled = SettledExit { exits, moved_since: None };
            return None;
        }
        let fact = format!("The exit over {} moved from {old} to {new}", self.family);
        let no_support = LocalEvidence::default();
        let draft = FindingDraft {
            since,
            advice: if is_lasting {
                "Acknowledge it if you or your VPN changed the server."
            } else {
                "Nothing to do if you or your VPN changed the server."
            },
            ..self.draft(kind, severity, fact, &tallies.current.agreeing, &no_support)
        };
        Some(draft.finish(context))
    }

    /// Voices that keep contradicting a quorum.
    ///
    /// They are named, since a voice that is wrong once may be wrong when it counts. One that names
    /// home is not included: that is a finding of its own.
    fn find_dissent(&self, tallies: &ExitTallies, context: &JudgeContext<'_>, result: &mut PartResult) {
        let tally = &tallies.current;
        let Some(majority) = tally.agreeing.first().filter(|_| tallies.has_quorum()) else { return };
        for report in tally.voices.iter().filter(|report| !report.names_home) {
            let name = &report.voice.name;
            let entity = Entity::Voice(name.clone());
            if report.exit.same_operator(&majority.exit) {
                result.determine_entity(FindingKind::VoiceDissents, Some(self.family), entity);
            } else if report.at.boot.since(report.since.boot) >= DISSENT {
                let fact = format!(
                    "{name} sees {} over {} where {} others see {}",
                    report.exit,
                    self.family,
                    tally.agreeing.len(),
                    majority.exit
                );
                let no_support = LocalEvidence::default();
                let seen = std::slice::from_ref(report);
                let kind = FindingKind::VoiceDissents;
                let draft = FindingDraft {
                    entity: Some(entity),
                    weight: Weight::Statistic,
                    advice: "Nothing to do if that voice is reached another way; else do not rely on it.",
                    ..self.draft(kind, Severity::Information, fact, seen, &no_support)
                };
                result.findings.push(draft.finish(context));
            }
        }
    }

    /// Returns the reports that the expectation rules out, without those that name home.
    fn violating_reports(&self, tallies: &ExitTallies, context: &JudgeContext<'_>) -> Vec<VoiceReport> {
        let reports = tallies.current.voices.iter().filter(|report| !report.names_home);
        reports.filter(|report| self.is_accepted(report, context) == Some(false)).cloned().collect()
    }

    /// Returns whether a reported exit is what the user expects; `None` if undetermined.
    ///
    /// Where nothing is expected of this family, every exit is accepted.
    fn is_accepted(&self, report: &VoiceReport, context: &JudgeContext<'_>) -> Option<bool> {
        if self.is_blocked(context) {
            return Some(false);
        }
        let expectation = &context.policy.expectation;
        if !expectation.names_exit_over(self.family) {
            return Some(true);
        }
        expectation.accepts_exit(&report.exit)
    }

    fn is_blocked(&self, context: &JudgeContext<'_>) -> bool {
        self.family == Family::V6 && context.policy.expectation.ipv6 == FamilyPolicy::Blocked
    }

    fn draft<'a>(
        &self,
        kind: FindingKind,
        severity: Severity,
        fact: String,
        reports: &[VoiceReport],
        local: &'a LocalEvidence,
    ) -> FindingDraft<'a> {
        let evidence = |report: &VoiceReport| Evidence {
            voice: Some(report.voice.clone()),
            saw: report.exit.to_string(),
            at: report.at.wall,
        };
        FindingDraft {
            kind,
            family: Some(self.family),
            entity: None,
            severity,
            weight: Weight::Proof,
            fact,
            details: &local.sentences,
            advice: RECONNECT,
            evidence: reports.iter().map(evidence).chain(local.evidence.iter().cloned()).collect(),
            since: earliest(reports),
        }
    }
}

/// Returns true if two voices agree, or one is corroborated by this machine.
fn is_proven(reports: &[VoiceReport], local: &LocalEvidence) -> bool {
    reports.len() >= 2 || (reports.len() == 1 && !local.sentences.is_empty())
}

/// Returns what a move is and how much it matters.
///
/// Where the operator of either exit is unknown, the move counts as one within an operator.
fn classify_move(old: &Attributed, new: &Attributed, exit_change: ExitChange) -> (FindingKind, Severity) {
    let is_unknown = old.owner.is_none() || new.owner.is_none();
    let same_operator = old.same_operator(new) || is_unknown;
    match (same_operator, exit_change == ExitChange::Alarm) {
        (true, false) => (FindingKind::ExitAddressChanged, Severity::Information),
        (true, true) => (FindingKind::ExitAddressChanged, Severity::Warning),
        (false, false) => (FindingKind::ExitOperatorChanged, Severity::Warning),
        (false, true) => (FindingKind::ExitOperatorChanged, Severity::Critical),
    }
}

fn names(reports: &[VoiceReport]) -> String {
    wording::list_voices(reports.iter().map(|report: &VoiceReport| -> &Voice { &report.voice }))
}

fn earliest(reports: &[VoiceReport]) -> Moment {
    let starts = reports.iter().map(|report| report.since);
    starts.min_by_key(|since| (since.boot, since.wall)).unwrap_or_default()
}
