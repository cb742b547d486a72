//! From findings to incidents and notices: every finding lives once under every rule that looks at its kind.

use super::{
    incident::{Life, Onsets, Sight, Step, is_on_purpose},
    rules::fallback,
};
use crate::{
    part_result::{Found, Ruling},
    policy::Policy,
    wording::{self, Probes},
};
use sentinel_model::{
    Family, Finding, FindingKey, FindingKind, Incident, IncidentId, IncidentState, Millis, Moment, Monotonic,
    Notice, NoticeKind, Rule, RuleId, Timestamp, Verdict,
};
use std::collections::BTreeMap;

/// Assessments come after every handful of observations; as samples they count at the pace of the beacon.
const SAMPLE_EVERY: Millis = Millis(900);
/// How many lives there can be: rules times families times nodes, with room.
const LIVES: usize = 512;

/// A finding under a rule.
type Key = (RuleId, FindingKey);

/// All incidents, and those that may become one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alerts {
    lives: BTreeMap<Key, Life>,
    /// The last time used in an identifier, so that no two are alike even if the wall clock is set back.
    stamps: BTreeMap<(RuleId, Option<Family>), i64>,
    sampled: Option<Monotonic>,
    /// When conditions began whose incidents are over by now, for those that come back.
    onsets: BTreeMap<Key, Onsets>,
}

/// What one assessment has to say to the alerts.
pub(crate) struct News<'a> {
    pub ruling: &'a Ruling,
    pub verdict: Verdict,
    /// Whether anything was observed since the last assessment.
    pub fresh: bool,
    pub policy: &'a Policy,
    pub now: Moment,
    /// The probes made over a family until the assessment before, and until now.
    pub probes: &'a dyn Fn(Option<Family>) -> [Probes; 2],
}

/// What changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub incidents: Vec<Incident>,
    pub notices: Vec<Notice>,
}

impl Alerts {
    /// Goes on with the incidents an earlier run left open.
    pub fn restore(&mut self, open: Vec<Incident>, policy: &Policy, now: Moment) {
        for incident in open.into_iter().filter(|incident| incident.state.is_open()) {
            let stamp =
                self.stamps.entry((incident.rule.clone(), incident.family)).or_insert(incident.opened.wall.0);
            *stamp = incident.opened.wall.0.max(*stamp);
            let rule = policy.rules.iter().find(|rule| rule.id == incident.rule).cloned();
            let rule = rule.unwrap_or_else(|| Rule { id: incident.rule.clone(), ..fallback(incident.kind) });
            let key = (incident.rule.clone(), incident.key());
            self.lives.insert(key, Life::resume(incident, rule, now));
        }
    }

    /// Notes that the person knows of an incident; gives it, if there is such an open one.
    pub fn acknowledge(&mut self, id: &IncidentId, now: Moment) -> Option<&Incident> {
        let mut lives = self.lives.values_mut();
        let life = lives.find(|life| life.incident.id == *id && life.incident.state.is_open())?;
        life.incident.acknowledged.get_or_insert(now.wall);
        life.dirty = true;
        Some(&life.incident)
    }

    /// Forgets what is only suspected: the machine slept, or judging was paused.
    pub fn interrupt(&mut self) {
        self.lives.retain(|_, life| !life.is_pending());
        for life in self.lives.values_mut() {
            life.interrupt();
        }
    }

    /// Open incidents, newest first.
    pub fn open(&self) -> Vec<Incident> {
        let mut open: Vec<Incident> =
            self.lives.values().map(|life| &life.incident).filter(|i| i.state.is_open()).cloned().collect();
        open.sort_by(|a, b| b.opened.wall.cmp(&a.opened.wall).then_with(|| a.id.cmp(&b.id)));
        open
    }

    /// Takes one assessment into account.
    pub fn step(&mut self, news: &News<'_>) -> Changes {
        let due = self.sampled.is_none_or(|last| news.now.boot.since(last) >= SAMPLE_EVERY);
        let sample = news.fresh && due;
        if sample {
            self.sampled = Some(news.now.boot);
        }
        let begun = self.begin(news);
        let mut changes = Changes::default();
        let mut over = Vec::new();
        let patience = news.policy.thresholds.unknown_after;
        let causes = self.causes(news.ruling);
        let keys: Vec<Key> = self.lives.keys().cloned().collect();
        for key in keys {
            let found = present(&key, news.ruling);
            let Some(life) = self.lives.get_mut(&key) else { continue };
            let sight = sight(&key, found, news.ruling, &causes);
            // A life that has just begun already counts this sample.
            let counts = sample && !begun.contains(&key);
            match life.step(sight, counts, patience, news.now) {
                Step::Quiet if life.dirty => changes.incidents.push(life.incident.clone()),
                Step::Quiet => {}
                Step::Changed => changes.incidents.push(life.incident.clone()),
                Step::Fired => {
                    if let Some(found) = found {
                        fire(life, found, &mut self.stamps, news, &mut changes);
                    }
                }
                Step::Resolved => {
                    resolve(life, news, &mut changes);
                    over.push(key.clone());
                }
                Step::Vanished => over.push(key.clone()),
            }
            life.dirty = false;
        }
        self.onsets.retain(|_, onsets| !onsets.is_past(news.now));
        for key in over {
            let ended = self.lives.remove(&key).filter(|life| !life.onsets.is_past(news.now));
            if let Some(life) = ended.filter(|_| self.onsets.len() < LIVES) {
                self.onsets.insert(key, life.onsets);
            }
        }
        changes
    }

    /// What is there at this moment and told to the person.
    fn causes(&self, ruling: &Ruling) -> Vec<Cause> {
        let told = self.lives.iter().filter(|(_, life)| life.rule.notify);
        told.filter(|(key, _)| present(key, ruling).is_some()).map(|(_, life)| Cause::of(life)).collect()
    }

    /// Begins a life for every finding that has none under a rule that looks at it.
    fn begin(&mut self, news: &News<'_>) -> Vec<Key> {
        let mut begun = Vec::new();
        for rule in &news.policy.rules {
            for found in news.ruling.found.iter().filter(|found| found.finding.kind == rule.finding) {
                let finding = &found.finding;
                let key = (rule.id.clone(), finding.key());
                if let Some(life) = self.lives.get_mut(&key) {
                    life.rule = rule.clone();
                } else if self.lives.len() < LIVES {
                    let mut life = Life::begin(incident(rule, finding, news.now), rule.clone(), news.now);
                    let [before, _] = (news.probes)(finding.family);
                    life.probes = Some(before);
                    life.onsets = self.onsets.remove(&key).unwrap_or_default();
                    self.lives.insert(key.clone(), life);
                    begun.push(key);
                }
            }
        }
        begun
    }
}

fn present<'a>(key: &Key, ruling: &'a Ruling) -> Option<&'a Found> {
    let (_, key) = key;
    ruling.found.iter().find(|found| found.finding.key() == *key)
}

fn sight(key: &Key, found: Option<&Found>, ruling: &Ruling, causes: &[Cause]) -> Sight {
    let (_, key) = key;
    match found {
        Some(found) if is_muted(&found.finding, ruling, causes) => Sight::Muted,
        Some(_) => Sight::Present,
        None if ruling.could_tell(key) => Sight::Absent,
        None => Sight::Blind,
    }
}

/// A finding that may speak for others, since the person is told of it.
struct Cause {
    kind: FindingKind,
    family: Option<Family>,
    /// It has been told: what goes on beside it is news of its own.
    fired: bool,
    acknowledged: Option<Timestamp>,
}

impl Cause {
    fn of(life: &Life) -> Self {
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
fn is_muted(finding: &Finding, ruling: &Ruling, causes: &[Cause]) -> bool {
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
    let offline = finding.kind != Kind::Offline && ruling.has(Kind::Offline, None);
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
    life: &mut Life,
    found: &Found,
    stamps: &mut BTreeMap<(RuleId, Option<Family>), i64>,
    news: &News<'_>,
    changes: &mut Changes,
) {
    let began = if found.finding.since.boot <= news.now.boot { found.finding.since } else { news.now };
    let stamp = stamps
        .entry((life.rule.id.clone(), found.finding.family))
        .and_modify(|last| *last = began.wall.0.max(last.saturating_add(1)))
        .or_insert(began.wall.0);
    life.incident = Incident {
        id: identifier(&life.rule.id, &found.finding, *stamp),
        state: IncidentState::Firing,
        opened: began,
        ..incident(&life.rule, &found.finding, news.now)
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
            at: news.now.wall,
        });
    }
}

/// Closes an incident, and says so to whom it was told that it began.
fn resolve(life: &Life, news: &News<'_>, changes: &mut Changes) {
    let incident = &life.incident;
    changes.incidents.push(incident.clone());
    if !life.announced {
        return;
    }
    let lasted = if life.restored {
        news.now.wall.since(incident.opened.wall)
    } else {
        news.now.boot.since(incident.opened.boot)
    };
    let [_, until_now] = (news.probes)(incident.family);
    let probes = life.probes.map(|before| until_now.since(before));
    changes.notices.push(Notice {
        incident: incident.id.clone(),
        kind: NoticeKind::Resolve,
        severity: incident.severity,
        title: wording::title_over(incident, news.verdict),
        body: wording::body_over(incident, lasted, probes, life.flaps),
        at: news.now.wall,
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
