//! Plays a scenario and says how it went, one JSON object a line.
//!
//! Every line has `ms`, the time since the beginning, and `event`: `up`, `settled`, `fault`, `control`, `uncontrolled`,
//! `verdict`, `finding`, `gone`, `incident`, `met`, `missed`, `forbidden`, and at the end `result`.
//!
//! Nothing is believed that could as well be from before a fault. Every fault is looked for in the world itself, see
//! [`Control`]. And an expectation that the snapshot at the moment of injection meets already counts only once a full round
//! that began afterwards has ended, and the fault was seen.

mod ruling;
mod shown;

use crate::{
    Arrived, Fault, World,
    faults::Control,
    scenario::{Scenario, Step},
};
use anyhow::{Context, Result, bail};
use ruling::describe;
use sentinel_model::{Family, FindingKey, FindingKind, Millis, Snapshot, Timestamp};
use serde_json::{Value, json};
use shown::Shown;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout_at},
};

type Events = mpsc::Receiver<Result<Arrived>>;

/// How long after the last fault a round must have begun and ended, if a story is to show that nothing comes of it; a node's
/// rounds are half a minute apart.
const ROUND_PATIENCE: Duration = Duration::from_mins(1);

/// How a scenario went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What did not go as the file says; empty if all held.
    pub failures: Vec<String>,
    /// Those among them for which the story says nothing about the program: the world did not settle, a fault was not seen.
    pub spoiled: Vec<String>,
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
        let inject = async |fault: &Fault| {
            let control = world.control(fault).await?;
            let at = Instant::now();
            world.inject(fault).await.map(|()| (at, control))
        };
        play.story(&mut events, inject).await?;
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

struct Play<'a> {
    scenario: &'a Scenario,
    print: &'a mut dyn FnMut(&Value),
    began: Instant,
    settled: bool,
    shown: Shown,
    injected: BTreeMap<String, Injected>,
    /// Per expectation.
    states: Vec<State>,
    rounds: Rounds,
    last: Option<Snapshot>,
    had_incidents: BTreeSet<(FindingKind, Option<Family>)>,
    /// The incidents about each thing, since settling.
    opened: BTreeMap<FindingKey, BTreeSet<String>>,
    failures: Vec<String>,
    spoiled: Vec<String>,
    /// What has been found although it must not be; its sentence may change by the second.
    found: BTreeSet<FindingKey>,
}

/// A fault that expectations can come after.
#[derive(Debug)]
struct Injected {
    at: Instant,
    /// Whether it has been seen in the world.
    seen: bool,
    /// The expectations that were met before.
    met_before: BTreeSet<usize>,
}

/// What has become of an expectation.
#[derive(Clone, Copy, Debug)]
enum State {
    Open { since: Option<Instant> },
    Met { took: Duration },
    Missed,
}

/// When the last full round began that has ended.
#[derive(Debug, Default)]
struct Rounds {
    ended: Option<Timestamp>,
    began: Option<Instant>,
}

impl Rounds {
    fn see(&mut self, arrived: &Arrived) {
        let schedule = &arrived.snapshot.schedule;
        if schedule.last_round != self.ended {
            self.ended = schedule.last_round;
            let took = schedule.last_round_took.map(Millis::duration).unwrap_or_default();
            self.began = arrived.at.checked_sub(took);
        }
    }

    fn began_after(&self, moment: Instant) -> bool {
        self.began.is_some_and(|began| began > moment)
    }
}

/// What a look at the world has found of a fault.
struct Controlled {
    id: Option<String>,
    fault: String,
    promise: String,
    outcome: Result<Duration>,
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
            states: vec![State::Open { since: None }; scenario.expect.len()],
            rounds: Rounds::default(),
            last: None,
            had_incidents: BTreeSet::new(),
            opened: BTreeMap::new(),
            failures: Vec::new(),
            spoiled: Vec::new(),
            found: BTreeSet::new(),
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

    /// A failure that says nothing about the program.
    fn spoil(&mut self, event: &str, failure: String) {
        self.spoiled.push(failure.clone());
        self.fail(event, failure);
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
                    self.spoil("missed", format!("the world does not settle: {missing}"));
                    return Ok(false);
                }
            }
        }
    }

    /// Injects the faults at their times and watches until everything is decided.
    async fn story(
        &mut self,
        events: &mut Events,
        mut inject: impl AsyncFnMut(&Fault) -> Result<(Instant, Control)>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut steps = self.scenario.steps().into_iter().peekable();
        let watch_until = start + Duration::from_millis(self.scenario.watch_ms);
        let (controls, mut controlled) = mpsc::channel(64);
        let mut looking = 0u32;
        let mut last_fault = None;
        loop {
            let due = steps.peek().map(|step| start + step.at);
            let now = Instant::now();
            // What a calm story is told for is a round that has seen its faults.
            let unseen = last_fault.filter(|last| self.scenario.calm && !self.rounds.began_after(*last));
            if unseen.is_some_and(|last| now >= last + ROUND_PATIENCE) {
                self.spoil("missed", "no full round after the last fault".to_owned());
                return Ok(());
            }
            let round = unseen.map(|last| last + ROUND_PATIENCE);
            let open = due.into_iter().chain(self.next_deadline()).chain(round).min();
            if open.is_none() && now >= watch_until && looking == 0 {
                return Ok(());
            }
            // While only a look at the world is missing, it is what ends the waiting.
            let wake = open.unwrap_or(if now < watch_until { watch_until } else { now + ROUND_PATIENCE });
            tokio::select! {
                biased;
                event = events.recv() => {
                    let arrived = event.context("the laptop's node went away")??;
                    self.see(&arrived);
                }
                Some(seen) = controlled.recv() => {
                    looking -= 1;
                    self.controlled(seen);
                }
                () = sleep_until(wake.into()) => {
                    self.decide(Instant::now());
                    if let Some(step) = steps.next_if(|step| start + step.at <= Instant::now()) {
                        looking += self.happen(step, &mut inject, &controls).await?;
                        last_fault = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Injects one fault and sends somebody to look for it; so many have been sent.
    async fn happen(
        &mut self,
        step: Step<'_>,
        inject: &mut impl AsyncFnMut(&Fault) -> Result<(Instant, Control)>,
        controls: &mpsc::Sender<Controlled>,
    ) -> Result<u32> {
        let (id, fault) = (step.id, format!("{:?}", step.fault));
        self.say("fault", json!({ "id": id, "do": fault }));
        let met_before = self.met_already();
        let (at, control) = inject(step.fault).await?;
        let seen = matches!(control, Control::Needless(_));
        self.injected.extend(id.clone().map(|id| (id, Injected { at, seen, met_before })));
        let watch = match control {
            Control::Needless(why) => {
                self.say("control", json!({ "do": fault, "needless": why }));
                return Ok(0);
            }
            Control::Watch(watch) => watch,
        };
        let controls = controls.clone();
        tokio::spawn(async move {
            let outcome = watch.observe().await;
            // Nobody waits for it once the story has ended in an error.
            let _ = controls.send(Controlled { id, fault, promise: watch.promise, outcome }).await;
        });
        Ok(1)
    }

    fn controlled(&mut self, seen: Controlled) {
        match seen.outcome {
            Ok(took) => {
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.say("control", json!({ "do": seen.fault, "seen": seen.promise, "after_ms": ms }));
                if let Some(injected) = seen.id.and_then(|id| self.injected.get_mut(&id)) {
                    injected.seen = true;
                }
            }
            Err(error) => self.spoil("uncontrolled", format!("uncontrolled: {}: {error:#}", seen.fault)),
        }
    }

    /// The expectations that are met as things are.
    fn met_already(&self) -> BTreeSet<usize> {
        let Some(snapshot) = &self.last else { return BTreeSet::new() };
        let all = self.scenario.expect.iter().enumerate();
        all.filter(|(_, expect)| self.matches(expect, snapshot)).map(|(index, _)| index).collect()
    }

    fn see(&mut self, arrived: &Arrived) {
        self.rounds.see(arrived);
        self.show(arrived);
        self.check_never(&arrived.snapshot);
        let scenario = self.scenario;
        for (index, expect) in scenario.expect.iter().enumerate() {
            let (Some(injected), State::Open { since }) =
                (self.injected.get(&expect.after), self.states[index])
            else {
                continue;
            };
            let news = !injected.met_before.contains(&index)
                || (injected.seen && self.rounds.began_after(injected.at));
            let met = news && arrived.at > injected.at && self.matches(expect, &arrived.snapshot);
            self.states[index] = State::Open { since: met.then(|| since.unwrap_or(arrived.at)) };
        }
        self.decide(arrived.at);
        self.last = Some(arrived.snapshot.clone());
    }

    /// The earliest moment at which an expectation is met or missed by the mere passing of time.
    fn next_deadline(&self) -> Option<Instant> {
        let decided = |(index, injected): (usize, Instant)| {
            let expect = &self.scenario.expect[index];
            let since = match self.states[index] {
                State::Open { since } => since,
                State::Met { .. } | State::Missed => return None,
            };
            let by_then = injected + Duration::from_millis(expect.within_ms);
            Some(since.map_or(by_then, |since| since + Duration::from_millis(expect.for_ms)))
        };
        self.begun().filter_map(decided).min()
    }

    /// The expectations whose fault has happened, and when.
    fn begun(&self) -> impl Iterator<Item = (usize, Instant)> {
        let all = self.scenario.expect.iter().enumerate();
        all.filter_map(|(index, expect)| Some((index, self.injected.get(&expect.after)?.at)))
    }

    fn decide(&mut self, now: Instant) {
        let scenario = self.scenario;
        for (index, injected) in self.begun().collect::<Vec<_>>() {
            let (State::Open { since }, expect) = (self.states[index], &scenario.expect[index]) else {
                continue;
            };
            let by_then = injected + Duration::from_millis(expect.within_ms);
            match since {
                Some(since) if since <= by_then => {
                    if now < since + Duration::from_millis(expect.for_ms) {
                        continue;
                    }
                    let took = since - injected;
                    self.states[index] = State::Met { took };
                    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    let what = json!({ "after": expect.after, "what": describe(expect), "took_ms": ms });
                    self.say_at(since, "met", what);
                }
                _ if now >= by_then => {
                    self.states[index] = State::Missed;
                    let (after, within, what) = (&expect.after, expect.within_ms, describe(expect));
                    self.fail("missed", format!("after {after}, within {within} ms: {what}"));
                }
                _ => {}
            }
        }
    }

    fn finish(mut self) -> Outcome {
        let failures = std::mem::take(&mut self.failures);
        self.say("result", json!({ "passed": failures.is_empty(), "failures": failures }));
        let took = self.states.iter().map(|state| match state {
            State::Met { took } => Some(*took),
            State::Open { .. } | State::Missed => None,
        });
        Outcome { failures, took: took.collect(), spoiled: self.spoiled, logs: String::new() }
    }
}

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

#[cfg(test)]
mod tests;
