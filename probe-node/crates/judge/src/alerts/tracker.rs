//! From findings to incidents and notices: every finding incidents once under every rule that looks at its kind.

use super::{
    incident::{Onsets, Presence, Step, TrackedIncident, is_on_purpose},
    rules::fallback,
};
use crate::{
    part_result::{PartResult, ReportedFinding},
    policy::Policy,
    wording::{self, ProbeCount},
};
use sentinel_model::{
    Family, Finding, FindingKey, FindingKind, Incident, IncidentId, IncidentState, Millis, Moment, Monotonic,
    Notice, NoticeKind, Rule, RuleId, Timestamp, Verdict,
};
use std::collections::BTreeMap;

/// Assessments come after every handful of observations; as samples they count at the pace of the beacon.
const SAMPLE_EVERY: Millis = Millis(900);
/// How many incidents there can be: rules times families times nodes, with room.
const INCIDENTS: usize = 512;

/// A finding under a rule.
type Key = (RuleId, FindingKey);

/// All incidents, and those that may become one.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncidentTracker {
    incidents: BTreeMap<Key, TrackedIncident>,
    /// The last time used in an identifier, so that no two are alike even if the wall clock is set back.
    stamps: BTreeMap<(RuleId, Option<Family>), i64>,
    sampled: Option<Monotonic>,
    /// When conditions began whose incidents are over by now, for those that come back.
    onsets: BTreeMap<Key, Onsets>,
}

/// What one assessment has to say to the alerts.
pub(crate) struct AlertInputs<'a> {
    pub result: &'a PartResult,
    pub verdict: Verdict,
    /// Whether anything was observed since the last assessment.
    pub fresh: bool,
    pub policy: &'a Policy,
    pub now: Moment,
    /// The probes made over a family until the assessment before, and until now.
    pub probes: &'a dyn Fn(Option<Family>) -> [ProbeCount; 2],
}

/// What changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncidentChanges {
    pub incidents: Vec<Incident>,
    pub notices: Vec<Notice>,
}

impl IncidentTracker {
    /// Goes on with the incidents an earlier run left open.
    pub fn restore(&mut self, open: Vec<Incident>, policy: &Policy, now: Moment) {
        for incident in open.into_iter().filter(|incident| incident.state.is_open()) {
            let stamp =
                self.stamps.entry((incident.rule.clone(), incident.family)).or_insert(incident.opened.wall.0);
            *stamp = incident.opened.wall.0.max(*stamp);
            let rule = policy.rules.iter().find(|rule| rule.id == incident.rule).cloned();
            let rule = rule.unwrap_or_else(|| Rule { id: incident.rule.clone(), ..fallback(incident.kind) });
            let key = (incident.rule.clone(), incident.key());
            self.incidents.insert(key, TrackedIncident::resume(incident, rule, now));
        }
    }

    /// Notes that the person knows of an incident; gives it, if there is such an open one.
    pub fn acknowledge(&mut self, id: &IncidentId, now: Moment) -> Option<&Incident> {
        let mut incidents = self.incidents.values_mut();
        let life = incidents.find(|life| life.incident.id == *id && life.incident.state.is_open())?;
        life.incident.acknowledged.get_or_insert(now.wall);
        life.dirty = true;
        Some(&life.incident)
    }

    /// Forgets what is only suspected: the machine slept, or judging was paused.
    pub fn interrupt(&mut self) {
        self.incidents.retain(|_, life| !life.is_pending());
        for life in self.incidents.values_mut() {
            life.interrupt();
        }
    }

    /// Open incidents, newest first.
    pub fn open(&self) -> Vec<Incident> {
        let mut open: Vec<Incident> = self
            .incidents
            .values()
            .map(|life| &life.incident)
            .filter(|i| i.state.is_open())
            .cloned()
            .collect();
        open.sort_by(|a, b| b.opened.wall.cmp(&a.opened.wall).then_with(|| a.id.cmp(&b.id)));
        open
    }

    /// Takes one assessment into account.
    pub fn step(&mut self, inputs: &AlertInputs<'_>) -> IncidentChanges {
        let due = self.sampled.is_none_or(|last| inputs.now.boot.since(last) >= SAMPLE_EVERY);
        let sample = inputs.fresh && due;
        if sample {
            self.sampled = Some(inputs.now.boot);
        }
        let begun = self.begin(inputs);
        let mut changes = IncidentChanges::default();
        let mut over = Vec::new();
        let patience = inputs.policy.thresholds.unknown_after;
        let causes = self.causes(inputs.result);
        let keys: Vec<Key> = self.incidents.keys().cloned().collect();
        for key in keys {
            let found = present(&key, inputs.result);
            let Some(life) = self.incidents.get_mut(&key) else { continue };
            let presence = presence(&key, found, inputs.result, &causes);
            // A life that has just begun already counts this sample.
            let counts = sample && !begun.contains(&key);
            match life.step(presence, counts, patience, inputs.now) {
                Step::Quiet if life.dirty => changes.incidents.push(life.incident.clone()),
                Step::Quiet => {}
                Step::Changed => changes.incidents.push(life.incident.clone()),
                Step::Fired => {
                    if let Some(found) = found {
                        fire(life, found, &mut self.stamps, inputs, &mut changes);
                    }
                }
                Step::Resolved => {
                    resolve(life, inputs, &mut changes);
                    over.push(key.clone());
                }
                Step::Vanished => over.push(key.clone()),
            }
            life.dirty = false;
        }
        self.onsets.retain(|_, onsets| !onsets.is_past(inputs.now));
        for key in over {
            let ended = self.incidents.remove(&key).filter(|life| !life.onsets.is_past(inputs.now));
            if let Some(life) = ended.filter(|_| self.onsets.len() < INCIDENTS) {
                self.onsets.insert(key, life.onsets);
            }
        }
        changes
    }

    /// What is there at this moment and told to the person.
    fn causes(&self, result: &PartResult) -> Vec<Cause> {
        let told = self.incidents.iter().filter(|(_, life)| life.rule.notify);
        told.filter(|(key, _)| present(key, result).is_some()).map(|(_, life)| Cause::of(life)).collect()
    }

    /// Begins a life for every finding that has none under a rule that looks at it.
    fn begin(&mut self, inputs: &AlertInputs<'_>) -> Vec<Key> {
        let mut begun = Vec::new();
        for rule in &inputs.policy.rules {
            for found in inputs.result.findings.iter().filter(|found| found.finding.kind == rule.finding) {
                let finding = &found.finding;
                let key = (rule.id.clone(), finding.key());
                if let Some(life) = self.incidents.get_mut(&key) {
                    life.rule = rule.clone();
                } else if self.incidents.len() < INCIDENTS {
                    let mut life =
                        TrackedIncident::begin(incident(rule, finding, inputs.now), rule.clone(), inputs.now);
                    let [before, _] = (inputs.probes)(finding.family);
                    life.probes = Some(before);
                    life.onsets = self.onsets.remove(&key).unwrap_or_default();
                    self.incidents.insert(key.clone(), life);
                    begun.push(key);
                }
            }
        }
        begun
    }
}

fn present<'a>(key: &Key, result: &'a PartResult) -> Option<&'a ReportedFinding> {
    let (_, key) = key;
    result.findings.iter().find(|found| found.finding.key() == *key)
}

fn presence(key: &Key, found: Option<&ReportedFinding>, result: &PartResult, causes: &[Cause]) -> Presence {
    let (_, key) = key;
    match found {
        Some(found) if is_inhibited(&found.finding, result, causes) => Presence::Inhibited,
        Some(_) => Presence::Present,
        None if result.is_determined(key) => Presence::Absent,
        None => Presence::Undetermined,
    }
}

/// A finding that may speak for others, since the person is told of it.
struct Cause {
    kind: FindingKind,
    family: Option<Family>,
    /// It has been told: what goes on beside it is inputs of its own.
    fired: bool,
    acknowledged: Option<Timestamp>,
}

impl Cause {
    fn of(life: &TrackedIncident) -> Self {
        let incident = &life.incident;
        Self {
            kind: incident.kind,
            family: incident.family,
            fired: !life.is_pending(),
            acknowledged: incident.acknowledged,
        }
    }

    /// Whether both concern the same family, and the finding did not begin after the person knew of this.
    fn concerns(&self, finding: &Finding) -> bool {
        let related = self.family.is_none() || finding.family.is_none() || self.family == finding.family;
        related && self.acknowledged.is_none_or(|at| finding.since.wall <= at)
    }
}

/// Whether a graver finding speaks for this one: offline for all; the exit for its own family's routes and round trips
/// and for the DNS; a lost tunnel or route for round trips and silence, and for the DNS until it has spoken itself. One
/// that is recorded without a word to anybody speaks for nothing.
fn is_inhibited(finding: &Finding, result: &PartResult, causes: &[Cause]) -> bool {
    use FindingKind as Kind;
    const EXIT: [Kind; 2] = [Kind::ExitExposed, Kind::ExitUnexpected];
    const WAY: [Kind; 2] = [Kind::TunnelDown, Kind::RouteOutsideTunnel];
    let any = |kinds: &[Kind], fired: bool| {
        let mut of_kind = causes.iter().filter(|cause| kinds.contains(&cause.kind));
        of_kind.any(|cause| cause.concerns(finding) && (fired || !cause.fired))
    };
    let stands = |kinds: &[Kind]| any(kinds, true);
    let about_to_speak = |kinds: &[Kind]| any(kinds, false);
    let dns = || stands(&EXIT) || about_to_speak(&WAY);
    let lost = || stands(&EXIT) || stands(&WAY);
    let offline = finding.kind != Kind::Offline && result.has(Kind::Offline, None);
    offline
        || match finding.kind {
            Kind::DnsLeak | Kind::DnsForeignResolver | Kind::DnsTampering => dns(),
            Kind::DnsInterception => dns() || stands(&[Kind::DnsLeak]),
            Kind::LatencyFloor => lost(),
            Kind::LatencyDrop => lost() || stands(&[Kind::LatencyFloor]),
            Kind::ExitSuspect
            | Kind::ExitOperatorChanged
            | Kind::ExitAddressChanged
            | Kind::RouteOutsideTunnel
            | Kind::TunnelDown => stands(&EXIT),
            Kind::WitnessesSilent => stands(&EXIT) || stands(&[Kind::TunnelDown]),
            Kind::NodeSilent => stands(&[Kind::WitnessesSilent]),
            Kind::ExitUnexpected => stands(&[Kind::ExitExposed]),
            Kind::ExitExposed | Kind::KillSwitchOpen | Kind::VoiceDissents | Kind::Offline => false,
        }
}

fn incident(rule: &Rule, finding: &Finding, now: Moment) -> Incident {
    Incident {
        id: IncidentId(String::new()),
        rule: rule.id.clone(),
        kind: finding.kind,
        family: finding.family,
        entity: finding.entity.clone(),
        severity: rule.severity.unwrap_or(finding.severity),
        state: IncidentState::Pending,
        title: finding.title.clone(),
        sentence: finding.sentence.clone(),
        advice: finding.advice.clone(),
        evidence: finding.evidence.clone(),
        opened: finding.since,
        changed: now,
        acknowledged: None,
    }
}

/// Opens an incident with what is known at this moment.
fn fire(
    life: &mut TrackedIncident,
    found: &ReportedFinding,
    stamps: &mut BTreeMap<(RuleId, Option<Family>), i64>,
    inputs: &AlertInputs<'_>,
    changes: &mut IncidentChanges,
) {
    let began = if found.finding.since.boot <= inputs.now.boot { found.finding.since } else { inputs.now };
    let stamp = stamps
        .entry((life.rule.id.clone(), found.finding.family))
        .and_modify(|last| *last = began.wall.0.max(last.saturating_add(1)))
        .or_insert(began.wall.0);
    life.incident = Incident {
        id: identifier(&life.rule.id, &found.finding, *stamp),
        state: IncidentState::Firing,
        opened: began,
        ..incident(&life.rule, &found.finding, inputs.now)
    };
    changes.incidents.push(life.incident.clone());
    if life.rule.notify && !is_on_purpose(found.finding.kind, found.finding.severity) {
        life.announced = true;
        changes.notices.push(Notice {
            incident: life.incident.id.clone(),
            kind: NoticeKind::Alarm,
            severity: life.incident.severity,
            title: found.finding.title.clone(),
            body: found.body.clone(),
            at: inputs.now.wall,
        });
    }
}

/// Closes an incident, and says so to whom it was told that it began.
fn resolve(life: &TrackedIncident, inputs: &AlertInputs<'_>, changes: &mut IncidentChanges) {
    let incident = &life.incident;
    changes.incidents.push(incident.clone());
    if !life.announced {
        return;
    }
    let lasted = if life.restored {
        inputs.now.wall.since(incident.opened.wall)
    } else {
        inputs.now.boot.since(incident.opened.boot)
    };
    let [_, until_now] = (inputs.probes)(incident.family);
    let probes = life.probes.map(|before| until_now.since(before));
    changes.notices.push(Notice {
        incident: incident.id.clone(),
        kind: NoticeKind::Resolve,
        severity: incident.severity,
        title: wording::title_over(incident, inputs.verdict),
        body: wording::body_over(incident, lasted, probes, life.flaps),
        at: inputs.now.wall,
    });
}

/// `exit-exposed-v4-1700000000000`, with the name of its entity behind it where there is one.
fn identifier(rule: &RuleId, finding: &Finding, stamp: i64) -> IncidentId {
    let base = format!("{rule}-{}-{stamp}", wording::family_id(finding.family));
    IncidentId(match &finding.entity {
        Some(entity) => format!("{base}-{}", entity.name()),
        None => base,
    })
}
