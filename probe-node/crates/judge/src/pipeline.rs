//! The pipeline from what was observed to what is shown.
//!
//! [`Judge::assess`] runs these stages:
//!
//! 1. **Recognise tunnels** by the routes, and by what voices see through them.
//! 2. **Tally the voices** of each family, one per network.
//! 3. **Evaluate the parts**: routes and kill switch, DNS, exits and round trips, silence, nodes.
//!    Each returns findings and the questions it determined.
//! 4. **Suppress** what means nothing while paused or without a network.
//! 5. **Compose the verdict** of the findings alone.
//! 6. **Update the incidents**, which yields the notices.
//! 7. **Compose the verdict again**, with the open incidents and the grace period.
//! 8. **Build what is shown**, and decide whether to measure again at once.
//!
//! The verdict is composed up to three times, since each composition answers another question:
//! - Stage 5 answers whether the machine is protected *without* the incidents that are about to
//!   end: a notice of their end says "Protected again" only if it is.
//! - Stage 7 answers what a person should see. A critical incident whose end cannot be determined
//!   holds protection back, and which incidents are open is known only after stage 6.
//! - Within stage 7, while the voices of a new epoch are still being asked, a second composition
//!   answers whether the voices from before the network change still make a quorum.

use crate::{
    alerts::{AlertInputs, IncidentChanges},
    context::JudgeContext,
    dated::Dated,
    exit::{ExitTallies, FamilyExit},
    judge::Judge,
    part_result::PartResult,
    probes::ProbeCount,
    tunnel::ExitLocation,
    verdict::{self, Carrier, FamilyInputs, TunnelPresence, VerdictDraft, VerdictInputs},
};
use sentinel_model::{
    Connectivity, Family, FindingKind, Incident, Moment, Need, Notice, PerFamily, Severity, ShownState,
    Verdict, VerdictView,
};
use std::{collections::BTreeSet, sync::Arc};

/// The findings that ask for another measurement at once when they are new.
const SUSPICIOUS: [FindingKind; 7] = [
    FindingKind::ExitSuspect,
    FindingKind::TunnelDown,
    FindingKind::LatencyDrop,
    FindingKind::LatencyFloor,
    FindingKind::RouteOutsideTunnel,
    FindingKind::DnsLeak,
    FindingKind::DnsInterception,
];

/// What the observations amount to at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// What is shown: the verdict, the views, the findings and the open incidents.
    pub shown: ShownState,
    /// Incidents that changed in this assessment, those that ended among them: to be stored.
    pub changed: Vec<Incident>,
    /// The notices for the person: to be stored with `changed` in one transaction.
    pub notices: Vec<Notice>,
    /// Whether something has just become suspicious: to be measured again now, on fresh sockets,
    /// instead of at the next tick.
    pub remeasure: bool,
}

/// The results of stages 2 to 4.
struct Evaluation {
    tallies: PerFamily<ExitTallies>,
    result: PartResult,
    /// Half a sentence on the DNS.
    dns_clause: Option<String>,
    /// How the machine is cut off from the network, if it is.
    cut_off: Option<Connectivity>,
}

/// Which voices the verdict counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voices {
    /// Those of this epoch.
    Current,
    /// Those from before the last network change as well.
    InGrace,
}

impl Judge {
    /// Returns what everything observed so far amounts to at this moment.
    ///
    /// To be called after every handful of observations and at least once a second, since time
    /// alone changes things.
    pub fn assess(&mut self, now: Moment) -> Assessment {
        let policy = Arc::clone(&self.policy);
        let context = &self.epoch_state.context(now, &policy);
        self.recognise_tunnels(context);
        let evaluation = self.evaluate(context);
        let verdict = self.compose(&evaluation, &[], Voices::Current, context).verdict;
        let changes = self.update_incidents(&evaluation.result, verdict, context);
        let open = self.incidents.open_incidents();
        self.verdict = self.decide_verdict(&evaluation, &open, context);
        let remeasure = self.update_suspicions(&evaluation.result, context);
        let shown = self.build_shown(evaluation, open, context);
        Assessment { shown, changed: changes.incidents, notices: changes.notices, remeasure }
    }

    /// Stage 1: recognises tunnels.
    ///
    /// Where a tunnel has only now begun to carry traffic, packets seen just before were under way
    /// outside it.
    fn recognise_tunnels(&mut self, context: &JudgeContext<'_>) {
        let tallies = self.tally_voices(context);
        let agreed = |tallies: &ExitTallies| tallies.current.exit().filter(|_| tallies.has_quorum()).cloned();
        self.routes.note_exits(PerFamily::from_fn(|family| agreed(&tallies[family])));
        for (family, tallies) in tallies.as_ref().with_family() {
            self.routes.learn_paths(family, &tallies.current, context);
        }
        let locations = PerFamily::from_fn(|family| self.locate_exit(family, &tallies[family]));
        for new in self.routes.recognise_tunnels(locations, context) {
            let since = self.routes.recognised_at(new).unwrap_or(context.now);
            if self.policy.expects_something() {
                continue;
            }
            for exit in self.exits.iter_mut().filter(|exit| exit.family == new || new == Family::V4) {
                exit.settled_from = since.boot.after(self.policy.thresholds.settle);
            }
        }
    }

    fn locate_exit(&self, family: Family, tallies: &ExitTallies) -> ExitLocation {
        if !tallies.current.home.is_empty() && tallies.current.agreeing.is_empty() {
            return ExitLocation::Line;
        }
        let Some(exit) = tallies.current.exit().filter(|_| tallies.has_quorum()) else {
            return ExitLocation::Undetermined;
        };
        let is_elsewhere = self.policy.home.known(family) || self.policy.expectation.names_exit_over(family);
        match self.routes.is_exit_of_line(exit).filter(|_| !is_elsewhere) {
            Some(true) => ExitLocation::Line,
            Some(false) => ExitLocation::Elsewhere,
            None if is_elsewhere => ExitLocation::Elsewhere,
            None => ExitLocation::Undetermined,
        }
    }

    /// Stages 2 to 4: tallies the voices, evaluates the parts and suppresses what means nothing.
    fn evaluate(&mut self, context: &JudgeContext<'_>) -> Evaluation {
        let tallies = self.tally_voices(context);
        let (mut result, dns_clause) = self.evaluate_parts(&tallies, context);
        let cut_off = self.cut_off();
        self.suppress(cut_off.as_ref(), &mut result, context);
        let cut_off = cut_off.map(|Dated { value, .. }| value);
        Evaluation { tallies, result, dns_clause, cut_off }
    }

    /// Stage 5, and twice in stage 7: composes the verdict.
    fn compose(
        &self,
        evaluation: &Evaluation,
        open: &[Incident],
        voices: Voices,
        context: &JudgeContext<'_>,
    ) -> VerdictDraft {
        let families: Vec<FamilyInputs<'_>> = evaluation
            .tallies
            .as_ref()
            .with_family()
            .map(|(family, tallies)| FamilyInputs {
                family,
                tally: match (&tallies.in_grace, voices) {
                    (Some(in_grace), Voices::InGrace) => in_grace,
                    _ => &tallies.current,
                },
                is_settling: tallies.is_settling,
                is_guarded: self.is_guarded(family),
                tunnel: self.tunnel_presence(family, context),
                carrier: self.carrier(family, context),
                unproven_tunnel: self.routes.unproven_tunnel(family, context),
                tunnel_home: self.routes.tunnel_to_line(family, context),
            })
            .collect();
        let inputs = VerdictInputs {
            is_paused: self.is_paused,
            cut_off: evaluation.cut_off,
            result: &evaluation.result,
            families: &families,
            dns_clause: evaluation.dns_clause.as_deref(),
            last_answer: self.last_measured().map(|at| at.wall),
            open,
            is_asked: self.exits.iter().any(FamilyExit::has_voices),
            can_ask: !self.nodes.is_empty() || self.policy.consent,
        };
        verdict::compose(&inputs, context)
    }

    fn carrier(&self, family: Family, context: &JudgeContext<'_>) -> Carrier {
        if self.routes.is_tunnelled(family, context) {
            Carrier::Tunnel
        } else if self.routes.has_routes(family, context) {
            Carrier::Other
        } else {
            Carrier::Undetermined
        }
    }

    /// Returns whether an exit that is not home means protection.
    ///
    /// It does if the user stated which exit it must be, or there is a tunnel: in a foreign network
    /// every exit is "not home".
    fn tunnel_presence(&self, family: Family, context: &JudgeContext<'_>) -> TunnelPresence {
        let is_expected = self.policy.expectation.names_exit_over(family)
            || self.routes.expects_tunnel(family, &self.policy)
            || self.routes.is_carried_by_ipsec(family);
        match (is_expected, self.routes.has_routes(family, context)) {
            (true, _) => TunnelPresence::Expected,
            (false, true) => TunnelPresence::Absent,
            (false, false) => TunnelPresence::Undetermined,
        }
    }

    /// Stage 6: updates the incidents.
    fn update_incidents(
        &mut self,
        result: &PartResult,
        verdict: Verdict,
        context: &JudgeContext<'_>,
    ) -> IncidentChanges {
        let exits = &self.exits;
        let probes = |family: Option<Family>| {
            let counted = exits.iter().filter(|exit| family.is_none_or(|family| family == exit.family));
            let sum = |[before, now]: [ProbeCount; 2], [b, n]: [ProbeCount; 2]| [before.plus(b), now.plus(n)];
            counted.map(FamilyExit::probes).fold([ProbeCount::default(); 2], sum)
        };
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let inputs = AlertInputs {
            result,
            verdict,
            is_fresh,
            policy: context.policy,
            now: context.now,
            probes: &probes,
        };
        let changes = self.incidents.step(&inputs);
        self.exits.iter_mut().for_each(FamilyExit::mark_probes_assessed);
        changes
    }

    /// Stage 7: decides the verdict.
    ///
    /// While the voices of a new epoch are still being asked, the verdict from before is kept:
    /// `Protected` as long as the voices from before still make a quorum, any other as it was.
    fn decide_verdict(
        &self,
        evaluation: &Evaluation,
        open: &[Incident],
        context: &JudgeContext<'_>,
    ) -> VerdictView {
        let now = context.now.wall;
        let current = self.compose(evaluation, open, Voices::Current, context);
        let is_pending =
            current.verdict == Verdict::Unverified && context.in_grace() && evaluation.cut_off.is_none();
        if !is_pending {
            return current.into_view(&self.verdict, now);
        }
        match self.verdict.verdict {
            Verdict::Protected => {
                let in_grace = self.compose(evaluation, open, Voices::InGrace, context);
                let is_upheld = in_grace.verdict == Verdict::Protected;
                let draft = if is_upheld { in_grace } else { current };
                draft.into_view(&self.verdict, now)
            }
            Verdict::Exposed | Verdict::Suspect | Verdict::Off => self.verdict.clone(),
            Verdict::Unverified => current.into_view(&self.verdict, now),
        }
    }

    /// Stage 8: builds what is shown.
    fn build_shown(
        &mut self,
        evaluation: Evaluation,
        open: Vec<Incident>,
        context: &JudgeContext<'_>,
    ) -> ShownState {
        let exits = self.exits.as_mut().zip(evaluation.tallies.as_ref());
        let exits = exits.map(|(exit, tallies)| exit.view(tallies, context));
        let underlay = self.floor.smallest(&self.routes.known_far_ends(context), context);
        ShownState {
            verdict: self.verdict.clone(),
            connectivity: evaluation.cut_off.unwrap_or(Connectivity::Online),
            exits: exits.into_iter().collect(),
            dns: self.resolvers.view(context),
            latency: self.targets.view(&self.routes.network_name(), context),
            tunnel: self.routes.view(self.kill_switch.state(context), underlay, context),
            findings: evaluation.result.findings.into_iter().map(|reported| reported.finding).collect(),
            incidents: open,
            needs: self.list_needs(),
        }
    }

    /// Stage 8: returns true if something has become suspicious that was not at the last
    /// assessment.
    fn update_suspicions(&mut self, result: &PartResult, context: &JudgeContext<'_>) -> bool {
        let findings = result.findings.iter().map(|reported| &reported.finding);
        let suspicions = findings
            .filter(|finding| finding.severity > Severity::Information && SUSPICIOUS.contains(&finding.kind))
            .map(|finding| (finding.kind, finding.family));
        let unexplained = Family::ALL.into_iter().filter(|family| self.routes.awaits_look(*family, context));
        let unexplained = unexplained.map(|family| (FindingKind::RouteOutsideTunnel, Some(family)));
        let suspicions: BTreeSet<_> = suspicions.chain(unexplained).collect();
        let is_new = suspicions.difference(&self.suspicions).next().is_some();
        self.suspicions = suspicions;
        is_new
    }

    /// Returns what the program needs from the person to do its work.
    fn list_needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.policy.home.is_unknown() && !self.policy.expectation.names_exit() {
            needs.push(Need::Home);
        }
        let has_witness = !self.nodes.is_empty() || self.exits.iter().any(FamilyExit::has_node_voice);
        if !has_witness {
            needs.push(Need::Witness);
            if !self.policy.consent {
                needs.push(Need::Consent);
            }
        }
        needs
    }
}
