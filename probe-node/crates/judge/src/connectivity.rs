//! Whether there is a network at all, and whether any voice answers.
//!
//! Without a network nothing can leak and nothing can be determined, so the other parts' results
//! are dropped.

use crate::{
    context::JudgeContext,
    dated::Dated,
    exit::{ExitTallies, FamilyExit},
    judge::Judge,
    part_result::{FindingDraft, PartResult, ReportedFinding, own_evidence},
};
use sentinel_model::{Connectivity, Family, FindingKind, Moment, PerFamily, Severity, Weight, humanize};

/// How many voices are named as evidence of a silence.
const EVIDENCE: usize = 12;

impl Judge {
    /// Returns when an exit was last measured over either family.
    pub(crate) fn last_measured(&self) -> Option<Moment> {
        self.exits.iter().filter_map(FamilyExit::last_measured).max_by_key(|at| at.boot)
    }

    /// Evaluates whether any voice answers.
    pub(crate) fn evaluate_silence(
        &self,
        tallies: &PerFamily<ExitTallies>,
        is_guarded: bool,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        if tallies.iter().any(|tallies| !tallies.current.voices.is_empty() || tallies.is_settling) {
            result.determine(FindingKind::WitnessesSilent, None);
            return result;
        }
        let is_asked = self.exits.iter().any(FamilyExit::has_voices);
        let since = self.last_measured().unwrap_or(self.started);
        let silence = context.age(since);
        if !is_guarded || !is_asked || context.in_grace() || silence <= context.policy.thresholds.voice_ttl {
            return result;
        }
        let draft = FindingDraft {
            kind: FindingKind::WitnessesSilent,
            family: None,
            entity: None,
            severity: Severity::Warning,
            weight: Weight::Silence,
            fact: format!("No node has answered for {}", humanize(silence)),
            details: &[],
            advice: "Protection is unknown, not confirmed.",
            evidence: self.exits.iter().flat_map(FamilyExit::last_outcomes).take(EVIDENCE).collect(),
            since,
        };
        let reported = draft.finish(context);
        // The fact itself says for how long, so the notice does not say since when.
        let notice_body = format!("{} {}", reported.finding.sentence, reported.finding.advice);
        result.findings.push(ReportedFinding { notice_body, ..reported });
        result
    }

    /// Returns true if a report of a route says nothing against the captive portal that is known.
    ///
    /// Behind a portal there is a route, too. The portal is over when a voice answers, when its own
    /// check says so, or when that check has not found it again for long.
    pub(crate) fn is_kept_out(&self, new: &Dated<Connectivity>, context: &JudgeContext<'_>) -> bool {
        let portal = self.connectivity.as_ref().filter(|known| known.value == Connectivity::Portal);
        new.value == Connectivity::Routed && portal.is_some_and(|portal| context.is_recent(portal.at))
    }

    /// Returns how this machine is cut off from the network, if it is.
    ///
    /// A voice that answers proves otherwise, whatever the interfaces look like.
    pub(crate) fn cut_off(&self) -> Option<Dated<Connectivity>> {
        let known = self.connectivity.clone().filter(|known| !is_online(known.value))?;
        let is_answered = self.exits.iter().any(|exit| is_answered(exit, &known));
        (!is_answered).then_some(known)
    }

    /// Drops the results that mean nothing while paused or cut off.
    pub(crate) fn suppress(
        &self,
        cut_off: Option<&Dated<Connectivity>>,
        result: &mut PartResult,
        context: &JudgeContext<'_>,
    ) {
        if self.is_paused {
            *result = PartResult::default();
        } else if let Some(cut_off) = cut_off {
            *result = PartResult::default();
            result.findings.push(report_offline(cut_off, context));
        } else {
            self.suppress_v4(result);
            if self.connectivity.is_some() {
                result.determine(FindingKind::Offline, None);
            }
        }
    }

    /// Drops the results of IPv4 if only a voice over IPv6 has shown that there is a network after
    /// all.
    fn suppress_v4(&self, result: &mut PartResult) {
        let offline = self.connectivity.as_ref().filter(|known| !is_online(known.value));
        if offline.is_some_and(|offline| !is_answered(&self.exits.v4, offline)) {
            result.forget_family(Family::V4);
        }
    }
}

const fn is_online(connectivity: Connectivity) -> bool {
    matches!(connectivity, Connectivity::Online | Connectivity::Routed)
}

/// Returns true if a voice of a family shows that the machine is not cut off after all.
///
/// That is
/// - one of the epoch in which the network was reported missing, or later, since whatever was under
///   way when it went belongs to the epoch before;
/// - behind a captive portal, one that answered after the portal was found.
fn is_answered(exit: &FamilyExit, cut_off: &Dated<Connectivity>) -> bool {
    match cut_off.value {
        Connectivity::Portal => exit.is_measured_after(cut_off.at),
        Connectivity::Online | Connectivity::Routed | Connectivity::Offline => {
            exit.is_measured_since(cut_off.epoch)
        }
    }
}

fn report_offline(cut_off: &Dated<Connectivity>, context: &JudgeContext<'_>) -> ReportedFinding {
    let (fact, saw) = match cut_off.value {
        Connectivity::Portal => (
            "A captive portal answers in place of the network",
            "only a host on the local network answers, in place of every address that was asked",
        ),
        Connectivity::Online | Connectivity::Routed | Connectivity::Offline => {
            ("There is no network", "no interface is up, or none leads anywhere")
        }
    };
    let draft = FindingDraft {
        kind: FindingKind::Offline,
        family: None,
        entity: None,
        severity: Severity::Information,
        weight: Weight::Proof,
        fact: fact.to_owned(),
        details: &[],
        advice: "Nothing is judged until it is back.",
        evidence: vec![own_evidence(saw, cut_off.at)],
        since: cut_off.at,
    };
    draft.finish(context)
}
