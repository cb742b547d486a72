//! Plays a scenario and says how it went, one JSON object a line.
//!
//! Every line has `ms`, the time since the beginning, and `event`: `up`, `settled`, `fault`, `verdict`, `finding`, `gone`,
//! `incident`, `met`, `missed`, `forbidden`, and at the end `result`.

use crate::{
    Arrived, Fault, World,
    scenario::{Expect, Scenario},
};
use anyhow::{Context, Result, bail};
use sentinel_model::{Family, FindingKind, IncidentState, Snapshot, Verdict};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout_at},
};

/// What a finding or an incident is about.
type About = (FindingKind, Option<Family>, String);
type Events = mpsc::Receiver<Result<Arrived>>;

/// How a scenario went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What did not go as the file says; empty if all held.
    pub failures: Vec<String>,
    /// How long each met expectation took, in the order of the file.
    pub took: Vec<Option<Duration>>,
    /// The last lines the nodes logged, if something failed.
    pub logs: String,
}

/// Plays a scenario in a fresh world. `print` gets every line.
///
/// # Errors
/// The world cannot be built or a fault cannot be injected. An expectation not met is no error but a failure in the outcome.
pub async fn run(scenario: &Scenario, mut print: impl FnMut(&Value)) -> Result<Outcome> {
    let mut play = Play::new(scenario, &mut print);
    play.say("building", json!({ "description": scenario.description }));
    let mut world = World::start(scenario.spec()).await?;
    play.say("up", json!({}));
    let mut events = world.node_api("laptop")?.events();
    let settled = play.settle(&mut events).await?;
    if settled {
        play.story(&mut events, async |fault| world.inject(fault).await).await?;
    }
    for host in &scenario.never.packets_to {
        let packets = world.packets_to(host).await?;
        if packets > 0 {
            play.fail("forbidden", format!("{packets} packets to {host}"));
        }
    }
    let mut outcome = play.finish();
    if !outcome.failures.is_empty() {
        outcome.logs = world.logs(40);
    }
    Ok(outcome)
}

/// What has been shown last.
#[derive(Debug, Default)]
struct Shown {
    verdict: Option<Verdict>,
    findings: BTreeSet<About>,
    incidents: BTreeMap<String, (About, IncidentState)>,
}

struct Play<'a> {
    scenario: &'a Scenario,
    print: &'a mut dyn FnMut(&Value),
    began: Instant,
    settled: bool,
    shown: Shown,
    injected: BTreeMap<String, Instant>,
    took: Vec<Option<Duration>>,
    missed: Vec<bool>,
    had_incidents: BTreeSet<(FindingKind, Option<Family>)>,
    /// The incidents about each thing, since settling.
    opened: BTreeMap<About, BTreeSet<String>>,
    failures: Vec<String>,
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, print: &'a mut dyn FnMut(&Value)) -> Self {
        Self {
            scenario,
            print,
            began: Instant::now(),
            settled: false,
            shown: Shown::default(),
            injected: BTreeMap::new(),
            took: vec![None; scenario.expect.len()],
            missed: vec![false; scenario.expect.len()],
            had_incidents: BTreeSet::new(),
            opened: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    fn say(&mut self, event: &str, detail: Value) {
        self.say_at(Instant::now(), event, detail);
    }

    fn say_at(&mut self, at: Instant, event: &str, detail: Value) {
        let ms = u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({ "ms": ms, "event": event });
        if let (Some(line), Value::Object(detail)) = (line.as_object_mut(), detail) {
            line.extend(detail);
        }
        (self.print)(&line);
    }

    fn fail(&mut self, event: &str, failure: String) {
        self.say(event, json!({ "what": failure }));
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Waits for the world to settle, and for that to last.
    async fn settle(&mut self, events: &mut Events) -> Result<bool> {
        let deadline = Instant::now() + Duration::from_millis(self.scenario.settle.within_ms);
        let lasting = Duration::from_millis(self.scenario.settle.for_ms);
        let mut since = None;
        let mut missing = "no snapshot has come".to_owned();
        loop {
            let until = since.map_or(deadline, |since: Instant| since + lasting);
            match timeout_at(until.into(), events.recv()).await {
                Ok(event) => {
                    let arrived = event.context("the laptop's node went away")??;
                    self.see(&arrived);
                    since = match self.scenario.is_settled(&arrived.snapshot) {
                        Ok(()) => Some(since.unwrap_or(arrived.at)),
                        Err(reason) => {
                            missing = reason;
                            None
                        }
                    };
                }
                Err(_) if since.is_some() => {
                    self.settled = true;
                    self.say("settled", json!({}));
                    return Ok(true);
                }
                Err(_) => {
                    self.fail("missed", format!("the world does not settle: {missing}"));
                    return Ok(false);
                }
            }
        }
    }

    /// Injects the faults at their times and watches until everything is decided.
    async fn story(
        &mut self,
        events: &mut Events,
        mut inject: impl AsyncFnMut(&Fault) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut steps = self.scenario.steps().into_iter().peekable();
        let watch_until = start + Duration::from_millis(self.scenario.watch_ms);
        loop {
            let due = steps.peek().map(|step| start + step.at);
            let deadline = self.next_deadline();
            let now = Instant::now();
            if due.is_none() && deadline.is_none() && now >= watch_until {
                return Ok(());
            }
            let wake = due.into_iter().chain(deadline).min().unwrap_or(watch_until);
            tokio::select! {
                biased;
                event = events.recv() => {
                    let arrived = event.context("the laptop's node went away")??;
                    self.see(&arrived);
                }
                () = sleep_until(wake.into()) => {
                    self.miss(Instant::now());
                    if let Some(step) = steps.next_if(|step| start + step.at <= Instant::now()) {
                        self.say("fault", json!({ "id": step.id, "do": format!("{:?}", step.fault) }));
                        self.injected.extend(step.id.map(|id| (id, Instant::now())));
                        inject(step.fault).await?;
                    }
                }
            }
        }
    }

    fn see(&mut self, arrived: &Arrived) {
        self.show(arrived);
        self.check_never(&arrived.snapshot);
        let expects = &self.scenario.expect;
        for (index, expect) in expects.iter().enumerate() {
            let Some(injected) = self.injected.get(expect.after.as_str()).copied() else { continue };
            let undecided = self.took[index].is_none() && !self.missed[index];
            if undecided && arrived.at > injected && self.matches(expect, &arrived.snapshot) {
                let took = arrived.at - injected;
                if took > Duration::from_millis(expect.within_ms) {
                    continue;
                }
                self.took[index] = Some(took);
                let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.say_at(
                    arrived.at,
                    "met",
                    json!({ "after": expect.after, "what": describe(expect), "took_ms": took_ms }),
                );
            }
        }
    }

    /// Prints what differs from the snapshot before.
    fn show(&mut self, arrived: &Arrived) {
        let snapshot = &arrived.snapshot;
        if self.shown.verdict != Some(snapshot.verdict.verdict) {
            self.shown.verdict = Some(snapshot.verdict.verdict);
            let detail =
                json!({ "verdict": snapshot.verdict.verdict, "sentence": snapshot.verdict.sentence });
            self.say_at(arrived.at, "verdict", detail);
        }
        let mut findings = BTreeSet::new();
        for finding in &snapshot.findings {
            let about = (finding.kind, finding.family, finding.subject.clone());
            if !self.shown.findings.contains(&about) {
                let detail = json!({ "finding": finding.kind, "family": finding.family, "sentence": finding.sentence });
                self.say_at(arrived.at, "finding", detail);
            }
            findings.insert(about);
        }
        let gone: Vec<_> = self.shown.findings.difference(&findings).cloned().collect();
        for (kind, family, _) in gone {
            self.say_at(arrived.at, "gone", json!({ "finding": kind, "family": family }));
        }
        self.shown.findings = findings;
        self.show_incidents(arrived);
    }

    fn show_incidents(&mut self, arrived: &Arrived) {
        let mut incidents = BTreeMap::new();
        for incident in &arrived.snapshot.incidents {
            self.had_incidents.insert((incident.kind, incident.family));
            let about = (incident.kind, incident.family, incident.subject.clone());
            if self.settled {
                self.opened.entry(about.clone()).or_default().insert(incident.id.0.clone());
            }
            let now = (about, incident.state);
            if self.shown.incidents.get(&incident.id.0) != Some(&now) {
                let detail =
                    json!({ "incident": incident.kind, "family": incident.family, "state": incident.state });
                self.say_at(arrived.at, "incident", detail);
            }
            incidents.insert(incident.id.0.clone(), now);
        }
        let over: Vec<_> = self
            .shown
            .incidents
            .iter()
            .filter(|(id, _)| !incidents.contains_key(*id))
            .map(|(_, it)| it.0.clone())
            .collect();
        for (kind, family, _) in over {
            let detail = json!({ "incident": kind, "family": family, "state": IncidentState::Resolved });
            self.say_at(arrived.at, "incident", detail);
        }
        self.shown.incidents = incidents;
    }

    fn check_never(&mut self, snapshot: &Snapshot) {
        let verdict = snapshot.verdict.verdict;
        if !self.settled {
            if verdict == Verdict::Exposed {
                self.fail("forbidden", "the verdict Exposed before the story begins".to_owned());
            }
            return;
        }
        let never = &self.scenario.never;
        let mut forbidden = Vec::new();
        if never.verdicts.contains(&verdict) || (never.anything && verdict != Verdict::Protected) {
            forbidden.push(format!("the verdict {verdict}"));
        }
        for finding in &snapshot.findings {
            let severe = never.severity.is_some_and(|severity| finding.severity >= severity);
            if never.anything || severe || never.findings.contains(&finding.kind) {
                forbidden.push(format!("the finding {}: {}", finding.kind, finding.sentence));
            }
        }
        for incident in snapshot.incidents.iter().filter(|_| never.anything) {
            forbidden.push(format!("an incident {}: {}", incident.kind, incident.sentence));
        }
        if never.second_incident {
            let again = self.opened.iter().filter(|(_, ids)| ids.len() > 1);
            forbidden.extend(again.map(|((kind, _, _), _)| format!("a second incident {kind}")));
        }
        for what in forbidden {
            if !self.failures.contains(&what) {
                self.fail("forbidden", what);
            }
        }
    }

    fn matches(&self, expect: &Expect, snapshot: &Snapshot) -> bool {
        let is_it = |kind: FindingKind, family: Option<Family>| {
            expect.finding == Some(kind) && (expect.family.is_none() || expect.family == family)
        };
        let open = |state: IncidentState| {
            snapshot
                .incidents
                .iter()
                .any(|incident| is_it(incident.kind, incident.family) && incident.state == state)
        };
        let verdict = expect.verdict.is_none_or(|verdict| verdict == snapshot.verdict.verdict);
        let absent = !snapshot.findings.iter().any(|finding| expect.without.contains(&finding.kind));
        let says = |sentence: &str| expect.says.as_deref().is_none_or(|words| sentence.contains(words));
        let found = snapshot
            .findings
            .iter()
            .any(|finding| is_it(finding.kind, finding.family) && says(&finding.sentence));
        let subject = match (expect.finding, expect.incident_state) {
            (None, _) => true,
            (Some(_), None) => found,
            (Some(_), Some(IncidentState::Resolved)) => {
                let had = self.had_incidents.iter().any(|(kind, family)| is_it(*kind, *family));
                had && !snapshot.incidents.iter().any(|incident| is_it(incident.kind, incident.family))
            }
            // While it recovers or nobody can tell, the finding itself is gone.
            (Some(_), Some(state)) => open(state) && (found || state != IncidentState::Firing),
        };
        let network = expect.connectivity.is_none_or(|connectivity| connectivity == snapshot.connectivity);
        verdict && absent && network && subject
    }

    /// The earliest moment at which an expectation is missed.
    fn next_deadline(&self) -> Option<Instant> {
        self.open_expectations().map(|(_, deadline)| deadline).min()
    }

    fn open_expectations(&self) -> impl Iterator<Item = (usize, Instant)> {
        self.scenario.expect.iter().enumerate().filter_map(|(index, expect)| {
            let injected = *self.injected.get(expect.after.as_str())?;
            let open = self.took[index].is_none() && !self.missed[index];
            open.then(|| (index, injected + Duration::from_millis(expect.within_ms)))
        })
    }

    fn miss(&mut self, now: Instant) {
        let late: Vec<_> = self
            .open_expectations()
            .filter(|(_, deadline)| *deadline <= now)
            .map(|(index, _)| index)
            .collect();
        for index in late {
            self.missed[index] = true;
            let expect = &self.scenario.expect[index];
            self.fail(
                "missed",
                format!("after {}, within {} ms: {}", expect.after, expect.within_ms, describe(expect)),
            );
        }
    }

    fn finish(mut self) -> Outcome {
        let failures = std::mem::take(&mut self.failures);
        self.say("result", json!({ "passed": failures.is_empty(), "failures": failures }));
        Outcome { failures, took: self.took, logs: String::new() }
    }
}

fn describe(expect: &Expect) -> String {
    let mut parts = Vec::new();
    parts.extend(expect.verdict.map(|verdict| format!("verdict {verdict}")));
    if let Some(finding) = expect.finding {
        let family = expect.family.map(|family| format!(" over {family}")).unwrap_or_default();
        let state =
            expect.incident_state.map(|state| format!(", its incident {state:?}")).unwrap_or_default();
        let says = expect.says.as_ref().map(|words| format!(", saying {words:?}")).unwrap_or_default();
        parts.push(format!("{finding}{family}{says}{state}"));
    }
    parts.extend(expect.connectivity.map(|connectivity| format!("connectivity {connectivity:?}")));
    parts.extend(expect.without.iter().map(|finding| format!("no {finding}")));
    parts.join("; ")
}

#[cfg(test)]
mod tests;

/// Plays a scenario and fails if anything did not go as its file says.
///
/// # Errors
/// As [`run`], and for every failure.
pub async fn must_pass(scenario: &Scenario, print: impl FnMut(&Value)) -> Result<Outcome> {
    let outcome = run(scenario, print).await?;
    if !outcome.failures.is_empty() {
        bail!("{}\n\nwhat the nodes logged:\n{}", outcome.failures.join("\n"), outcome.logs);
    }
    Ok(outcome)
}
