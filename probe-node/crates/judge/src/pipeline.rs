//! Asks every part what it makes of what was observed, and joins the answers.

use crate::{
    alerts::{AlertInputs, IncidentChanges},
    dns::{AnswerSources, DnsInputs, DnsReading},
    exit::{ExitTallies, FamilyExit, LocalEvidence, Tally, VoiceReport},
    judge::Judge,
    part_result::{FindingDraft, JudgeContext, PartResult, ReportedFinding, Support},
    tunnel::ExitLocation,
    verdict::{self, FamilyInputs, TunnelPresence, VerdictDraft, VerdictInputs},
    wording::ProbeCount,
};
use sentinel_model::{
    Attributed, Connectivity, Evidence, Family, FindingKind, Incident, Millis, Moment, Need, NetworkKey,
    NodeId, Notice, Severity, ShownState, Source, Verdict, VerdictView, Weight, humanize,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// How long an answer may have been on its way when the network went: longer than any round trip.
const IN_FLIGHT: Millis = Millis::secs(1);
/// How many voices are named as evidence of a silence.
const EVIDENCE: usize = 12;

/// What the judge says at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// What is shown of it: the verdict, the views, the findings and the open incidents.
    pub shown: ShownState,
    /// Incidents that changed state in this assessment, those that ended in it among them: to be stored.
    pub changed: Vec<Incident>,
    /// What the person should be told, with `changed` in one transaction.
    pub notices: Vec<Notice>,
    /// Something has just become suspicious: measure again now, on fresh sockets, instead of at the next tick.
    pub remeasure: bool,
}

/// What one assessment has gathered so far.
struct Gathered {
    tallies: [ExitTallies; 2],
    result: PartResult,
    dns: DnsReading,
    /// The connectivity, if it silences everything else.
    cut_off: Option<Connectivity>,
}

impl Judge {
    /// What everything observed so far adds up to at this moment. Meant to be called after every handful of
    /// observations and at least once a second, since time alone changes things.
    pub fn assess(&mut self, now: Moment) -> Assessment {
        let policy = Arc::clone(&self.policy);
        let context = self.epoch_state.at(now, &policy);
        self.recognise_tunnel(&context);
        let gathered = self.gather(&context);
        let verdict = self.compose(&gathered, &[], false, &context).verdict;
        let changes = self.alert(&gathered.result, verdict, &context);
        let open = self.alerts.open();
        self.verdict = self.decide(&gathered, &open, &context);
        let Gathered { tallies, result, cut_off, .. } = gathered;
        let remeasure = self.newly_suspicious(&result);
        let [v4, v6] = &mut self.lines;
        let shown = ShownState {
            verdict: self.verdict.clone(),
            connectivity: cut_off.unwrap_or(Connectivity::Online),
            exits: vec![v4.view(&tallies[0], &context), v6.view(&tallies[1], &context)],
            dns: self.dns.view(&context),
            latency: self.targets.view(&self.paths.fingerprint(), &context),
            tunnel: self.paths.view(
                self.kill_switch.state(&context),
                self.floor.smallest(&self.paths.far_ends(&context), &context),
                &context,
            ),
            findings: result.findings.into_iter().map(|found| found.finding).collect(),
            incidents: open,
            needs: self.needs(),
        };
        Assessment { shown, changed: changes.incidents, notices: changes.notices, remeasure }
    }

    fn gather(&mut self, context: &JudgeContext<'_>) -> Gathered {
        let tallies = [&self.lines[0], &self.lines[1]].map(|line| self.read(line, context));
        let (mut result, dns) = self.rule(&tallies, context);
        let cut_off = self.cut_off();
        self.suppress(cut_off, &mut result, context);
        Gathered { tallies, result, dns, cut_off }
    }

    /// A tunnel that has only now begun to carry traffic: what was seen just before was under way around it.
    fn recognise_tunnel(&mut self, context: &JudgeContext<'_>) {
        let location = [&self.lines[0], &self.lines[1]].map(|line| self.location(line, context));
        for family in self.paths.learn(location, context) {
            let since = self.paths.recognised(family).unwrap_or(context.now);
            if !self.policy.expects_something() {
                for line in self.lines.iter_mut().filter(|line| line.family == family || family == Family::V4)
                {
                    line.settled_from = since.boot.after(self.policy.thresholds.settle);
                }
            }
        }
    }

    /// What the voices of a family add up to. One of the user's nodes that is the tunnel's far end is reached past the
    /// tunnel, so that it sees home whether or not anything is wrong: alone with that, it is not heard.
    fn read(&self, line: &FamilyExit, context: &JudgeContext<'_>) -> ExitTallies {
        let mut reading = line.read(context);
        if let Some(end) = self.paths.far_end_is_witness(line.family, context) {
            reading.now = without_far_end(reading.now, end);
            reading.held = reading.held.map(|held| without_far_end(held, end));
        }
        reading
    }

    /// What the voices of this epoch say of a family's exit.
    fn location(&self, line: &FamilyExit, context: &JudgeContext<'_>) -> ExitLocation {
        let reading = self.read(line, context);
        if !reading.now.home.is_empty() && reading.now.agreeing.is_empty() {
            ExitLocation::Home
        } else if reading.agreed() && self.policy.home.known(line.family) {
            ExitLocation::Elsewhere
        } else {
            ExitLocation::Nothing
        }
    }

    /// Whether a family is supposed to be protected: the user says so, a tunnel is in use, or it was vouched for
    /// without one in this very network: should home show up there later, a VPN on the router has died.
    fn guarded(&self, line: &FamilyExit) -> bool {
        self.policy.expects_something()
            || self.paths.expected(line.family, &self.policy)
            || line.vouched_in == Some(self.epoch_state.epoch)
    }

    /// Whether an exit that is not home means protection here: the user said which exit it must be, or there is a
    /// tunnel. In a strange network everything is "not home".
    fn vouchable(&self, family: Family) -> bool {
        self.policy.expectation.names_exit_over(family) || self.paths.expected(family, &self.policy)
    }

    /// All parts but the alerts.
    fn rule(&mut self, tallies: &[ExitTallies; 2], context: &JudgeContext<'_>) -> (PartResult, DnsReading) {
        let held = self.kill_switch.held(context);
        let mut result = self.paths.evaluate(&held, context);
        result.join(self.kill_switch.evaluate(context));
        let guarded = [self.guarded(&self.lines[0]), self.guarded(&self.lines[1])];
        let any = guarded.contains(&true);
        let exits: Vec<&Attributed> = tallies
            .iter()
            .filter(|reading| reading.agreed())
            .filter_map(|reading| reading.now.exit())
            .collect();
        let inputs = DnsInputs { guarded: any, held: &held };
        let (dns_ruling, mut dns) = self.dns.evaluate(&self.paths, &exits, inputs, context);
        for (family, guarded) in Family::ALL.into_iter().zip(guarded) {
            // IPv6 may travel in the tunnel of IPv4, but not the other way round.
            let known = |exit: &&&Attributed| family == Family::V6 || Family::of(exit.address) == family;
            let exits: Vec<&Attributed> = exits.iter().filter(known).copied().collect();
            let intercepted = self.interceptions.evaluate(family, &exits, guarded, context);
            for found in
                intercepted.findings.iter().filter(|found| found.finding.severity == Severity::Critical)
            {
                dns.corroborates.entry(family).or_insert_with(|| Support::of(found));
            }
            result.join(intercepted);
        }
        result.join(dns_ruling);
        let node = |node: &NodeId| self.lines.iter().find_map(|line| line.voice_of(node)).cloned();
        let public = |name: &str| self.interceptions.network_of(name);
        result.join(self.answers.evaluate(any, &AnswerSources { node: &node, public: &public }, context));
        for (at, (reading, guarded)) in tallies.iter().zip(guarded).enumerate() {
            result.join(self.rule_line(at, reading, guarded, &dns, context));
        }
        result.join(self.silence(tallies, any, context));
        let explicit = matches!(self.connectivity, Some((Connectivity::Online, _)));
        let heard = tallies.iter().any(|reading| !reading.now.voices.is_empty());
        result.join(self.nodes.evaluate(explicit || heard, context));
        (result, dns)
    }

    /// One family's exit and round trips, each with what the other parts say in support of it.
    fn rule_line(
        &mut self,
        at: usize,
        reading: &ExitTallies,
        guarded: bool,
        dns: &DnsReading,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let Some(line) = self.lines.get_mut(at) else { return PartResult::default() };
        let family = line.family;
        let tunnelled = guarded && self.paths.up(family, context) == Some(true);
        let far_ends = if tunnelled { self.paths.far_ends(context) } else { Vec::new() };
        let floor = self.floor.evaluate(family, &far_ends, context);
        let mut local =
            LocalEvidence { guarded, closed: self.paths.closed(family, context), ..LocalEvidence::default() };
        let of_dns = dns.corroborates.get(&family).cloned();
        let of_routes = self.paths.corroborates(family, context);
        let of_floor = floor.findings.iter().map(Support::of);
        of_routes.into_iter().chain(of_dns).chain(of_floor).for_each(|support| local.support(support));
        let mut result = line.evaluate(reading, &local, context);
        let seen = result.has(FindingKind::ExitExposed, Some(family))
            || result.has(FindingKind::ExitSuspect, Some(family));
        let corroborated = seen || !floor.findings.is_empty() || dns.corroborates.contains_key(&family);
        let network = self.paths.fingerprint();
        result.join(self.targets.evaluate(family, &network, guarded, corroborated, context));
        result.join(floor);
        result
    }

    /// Whether anybody answers at all.
    fn silence(&self, tallies: &[ExitTallies; 2], guarded: bool, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        if tallies.iter().any(|reading| !reading.now.voices.is_empty() || reading.unsettled) {
            result.determine(FindingKind::WitnessesSilent, None);
            return result;
        }
        let asked = self.lines.iter().any(FamilyExit::asked);
        let since = self.last_measured().unwrap_or(self.started);
        let silence = context.age(since);
        if !guarded || !asked || context.in_grace() || silence <= self.policy.thresholds.voice_ttl {
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
            evidence: self.lines.iter().flat_map(FamilyExit::last_words).take(EVIDENCE).collect(),
            since,
        };
        let found = draft.finish(context);
        let body = format!("{} {}", found.finding.sentence, found.finding.advice);
        result.findings.push(ReportedFinding { body, ..found });
        result
    }

    fn last_measured(&self) -> Option<Moment> {
        self.lines.iter().filter_map(FamilyExit::last_measured).max_by_key(|at| at.boot)
    }

    /// The connectivity, if it silences everything else. A voice that has answered since knows better, but not with an
    /// answer that was on its way already.
    fn cut_off(&self) -> Option<Connectivity> {
        let (connectivity, at) = self.connectivity?;
        let since = Moment { boot: at.boot.after(IN_FLIGHT), ..at };
        let silent = self.lines.iter().all(|line| !line.measured_after(since));
        (connectivity != Connectivity::Online && silent).then_some(connectivity)
    }

    /// Where there is no network nothing can leave, and nothing can be told; likewise while paused.
    fn suppress(&self, cut_off: Option<Connectivity>, result: &mut PartResult, context: &JudgeContext<'_>) {
        if self.paused {
            *result = PartResult::default();
            return;
        }
        let Some(((connectivity, at), _)) = self.connectivity.zip(cut_off) else {
            self.suppress_v4(result);
            if self.connectivity.is_some() {
                result.determine(FindingKind::Offline, None);
            }
            return;
        };
        let (fact, saw) = match connectivity {
            Connectivity::Portal => (
                "A captive portal answers in place of the network",
                "nobody answers but somebody next door, in place of those who were asked",
            ),
            Connectivity::Online | Connectivity::Offline => {
                ("There is no network", "no interface is up, or none leads anywhere")
            }
        };
        *result = PartResult::default();
        let draft = FindingDraft {
            kind: FindingKind::Offline,
            family: None,
            entity: None,
            severity: Severity::Information,
            weight: Weight::Proof,
            fact: fact.to_owned(),
            details: &[],
            advice: "Nothing is judged until it is back.",
            evidence: vec![Evidence { voice: None, saw: saw.to_owned(), at: at.wall }],
            since: at,
        };
        result.findings.push(draft.finish(context));
    }

    /// A voice over IPv6 has shown that there is a network after all, but that says nothing about IPv4.
    fn suppress_v4(&self, result: &mut PartResult) {
        let offline = self.connectivity.filter(|(connectivity, _)| *connectivity != Connectivity::Online);
        if offline.is_some_and(|(_, at)| !self.lines[0].measured_after(at)) {
            result.findings.retain(|found| found.finding.family != Some(Family::V4));
            result.determined.retain(|scope| scope.family != Some(Family::V4));
        }
    }

    fn alert(
        &mut self,
        result: &PartResult,
        verdict: Verdict,
        context: &JudgeContext<'_>,
    ) -> IncidentChanges {
        let lines = &self.lines;
        let probes = |family: Option<Family>| {
            let counted = lines.iter().filter(|line| family.is_none_or(|family| family == line.family));
            counted
                .map(FamilyExit::probes)
                .fold([ProbeCount::default(); 2], |[before, now], [b, n]| [before.plus(b), now.plus(n)])
        };
        let inputs = AlertInputs {
            result,
            verdict,
            fresh: std::mem::take(&mut self.fresh),
            policy: context.policy,
            now: context.now,
            probes: &probes,
        };
        let changes = self.alerts.step(&inputs);
        self.lines.iter_mut().for_each(FamilyExit::assessed);
        changes
    }

    /// The verdict. While the voices of a new epoch are still being asked, the one before stands for a moment: safety as
    /// long as the voices from before still make a quorum, anything else as it was.
    fn decide(&self, gathered: &Gathered, open: &[Incident], context: &JudgeContext<'_>) -> VerdictView {
        let now = context.now.wall;
        let fresh = self.compose(gathered, open, false, context);
        let pending =
            fresh.verdict == Verdict::Unverified && context.in_grace() && gathered.cut_off.is_none();
        if !pending {
            return verdict::view(fresh, &self.verdict, now);
        }
        match self.verdict.verdict {
            Verdict::Protected => {
                let held = self.compose(gathered, open, true, context);
                let stands = held.verdict == Verdict::Protected;
                verdict::view(if stands { held } else { fresh }, &self.verdict, now)
            }
            Verdict::Exposed | Verdict::Suspect | Verdict::Off => self.verdict.clone(),
            Verdict::Unverified => verdict::view(fresh, &self.verdict, now),
        }
    }

    fn compose(
        &self,
        gathered: &Gathered,
        open: &[Incident],
        held: bool,
        context: &JudgeContext<'_>,
    ) -> VerdictDraft {
        let parts: Vec<FamilyInputs<'_>> = self
            .lines
            .iter()
            .zip(&gathered.tallies)
            .map(|(line, reading)| FamilyInputs {
                family: line.family,
                tally: reading.held.as_ref().filter(|_| held).unwrap_or(&reading.now),
                unsettled: reading.unsettled,
                guarded: self.guarded(line),
                tunnel: match (self.vouchable(line.family), self.paths.told(line.family, context)) {
                    (true, _) => TunnelPresence::Expected,
                    (false, true) => TunnelPresence::Absent,
                    (false, false) => TunnelPresence::Unknown,
                },
                inside: self.paths.tunnelled(line.family, context),
            })
            .collect();
        let inputs = VerdictInputs {
            paused: self.paused,
            cut_off: gathered.cut_off,
            result: &gathered.result,
            parts: &parts,
            dns: gathered.dns.clause.as_deref(),
            answered: self.last_measured().map(|at| at.wall),
            open,
            asked: self.lines.iter().any(FamilyExit::asked),
            means: self.nodes.any() || self.policy.consent,
        };
        verdict::compose(&inputs, context)
    }

    /// Whether something has become suspicious that was not at the last assessment.
    fn newly_suspicious(&mut self, result: &PartResult) -> bool {
        use FindingKind as Kind;
        const SUSPICIOUS: [Kind; 7] = [
            Kind::ExitSuspect,
            Kind::TunnelDown,
            Kind::LatencyDrop,
            Kind::LatencyFloor,
            Kind::RouteOutsideTunnel,
            Kind::DnsLeak,
            Kind::DnsInterception,
        ];
        let grave = result.findings.iter().filter(|found| found.finding.severity > Severity::Information);
        let found = grave.map(|found| (found.finding.kind, found.finding.family));
        let now: BTreeSet<_> = found.filter(|(kind, _)| SUSPICIOUS.contains(kind)).collect();
        let newly = now.difference(&self.suspicions).next().is_some();
        self.suspicions = now;
        newly
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.policy.home.is_unknown() && !self.policy.expectation.names_exit() {
            needs.push(Need::Home);
        }
        let own = self.nodes.any()
            || self.lines.iter().any(|line| line.has_voice(|s| matches!(s, Source::Node(_))));
        if !own {
            needs.push(Need::Witness);
            if !self.policy.consent {
                needs.push(Need::Consent);
            }
        }
        needs
    }
}

/// The same voices without the node that is the tunnel's far end, where it may be the one that names home.
fn without_far_end(tally: Tally, end: IpAddr) -> Tally {
    let is_it = |heard: &VoiceReport| match heard.voice.network {
        NetworkKey::Prefix(network) => network.contains(&end),
        NetworkKey::Asn(_) => true,
    };
    match tally.home.as_slice() {
        [only] if matches!(only.voice.source, Source::Node(_)) && is_it(only) => {
            Tally::of(tally.voices.into_iter().filter(|voice| !voice.names_home).collect())
        }
        _ => tally,
    }
}
