//! Asks every part what it makes of what was observed, and joins the answers.

use crate::{
    alerts::{Changes, News},
    dns::{DnsReading, Others, Standing},
    exit::{Heard, Line, Local, Reading, Tally},
    judge::Judge,
    part_result::{Case, Circumstances, Found, Ruling, Support},
    tunnel::Sighted,
    verdict::{self, Draft, Part, Tunnel, Whole},
    wording::Probes,
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
    readings: [Reading; 2],
    ruling: Ruling,
    dns: DnsReading,
    /// The connectivity, if it silences everything else.
    cut_off: Option<Connectivity>,
}

impl Judge {
    /// What everything observed so far adds up to at this moment. Meant to be called after every handful of
    /// observations and at least once a second, since time alone changes things.
    pub fn assess(&mut self, now: Moment) -> Assessment {
        let policy = Arc::clone(&self.policy);
        let circumstances = self.ground.at(now, &policy);
        self.recognise_tunnel(&circumstances);
        let gathered = self.gather(&circumstances);
        let verdict = self.compose(&gathered, &[], false, &circumstances).verdict;
        let changes = self.alert(&gathered.ruling, verdict, &circumstances);
        let open = self.alerts.open();
        self.verdict = self.decide(&gathered, &open, &circumstances);
        let Gathered { readings, ruling, cut_off, .. } = gathered;
        let remeasure = self.newly_suspicious(&ruling);
        let [v4, v6] = &mut self.lines;
        let shown = ShownState {
            verdict: self.verdict.clone(),
            connectivity: cut_off.unwrap_or(Connectivity::Online),
            exits: vec![v4.view(&readings[0], &circumstances), v6.view(&readings[1], &circumstances)],
            dns: self.dns.view(&circumstances),
            latency: self.targets.view(&self.paths.fingerprint(), &circumstances),
            tunnel: self.paths.view(
                self.ways_out.state(&circumstances),
                self.floor.smallest(&self.paths.far_ends(&circumstances), &circumstances),
                &circumstances,
            ),
            findings: ruling.found.into_iter().map(|found| found.finding).collect(),
            incidents: open,
            needs: self.needs(),
        };
        Assessment { shown, changed: changes.incidents, notices: changes.notices, remeasure }
    }

    fn gather(&mut self, circumstances: &Circumstances<'_>) -> Gathered {
        let readings = [&self.lines[0], &self.lines[1]].map(|line| self.read(line, circumstances));
        let (mut ruling, dns) = self.rule(&readings, circumstances);
        let cut_off = self.cut_off();
        self.suppress(cut_off, &mut ruling, circumstances);
        Gathered { readings, ruling, dns, cut_off }
    }

    /// A tunnel that has only now begun to carry traffic: what was seen just before was under way around it.
    fn recognise_tunnel(&mut self, circumstances: &Circumstances<'_>) {
        let sighted = [&self.lines[0], &self.lines[1]].map(|line| self.sighted(line, circumstances));
        for family in self.paths.learn(sighted, circumstances) {
            let since = self.paths.recognised(family).unwrap_or(circumstances.now);
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
    fn read(&self, line: &Line, circumstances: &Circumstances<'_>) -> Reading {
        let mut reading = line.read(circumstances);
        if let Some(end) = self.paths.far_end_is_witness(line.family, circumstances) {
            reading.now = without_far_end(reading.now, end);
            reading.held = reading.held.map(|held| without_far_end(held, end));
        }
        reading
    }

    /// What the voices of this epoch say of a family's exit.
    fn sighted(&self, line: &Line, circumstances: &Circumstances<'_>) -> Sighted {
        let reading = self.read(line, circumstances);
        if !reading.now.home.is_empty() && reading.now.agreeing.is_empty() {
            Sighted::Home
        } else if reading.agreed() && self.policy.home.known(line.family) {
            Sighted::Elsewhere
        } else {
            Sighted::Nothing
        }
    }

    /// Whether a family is supposed to be protected: the user says so, a tunnel is in use, or it was vouched for
    /// without one in this very network: should home show up there later, a VPN on the router has died.
    fn guarded(&self, line: &Line) -> bool {
        self.policy.expects_something()
            || self.paths.expected(line.family, &self.policy)
            || line.vouched_in == Some(self.ground.epoch)
    }

    /// Whether an exit that is not home means protection here: the user said which exit it must be, or there is a
    /// tunnel. In a strange network everything is "not home".
    fn vouchable(&self, family: Family) -> bool {
        self.policy.expectation.names_exit_over(family) || self.paths.expected(family, &self.policy)
    }

    /// All parts but the alerts.
    fn rule(&mut self, readings: &[Reading; 2], circumstances: &Circumstances<'_>) -> (Ruling, DnsReading) {
        let held = self.ways_out.held(circumstances);
        let mut ruling = self.paths.rule(&held, circumstances);
        ruling.join(self.ways_out.rule(circumstances));
        let guarded = [self.guarded(&self.lines[0]), self.guarded(&self.lines[1])];
        let any = guarded.contains(&true);
        let exits: Vec<&Attributed> = readings
            .iter()
            .filter(|reading| reading.agreed())
            .filter_map(|reading| reading.now.exit())
            .collect();
        let standing = Standing { guarded: any, held: &held };
        let (dns_ruling, mut dns) = self.dns.rule(&self.paths, &exits, standing, circumstances);
        for (family, guarded) in Family::ALL.into_iter().zip(guarded) {
            // IPv6 may travel in the tunnel of IPv4, but not the other way round.
            let known = |exit: &&&Attributed| family == Family::V6 || Family::of(exit.address) == family;
            let exits: Vec<&Attributed> = exits.iter().filter(known).copied().collect();
            let intercepted = self.interceptions.rule(family, &exits, guarded, circumstances);
            for found in intercepted.found.iter().filter(|found| found.finding.severity == Severity::Critical)
            {
                dns.corroborates.entry(family).or_insert_with(|| Support::of(found));
            }
            ruling.join(intercepted);
        }
        ruling.join(dns_ruling);
        let node = |node: &NodeId| self.lines.iter().find_map(|line| line.voice_of(node)).cloned();
        let public = |name: &str| self.interceptions.network_of(name);
        ruling.join(self.answers.rule(any, &Others { node: &node, public: &public }, circumstances));
        for (at, (reading, guarded)) in readings.iter().zip(guarded).enumerate() {
            ruling.join(self.rule_line(at, reading, guarded, &dns, circumstances));
        }
        ruling.join(self.silence(readings, any, circumstances));
        let explicit = matches!(self.connectivity, Some((Connectivity::Online, _)));
        let heard = readings.iter().any(|reading| !reading.now.voices.is_empty());
        ruling.join(self.nodes.rule(explicit || heard, circumstances));
        (ruling, dns)
    }

    /// One family's exit and round trips, each with what the other parts say in support of it.
    fn rule_line(
        &mut self,
        at: usize,
        reading: &Reading,
        guarded: bool,
        dns: &DnsReading,
        circumstances: &Circumstances<'_>,
    ) -> Ruling {
        let Some(line) = self.lines.get_mut(at) else { return Ruling::default() };
        let family = line.family;
        let tunnelled = guarded && self.paths.up(family, circumstances) == Some(true);
        let far_ends = if tunnelled { self.paths.far_ends(circumstances) } else { Vec::new() };
        let floor = self.floor.rule(family, &far_ends, circumstances);
        let mut local =
            Local { guarded, closed: self.paths.closed(family, circumstances), ..Local::default() };
        let of_dns = dns.corroborates.get(&family).cloned();
        let of_routes = self.paths.corroborates(family, circumstances);
        let of_floor = floor.found.iter().map(Support::of);
        of_routes.into_iter().chain(of_dns).chain(of_floor).for_each(|support| local.support(support));
        let mut ruling = line.rule(reading, &local, circumstances);
        let seen = ruling.has(FindingKind::ExitExposed, Some(family))
            || ruling.has(FindingKind::ExitSuspect, Some(family));
        let corroborated = seen || !floor.found.is_empty() || dns.corroborates.contains_key(&family);
        let network = self.paths.fingerprint();
        ruling.join(self.targets.rule(family, &network, guarded, corroborated, circumstances));
        ruling.join(floor);
        ruling
    }

    /// Whether anybody answers at all.
    fn silence(&self, readings: &[Reading; 2], guarded: bool, circumstances: &Circumstances<'_>) -> Ruling {
        let mut ruling = Ruling::default();
        if readings.iter().any(|reading| !reading.now.voices.is_empty() || reading.unsettled) {
            ruling.tell(FindingKind::WitnessesSilent, None);
            return ruling;
        }
        let asked = self.lines.iter().any(Line::asked);
        let since = self.last_measured().unwrap_or(self.started);
        let silence = circumstances.age(since);
        if !guarded || !asked || circumstances.in_grace() || silence <= self.policy.thresholds.voice_ttl {
            return ruling;
        }
        let case = Case {
            kind: FindingKind::WitnessesSilent,
            family: None,
            entity: None,
            severity: Severity::Warning,
            weight: Weight::Silence,
            fact: format!("No node has answered for {}", humanize(silence)),
            context: &[],
            advice: "Protection is unknown, not confirmed.",
            evidence: self.lines.iter().flat_map(Line::last_words).take(EVIDENCE).collect(),
            since,
        };
        let found = case.found(circumstances);
        let body = format!("{} {}", found.finding.sentence, found.finding.advice);
        ruling.found.push(Found { body, ..found });
        ruling
    }

    fn last_measured(&self) -> Option<Moment> {
        self.lines.iter().filter_map(Line::last_measured).max_by_key(|at| at.boot)
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
    fn suppress(
        &self,
        cut_off: Option<Connectivity>,
        ruling: &mut Ruling,
        circumstances: &Circumstances<'_>,
    ) {
        if self.paused {
            *ruling = Ruling::default();
            return;
        }
        let Some(((connectivity, at), _)) = self.connectivity.zip(cut_off) else {
            self.suppress_v4(ruling);
            if self.connectivity.is_some() {
                ruling.tell(FindingKind::Offline, None);
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
        *ruling = Ruling::default();
        let case = Case {
            kind: FindingKind::Offline,
            family: None,
            entity: None,
            severity: Severity::Information,
            weight: Weight::Proof,
            fact: fact.to_owned(),
            context: &[],
            advice: "Nothing is judged until it is back.",
            evidence: vec![Evidence { voice: None, saw: saw.to_owned(), at: at.wall }],
            since: at,
        };
        ruling.found.push(case.found(circumstances));
    }

    /// A voice over IPv6 has shown that there is a network after all, but that says nothing about IPv4.
    fn suppress_v4(&self, ruling: &mut Ruling) {
        let offline = self.connectivity.filter(|(connectivity, _)| *connectivity != Connectivity::Online);
        if offline.is_some_and(|(_, at)| !self.lines[0].measured_after(at)) {
            ruling.found.retain(|found| found.finding.family != Some(Family::V4));
            ruling.told.retain(|scope| scope.family != Some(Family::V4));
        }
    }

    fn alert(&mut self, ruling: &Ruling, verdict: Verdict, circumstances: &Circumstances<'_>) -> Changes {
        let lines = &self.lines;
        let probes = |family: Option<Family>| {
            let counted = lines.iter().filter(|line| family.is_none_or(|family| family == line.family));
            counted
                .map(Line::probes)
                .fold([Probes::default(); 2], |[before, now], [b, n]| [before.plus(b), now.plus(n)])
        };
        let news = News {
            ruling,
            verdict,
            fresh: std::mem::take(&mut self.fresh),
            policy: circumstances.policy,
            now: circumstances.now,
            probes: &probes,
        };
        let changes = self.alerts.step(&news);
        self.lines.iter_mut().for_each(Line::assessed);
        changes
    }

    /// The verdict. While the voices of a new epoch are still being asked, the one before stands for a moment: safety as
    /// long as the voices from before still make a quorum, anything else as it was.
    fn decide(
        &self,
        gathered: &Gathered,
        open: &[Incident],
        circumstances: &Circumstances<'_>,
    ) -> VerdictView {
        let now = circumstances.now.wall;
        let fresh = self.compose(gathered, open, false, circumstances);
        let pending =
            fresh.verdict == Verdict::Unverified && circumstances.in_grace() && gathered.cut_off.is_none();
        if !pending {
            return verdict::view(fresh, &self.verdict, now);
        }
        match self.verdict.verdict {
            Verdict::Protected => {
                let held = self.compose(gathered, open, true, circumstances);
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
        circumstances: &Circumstances<'_>,
    ) -> Draft {
        let parts: Vec<Part<'_>> = self
            .lines
            .iter()
            .zip(&gathered.readings)
            .map(|(line, reading)| Part {
                family: line.family,
                tally: reading.held.as_ref().filter(|_| held).unwrap_or(&reading.now),
                unsettled: reading.unsettled,
                guarded: self.guarded(line),
                tunnel: match (self.vouchable(line.family), self.paths.told(line.family, circumstances)) {
                    (true, _) => Tunnel::Expected,
                    (false, true) => Tunnel::Absent,
                    (false, false) => Tunnel::Unknown,
                },
                inside: self.paths.tunnelled(line.family, circumstances),
            })
            .collect();
        let whole = Whole {
            paused: self.paused,
            cut_off: gathered.cut_off,
            ruling: &gathered.ruling,
            parts: &parts,
            dns: gathered.dns.clause.as_deref(),
            answered: self.last_measured().map(|at| at.wall),
            open,
            asked: self.lines.iter().any(Line::asked),
            means: self.nodes.any() || self.policy.consent,
        };
        verdict::compose(&whole, circumstances)
    }

    /// Whether something has become suspicious that was not at the last assessment.
    fn newly_suspicious(&mut self, ruling: &Ruling) -> bool {
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
        let grave = ruling.found.iter().filter(|found| found.finding.severity > Severity::Information);
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
    let is_it = |heard: &Heard| match heard.voice.network {
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
