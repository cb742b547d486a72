//! Plays one world: it settles, stays calm, and every leak that applies is injected and undone.

use super::{
    inject::InjectedLeak,
    leak::{Applicability, LeakKind, is_alarm},
    report::{LeakResult, WorldReport},
    setup::Setup,
    world::SetupWorld,
};
use crate::node_api::ReceivedSnapshot;
use anyhow::{Context, Result};
use sentinel_model::{Command, Snapshot, Verdict};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::timeout_at};

/// Longest time until a world settles: longer than the 30 s between two rounds.
const SETTLE: Duration = Duration::from_secs(45);
/// Time for which a settled world must stay so.
const STEADY: Duration = Duration::from_millis(1500);
/// Time without a leak in which nothing may be reported, besides a full round.
const CALM: Duration = Duration::from_secs(4);
/// Longest time until nothing is reported any more after a leak has been undone.
const RECOVERY: Duration = Duration::from_secs(40);
/// Time in which a leak that is held back may cause no alarm.
const HELD: Duration = Duration::from_secs(6);

/// Plays a world. `print` gets a line of JSON for every event.
pub async fn play_setup(setup: Setup, print: &mut dyn FnMut(&Value)) -> WorldReport {
    let mut report = WorldReport { world: setup.to_string(), ..WorldReport::default() };
    if let Err(error) = Box::pin(play(setup, &mut report, print)).await {
        report.error = Some(format!("{error:#}"));
    }
    report
}

async fn play(setup: Setup, report: &mut WorldReport, print: &mut dyn FnMut(&Value)) -> Result<()> {
    let mut world = Box::pin(SetupWorld::start(setup)).await?;
    let api = world.world.node_api("laptop")?;
    let mut player =
        Player { snapshots: api.subscribe(), last: None, told: None, began: Instant::now(), report, print };
    player.log("up", &json!({}));
    let settled = player.settle(SETTLE).await?;
    player.log("settled", &json!({ "took": settled }));
    player.report.settled = Some(settled.map(whole_millis));
    if player.report.settled.as_ref().is_some_and(Result::is_ok) {
        api.send_command(Command::CheckNow).await?;
        player.stay_calm(CALM).await?;
    }
    for &leak in LeakKind::ALL {
        let result = match setup.applicability(leak) {
            Applicability::Not(reason) => LeakResult::Not(reason.to_owned()),
            Applicability::Leaks => player.play_leak(&mut world, leak).await.context(leak.name())?,
            Applicability::Held => player.play_held(&mut world, leak).await.context(leak.name())?,
        };
        player.log("leak", &json!({ "leak": leak.name(), "result": result }));
        player.report.leaks.insert(leak.name().to_owned(), result);
    }
    Ok(())
}

/// What has been seen of a world.
struct Player<'a> {
    snapshots: mpsc::Receiver<Result<ReceivedSnapshot>>,
    last: Option<Snapshot>,
    /// The last state that was logged.
    told: Option<String>,
    began: Instant,
    report: &'a mut WorldReport,
    print: &'a mut dyn FnMut(&Value),
}

impl Player<'_> {
    fn log(&mut self, event: &str, detail: &Value) {
        let world = &self.report.world;
        (self.print)(
            &json!({ "world": world, "ms": whole_millis(self.began.elapsed()), "event": event, "detail": detail }),
        );
    }

    /// Returns the next snapshot until a deadline, or `None` after it.
    async fn next(&mut self, deadline: Instant) -> Result<Option<ReceivedSnapshot>> {
        let Ok(received) = timeout_at(deadline.into(), self.snapshots.recv()).await else { return Ok(None) };
        let received = received.context("the laptop's node has ended")??;
        let state = describe(&received.snapshot);
        if self.told.as_ref() != Some(&state) {
            self.log("state", &json!(state));
            self.told = Some(state);
        }
        self.last = Some(received.snapshot.clone());
        Ok(Some(received))
    }

    /// Waits until the world is protected without an alarm for a while.
    ///
    /// Returns how long it took, or what was missing.
    async fn settle(&mut self, within: Duration) -> Result<Result<Duration, String>> {
        let (began, mut since) = (Instant::now(), None);
        let mut lacks = self.last.as_ref().map_or(Err("no snapshot".to_owned()), check_settled);
        loop {
            since = match &lacks {
                Ok(()) => Some(since.unwrap_or_else(Instant::now)),
                Err(_) => None,
            };
            let until = since.map_or(began + within, |since| since + STEADY);
            match self.next(until).await? {
                Some(received) => lacks = check_settled(&received.snapshot),
                None => return Ok(lacks.map(|()| since.unwrap_or(began).duration_since(began))),
            }
        }
    }

    /// Watches for a while in which every alarm is false.
    async fn stay_calm(&mut self, lasting: Duration) -> Result<()> {
        let deadline = Instant::now() + lasting;
        while let Some(received) = self.next(deadline).await? {
            self.note_alarms("", &received.snapshot, true);
        }
        Ok(())
    }

    /// Records what a snapshot reports although nothing leaks.
    fn note_alarms(&mut self, during: &str, snapshot: &Snapshot, warnings: bool) {
        let shown = &snapshot.shown;
        let verdict = shown.verdict.verdict;
        let mut alarms = Vec::new();
        if matches!(verdict, Verdict::Exposed | Verdict::Suspect) {
            alarms.push(format!("{during}{verdict}: {}", shown.verdict.sentence));
        }
        for finding in shown.findings.iter().filter(|finding| warnings && is_alarm(finding)) {
            alarms.push(format!("{during}{}: {}", finding.kind, finding.sentence));
        }
        for alarm in alarms {
            if !self.report.false_alarms.contains(&alarm) {
                self.report.false_alarms.push(alarm);
            }
        }
    }

    /// Injects a leak, waits until it is reported, and undoes it.
    async fn play_leak(&mut self, world: &mut SetupWorld, leak: LeakKind) -> Result<LeakResult> {
        let at = Instant::now();
        self.log("inject", &json!(leak.name()));
        let injected = world.inject(leak).await?;
        // A DHCP client or a crashed daemon takes a moment of its own.
        let done = Instant::now();
        let mut found = None;
        while found.is_none() {
            let Some(received) = self.next(done + world.setup.deadline(leak)).await? else { break };
            found = (received.at > at && leak.is_reported(&received.snapshot)).then_some(received.at);
        }
        let proof = world.prove(leak, &injected).await;
        let routes = world.list_routes().await;
        self.undo(world, leak, injected).await?;
        Ok(match (proof, found) {
            (Err(error), _) => LeakResult::Uncontrolled(format!("{error:#}; the routes: {routes}")),
            (Ok(()), Some(found)) => LeakResult::Found(whole_millis(found.saturating_duration_since(done))),
            (Ok(()), None) => LeakResult::Missed(self.told.clone().unwrap_or_default()),
        })
    }

    /// Injects a leak that the setup holds back, and expects no alarm.
    async fn play_held(&mut self, world: &mut SetupWorld, leak: LeakKind) -> Result<LeakResult> {
        self.log("inject", &json!({ "held": leak.name() }));
        let injected = world.inject(leak).await?;
        let deadline = Instant::now() + HELD;
        let during = format!("while {} is held back, ", leak.name());
        while let Some(received) = self.next(deadline).await? {
            // A tunnel that has gone is suspicious, even where nothing gets out.
            let suspicious =
                leak == LeakKind::TunnelGone && received.snapshot.shown.verdict.verdict == Verdict::Suspect;
            if !suspicious {
                self.note_alarms(&during, &received.snapshot, false);
            }
        }
        let held = world.require_held(leak, &injected).await;
        let blind = leak == LeakKind::TunnelGone && self.last.as_ref().is_some_and(is_protected);
        self.undo(world, leak, injected).await?;
        Ok(match held {
            Err(error) => LeakResult::Uncontrolled(format!("{error:#}")),
            Ok(()) if blind => LeakResult::Missed("Protected, although nothing gets out".to_owned()),
            Ok(()) => LeakResult::Held,
        })
    }

    /// Undoes a leak, and waits until nothing is reported any more.
    async fn undo(&mut self, world: &mut SetupWorld, leak: LeakKind, injected: InjectedLeak) -> Result<()> {
        drop(injected);
        let told = self.told.clone();
        world.undo(leak).await.context("cannot undo it")?;
        self.log("undone", &json!(leak.name()));
        let settled_before = self.report.settled.as_ref().is_some_and(Result::is_ok);
        if !settled_before {
            return self.next(Instant::now() + Duration::from_secs(5)).await.map(drop);
        }
        if let Err(lacks) = self.settle(RECOVERY).await? {
            let alarm = format!(
                "{} s after {} was undone ({}): {lacks}",
                RECOVERY.as_secs(),
                leak.name(),
                told.unwrap_or_default()
            );
            self.report.false_alarms.push(alarm);
        }
        Ok(())
    }
}

fn is_protected(snapshot: &Snapshot) -> bool {
    snapshot.shown.verdict.verdict == Verdict::Protected
}

/// Checks that a snapshot is what a calm world must show, and returns what is missing.
fn check_settled(snapshot: &Snapshot) -> Result<(), String> {
    let shown = &snapshot.shown;
    if !is_protected(snapshot) {
        return Err(describe(snapshot));
    }
    if let Some(finding) = shown.findings.iter().find(|finding| is_alarm(finding)) {
        return Err(format!("{}: {}", finding.kind, finding.sentence));
    }
    if shown.dns.resolvers.measured().is_none_or(Vec::is_empty) {
        return Err("the resolvers are unknown".to_owned());
    }
    Ok(())
}

/// Describes a snapshot in a line.
fn describe(snapshot: &Snapshot) -> String {
    let shown = &snapshot.shown;
    let findings: Vec<_> =
        shown.findings.iter().map(|finding| format!("{}: {}", finding.kind, finding.sentence)).collect();
    format!("{}: {} [{}]", shown.verdict.verdict, shown.verdict.sentence, findings.join(" | "))
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
