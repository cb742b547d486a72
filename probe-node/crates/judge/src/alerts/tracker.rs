//! All findings that are tracked: the candidates and the open incidents.

use super::{
    incident::{TrackedIncident, Transition},
    inhibition::{Cause, is_inhibited},
    notices::{Ending, announce, announce_end, build_id, build_incident},
    onsets::Onsets,
    open_incident::is_notified,
    presence::Presence,
    rules::fallback_rule,
};
use crate::{
    bounded::BoundedMap,
    part_result::{PartResult, ReportedFinding},
    policy::Policy,
    probes::ProbeCount,
};
use sentinel_model::{
    Family, FindingKey, Incident, IncidentId, Millis, Moment, Monotonic, Notice, Rule, RuleId, Verdict,
};
use std::collections::BTreeMap;

/// How far apart assessments must be to count as separate samples.
///
/// Assessments come after every handful of observations; samples come at the pace of the beacon.
const SAMPLE_EVERY: Millis = Millis(900);
/// How many findings are tracked: rules times families times nodes, with room.
const TRACKED: usize = 512;

/// A finding under a rule.
type TrackingKey = (RuleId, FindingKey);

/// The times used in incident ids, per rule and family.
type IdStamps = BTreeMap<(RuleId, Option<Family>), i64>;

/// Tracks every finding under every rule that selects its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncidentTracker {
    tracked: BoundedMap<TrackingKey, TrackedIncident, TRACKED>,
    /// The last time used in an id, so that no two are alike even if the wall clock is set back.
    stamps: IdStamps,
    last_sample: Option<Monotonic>,
    /// When conditions began whose incidents are over, for those that come back.
    past_onsets: BoundedMap<TrackingKey, Onsets, TRACKED>,
}

/// What one assessment gives the tracker.
pub(crate) struct AlertInputs<'a> {
    /// The findings and the determined questions of all parts.
    pub result: &'a PartResult,
    /// The verdict at this moment.
    pub verdict: Verdict,
    /// Whether anything was observed since the last assessment.
    pub is_fresh: bool,
    /// The user's policy.
    pub policy: &'a Policy,
    /// The moment of the assessment.
    pub now: Moment,
    /// Returns the probes made over a family until the assessment before, and until now.
    pub probes: &'a dyn Fn(Option<Family>) -> [ProbeCount; 2],
}

/// What one assessment changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncidentChanges {
    /// Incidents that changed, those that ended among them.
    pub incidents: Vec<Incident>,
    /// The notices to send.
    pub notices: Vec<Notice>,
}

impl IncidentTracker {
    /// Goes on with the incidents that an earlier run left open.
    pub fn restore(&mut self, open: Vec<Incident>, policy: &Policy) {
        for incident in open.into_iter().filter(|incident| incident.state.is_open()) {
            let opened = incident.opened.wall.0;
            let stamp = self.stamps.entry((incident.rule.clone(), incident.family)).or_insert(opened);
            *stamp = opened.max(*stamp);
            let rule = policy.rules.iter().find(|rule| rule.id == incident.rule).cloned();
            let rule =
                rule.unwrap_or_else(|| Rule { id: incident.rule.clone(), ..fallback_rule(incident.kind) });
            let key = (incident.rule.clone(), incident.key());
            if let Some(resumed) = TrackedIncident::resume(incident, rule) {
                self.tracked.try_insert(key, resumed);
            }
        }
    }

    /// Records that the person knows of an open incident; returns it, if there is one of that id.
    pub fn acknowledge(&mut self, id: &IncidentId, now: Moment) -> Option<&Incident> {
        let mut open = self.tracked.values_mut().filter_map(TrackedIncident::as_open_mut);
        open.find(|open| open.incident().id == *id).map(|open| open.acknowledge(now.wall))
    }

    /// Drops the candidates, and forgets for how long anything has lasted: the machine slept, or
    /// judging was paused.
    pub fn interrupt(&mut self) {
        self.tracked.retain(|_, tracked| !tracked.is_candidate());
        for open in self.tracked.values_mut().filter_map(TrackedIncident::as_open_mut) {
            open.interrupt();
        }
    }

    /// Returns the open incidents, newest first.
    pub fn open_incidents(&self) -> Vec<Incident> {
        let open = self.tracked.values().filter_map(TrackedIncident::as_open);
        let mut open: Vec<Incident> = open.map(|open| open.incident().clone()).collect();
        open.sort_by(|a, b| b.opened.wall.cmp(&a.opened.wall).then_with(|| a.id.cmp(&b.id)));
        open
    }

    /// Takes one assessment into account.
    pub fn step(&mut self, inputs: &AlertInputs<'_>) -> IncidentChanges {
        let is_sample = self.take_sample(inputs);
        let begun = self.begin_candidates(inputs);
        let causes = self.find_causes(inputs.result);
        let patience = inputs.policy.thresholds.unknown_after;
        let mut changes = IncidentChanges::default();
        let mut ended = Vec::new();
        let keys: Vec<TrackingKey> = self.tracked.keys().cloned().collect();
        for key in keys {
            let reported = inputs.result.get(&key.1);
            let presence = determine_presence(&key.1, reported, inputs.result, &causes);
            let Some(tracked) = self.tracked.get_mut(&key) else { continue };
            // A candidate that has just begun already counts this sample.
            let counts = is_sample && !begun.contains(&key);
            let transition = tracked.step(presence, counts, patience, inputs.now);
            if let (Transition::Fired, Some(reported)) = (transition, reported) {
                fire(tracked, reported, &mut self.stamps, inputs, &mut changes);
            }
            if matches!(transition, Transition::Resolved | Transition::Dropped) {
                ended.push(key);
            }
            report_transition(tracked, transition, inputs, &mut changes);
        }
        self.remove(ended, inputs.now);
        changes
    }

    /// Returns true if this assessment counts as a sample, and remembers it.
    fn take_sample(&mut self, inputs: &AlertInputs<'_>) -> bool {
        let is_due = self.last_sample.is_none_or(|last| inputs.now.boot.since(last) >= SAMPLE_EVERY);
        let is_sample = inputs.is_fresh && is_due;
        if is_sample {
            self.last_sample = Some(inputs.now.boot);
        }
        is_sample
    }

    /// Starts to track every finding that is not tracked yet; returns the new keys.
    fn begin_candidates(&mut self, inputs: &AlertInputs<'_>) -> Vec<TrackingKey> {
        let mut begun = Vec::new();
        for rule in &inputs.policy.rules {
            let selected = inputs.result.findings.iter().map(|reported| &reported.finding);
            for finding in selected.filter(|finding| finding.kind == rule.finding) {
                let key = (rule.id.clone(), finding.key());
                if let Some(tracked) = self.tracked.get_mut(&key) {
                    tracked.rule = rule.clone();
                } else if self.tracked.has_room_for(&key) {
                    let [probes_before, _] = (inputs.probes)(finding.family);
                    let onsets = self.past_onsets.remove(&key).unwrap_or_default();
                    let tracked = TrackedIncident::begin(rule.clone(), onsets, probes_before, inputs.now);
                    self.tracked.try_insert(key.clone(), tracked);
                    begun.push(key);
                }
            }
        }
        begun
    }

    /// Returns the tracked findings that are present now and of which the person is notified.
    fn find_causes(&self, result: &PartResult) -> Vec<Cause> {
        let notified = self.tracked.iter().filter(|(_, tracked)| tracked.rule.notify);
        let present = notified.filter(|((_, key), _)| result.get(key).is_some());
        present
            .map(|((_, key), tracked)| {
                let acknowledged = tracked.as_open().and_then(|open| open.incident().acknowledged);
                Cause::new(key, !tracked.is_candidate(), acknowledged)
            })
            .collect()
    }

    /// Stops tracking what has ended, and remembers how often it began lately.
    fn remove(&mut self, ended: Vec<TrackingKey>, now: Moment) {
        self.past_onsets.retain(|_, onsets| !onsets.are_past(now));
        for key in ended {
            let removed = self.tracked.remove(&key);
            if let Some(tracked) = removed.filter(|tracked| !tracked.onsets.are_past(now)) {
                self.past_onsets.try_insert(key, tracked.onsets);
            }
        }
    }
}

fn determine_presence(
    key: &FindingKey,
    reported: Option<&ReportedFinding>,
    result: &PartResult,
    causes: &[Cause],
) -> Presence {
    match reported {
        Some(reported) if is_inhibited(&reported.finding, result, causes) => Presence::Inhibited,
        Some(_) => Presence::Present,
        None if result.is_determined(key) => Presence::Absent,
        None => Presence::Undetermined,
    }
}

/// Opens the incident of a rule that fired, and announces it.
fn fire(
    tracked: &mut TrackedIncident,
    reported: &ReportedFinding,
    stamps: &mut IdStamps,
    inputs: &AlertInputs<'_>,
    changes: &mut IncidentChanges,
) {
    let finding = &reported.finding;
    let opened = if finding.since.boot <= inputs.now.boot { finding.since } else { inputs.now };
    let stamp = stamps
        .entry((tracked.rule.id.clone(), finding.family))
        .and_modify(|last| *last = opened.wall.0.max(last.saturating_add(1)))
        .or_insert(opened.wall.0);
    let id = build_id(&tracked.rule.id, finding, *stamp);
    let incident = build_incident(&tracked.rule, finding, id, opened, inputs.now);
    let is_announced = is_notified(&tracked.rule, finding.kind, finding.severity);
    if is_announced {
        changes.notices.push(announce(&incident, reported, inputs.now));
    }
    tracked.open(incident, is_announced);
}

/// Adds what a transition of an open incident changes, and its end to the notices if its beginning
/// was announced.
fn report_transition(
    tracked: &mut TrackedIncident,
    transition: Transition,
    inputs: &AlertInputs<'_>,
    changes: &mut IncidentChanges,
) {
    let probes_before = tracked.probes_before;
    let Some(open) = tracked.as_open_mut() else { return };
    let is_unsaved = open.take_unsaved();
    if transition != Transition::Unchanged || is_unsaved {
        changes.incidents.push(open.incident().clone());
    }
    if transition != Transition::Resolved || !open.is_announced {
        return;
    }
    let incident = open.incident();
    let lasted = if open.is_restored {
        inputs.now.wall.since(incident.opened.wall)
    } else {
        inputs.now.boot.since(incident.opened.boot)
    };
    let [_, until_now] = (inputs.probes)(incident.family);
    let probes = probes_before.map(|before| until_now.since(before));
    let ending = Ending { verdict: inputs.verdict, lasted, probes, flaps: open.flaps };
    changes.notices.push(announce_end(incident, &ending, inputs.now));
}
