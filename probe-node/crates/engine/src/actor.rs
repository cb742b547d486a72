//! The loop that owns the state.
//!
//! ```text
//! netlink, resolv.conf, wake ─┐                       ┌─> judge ─> store ─> snapshot
//! timers ─────────────────────┼─> checks (own tasks) ─┘               └──> outbox
//! commands ───────────────────┤        observations
//! swarm events ───────────────┘
//! ```
//! Nothing here waits for the network: measuring runs in tasks of their own, and their observations come back through a
//! bounded channel. Only a ledger transaction is awaited, because what is shown must be stored first.

use crate::{
    answers::OwnAnswers,
    cadence::Timer,
    config::Config,
    error::EngineError,
    home::{self, Known},
    publish::{self, Surroundings},
    settings,
    sightings::Sightings,
};
use sentinel_checks::{Change, Checks, Ownership};
use sentinel_judge::{Assessment, Judge};
use sentinel_model::{
    Announcement, Clock, Command, CommandError, Epoch, Millis, Moment, Monotonic, NodeId, Observation, Pause,
    Reply, Schedule, Snapshot, Timestamp,
};
use sentinel_store::Store;
use sentinel_swarm::{Event, Swarm};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{Instant, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

mod commands;
mod measure;
mod record;
mod rounds;

use rounds::Rounds;

/// How often the other nodes hear from this one when nothing changes.
const HEARTBEAT: Millis = Millis::secs(10);

/// How often old samples are rolled up and pruned.
const MAINTENANCE: Millis = Millis::secs(3600);

/// A command and where its answer goes.
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<Reply, CommandError>>,
}

/// What a started actor hands to its handle.
pub(crate) struct Started {
    pub(crate) node: NodeId,
    pub(crate) notes: Vec<String>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) notices: watch::Receiver<u64>,
    pub(crate) store: Store,
    pub(crate) task: JoinHandle<()>,
}

/// What a task was.
enum Finished {
    Beacon,
    Local,
    Maintenance,
    Round(Round),
    Attested(Vec<Observation>),
}

/// A full round that has ended.
struct Round {
    number: u64,
    epoch: Epoch,
    took: Millis,
}

pub(crate) struct Actor {
    clock: Clock,
    config: Config,
    home: Known,
    ownership: Ownership,
    checks: Checks,
    judge: Judge,
    store: Store,
    swarm: Swarm,
    epoch: Epoch,
    epoch_began: Moment,
    beacon: Timer,
    round: Timer,
    beacons_in_flight: Vec<AbortHandle>,
    local_in_flight: Option<AbortHandle>,
    ways_out_tried: Option<Monotonic>,
    rounds: Rounds,
    sightings: Sightings,
    own_answers: OwnAnswers,
    /// The epoch in which a round looked for a captive portal, for as long as nobody answers.
    portal_sought: Option<Epoch>,
    /// It is on record that a tunnel has been in use.
    tunnel_recorded: bool,
    last_round: Option<(Timestamp, Millis)>,
    pause: Option<Pause>,
    round_just_ended: Option<u64>,
    observations: mpsc::Sender<Observation>,
    tasks: JoinSet<Finished>,
    announced: Option<(Announcement, Moment)>,
    recorder: record::Recorder,
    maintained: Moment,
    last: Assessment,
    sequence: u64,
    published: watch::Sender<Arc<Snapshot>>,
    notices: watch::Sender<u64>,
}

/// What arrives from outside the loop.
struct Inputs {
    requests: mpsc::Receiver<Request>,
    changes: mpsc::Receiver<Change>,
    swarm: mpsc::Receiver<Event>,
    observations: mpsc::Receiver<Observation>,
    cancel: CancellationToken,
}

impl Actor {
    /// Opens everything and spawns the loop.
    pub(crate) async fn start(
        config: Config,
        requests: mpsc::Receiver<Request>,
        cancel: CancellationToken,
    ) -> Result<Started, EngineError> {
        let clock = sentinel_checks::clock();
        let now = clock();
        let opened = Store::open(&config.state_dir).await?;
        let store = opened.store;
        let notes = opened.notes.into_iter().chain(settings::remarks(&config)).collect();
        let (membership, invitation) = (store.membership().await?, settings::invitation(&config)?);
        let (swarm, swarm_events) =
            Swarm::start(settings::swarm(&config, membership, invitation, clock.clone())).await?;
        let ownership = settings::ownership(&config)?;
        let platform = sentinel_checks::platform()?;
        let changes = platform.changes()?;
        let checks = Checks::new(settings::checks(&config), platform, ownership.clone(), clock.clone())?;

        let home = Known {
            configured: config.home.clone(),
            learned: store.home().await?.unwrap_or_default(),
            announced: store.home_announced().await?,
        };
        ownership.keep_secret(home.merged());
        let tunnel_recorded = store.tunnel_known().await?;
        let policy = settings::policy(&config, home.merged(), tunnel_recorded, settings::offset(now.wall));
        let mut judge = Judge::new(policy, now);
        judge.restore_incidents(store.open_incidents().await?);
        let last = judge.assess(now);

        let (observations, observed) = mpsc::channel(256);
        let node = swarm.id();
        let schedule = Schedule::default();
        let offset = judge.policy().offset;
        let around = Surroundings {
            sequence: 0,
            at: now.wall,
            offset,
            epoch: Epoch::default(),
            node: &node,
            name: &config.name,
            swarm: swarm.view().borrow().clone(),
            schedule,
        };
        let (published, snapshots) = watch::channel(Arc::new(publish::snapshot(&last, around)));
        let (notices, notice_signal) = watch::channel(0);
        let actor = Self {
            beacon: Timer::beacon(config.cadence.beacon.0, now.boot),
            round: Timer::round(config.cadence.round.0, now.boot),
            clock,
            home,
            ownership,
            checks,
            judge,
            store: store.clone(),
            swarm,
            epoch: Epoch::default(),
            epoch_began: now,
            beacons_in_flight: Vec::new(),
            local_in_flight: None,
            ways_out_tried: None,
            rounds: Rounds::default(),
            sightings: Sightings::default(),
            own_answers: OwnAnswers::default(),
            portal_sought: None,
            tunnel_recorded,
            last_round: None,
            pause: None,
            round_just_ended: None,
            observations,
            tasks: JoinSet::new(),
            announced: None,
            recorder: record::Recorder::default(),
            maintained: now,
            last,
            sequence: 0,
            published,
            notices,
            config,
        };
        let inputs = Inputs { requests, changes, swarm: swarm_events, observations: observed, cancel };
        let task = tokio::spawn(actor.run(inputs));
        Ok(Started { node, notes, snapshots, notices: notice_signal, store, task })
    }

    async fn run(mut self, mut inputs: Inputs) {
        let mut second = interval(Duration::from_secs(1));
        let mut members = self.swarm.witnesses();
        let mut watching = true;
        loop {
            let due = self.until(self.beacon.due().min(self.round.due()));
            tokio::select! {
                biased;
                () = inputs.cancel.cancelled() => break,
                change = inputs.changes.recv(), if watching => {
                    let mut all = Vec::from_iter(change);
                    while let Ok(more) = inputs.changes.try_recv() {
                        all.push(more);
                    }
                    if all.is_empty() {
                        watching = false;
                        tracing::error!("the system tells of no more network changes; rounds and beacons go on");
                    } else {
                        self.network_changed(&all).await;
                    }
                }
                Some(observation) = inputs.observations.recv() => {
                    self.observed(observation).await;
                    while let Ok(more) = inputs.observations.try_recv() {
                        self.observed(more).await;
                    }
                }
                Some(finished) = self.tasks.join_next() => self.finished(finished).await,
                Some(request) = inputs.requests.recv() => self.carry_out(request).await,
                Some(event) = inputs.swarm.recv() => self.swarm_event(event).await,
                Ok(()) = members.changed() => self.witnesses_changed(),
                () = sleep_until(due) => self.measure_what_is_due(),
                _ = second.tick() => {
                    self.end_pause_when_due();
                    self.look_for_a_portal_when_silent();
                    self.maintain_when_due();
                }
            }
            self.assess().await;
            if let Some(ended) = self.round_just_ended.take() {
                self.rounds.answer(ended);
            }
        }
        self.say_goodbye().await;
    }

    /// The instant on tokio's clock that corresponds to one on ours.
    fn until(&self, due: Monotonic) -> Instant {
        // A day at most: far enough to mean "never" to a select that is woken every second anyway.
        let wait = due.since((self.clock)().boot).0.min(86_400_000);
        Instant::now() + Duration::from_millis(wait)
    }

    async fn network_changed(&mut self, changes: &[Change]) {
        let now = (self.clock)();
        self.epoch = self.epoch.next();
        self.epoch_began = now;
        self.judge.begin_epoch(self.epoch, now);
        if changes.iter().any(|change| matches!(change, Change::Woke(_))) {
            self.judge.handle_wake(now);
        }
        tracing::debug!(epoch = self.epoch.0, ?changes, "the network changed");
        // What is still under way belongs to the network before, and its places are needed now.
        self.beacons_in_flight.drain(..).for_each(|beacon| beacon.abort());
        self.own_answers.forget();
        self.look_at_local_facts();
        self.measure_at_once();
        self.swarm.network_changed().await;
    }

    /// As [`Self::measure_soon`], with beacons that are repeated shortly after: a lost packet must not cost a second now.
    fn measure_at_once(&mut self) {
        self.measure_soon();
        if self.pause.is_none() {
            self.beacon.burst((self.clock)().boot);
        }
    }

    /// There are other nodes to ask: a round that has begun without them is begun again.
    fn witnesses_changed(&mut self) {
        self.rounds.abort();
        self.measure_soon();
    }

    /// Everything once more, as soon as the floors allow; nothing while paused.
    fn measure_soon(&mut self) {
        if self.pause.is_none() {
            let now = (self.clock)().boot;
            self.beacon.soon(now);
            self.round.soon(now);
        }
    }

    async fn swarm_event(&mut self, event: Event) {
        match event {
            Event::Membership(entry) => {
                if let Err(error) = self.store.append_membership(entry).await {
                    tracing::error!(%error, "a membership entry could not be stored; it will be fetched again after a restart");
                }
            }
            Event::Pending { name, fingerprint, .. } => {
                tracing::info!(%name, %fingerprint, "a node asks to join; confirm it with `vpnsentinel-node pair confirm`");
            }
            Event::Confirmed { name, .. } => tracing::info!(%name, "admitted to the swarm"),
            Event::Announced { .. } => {}
            Event::Waiting { fingerprint } => {
                tracing::info!(%fingerprint, "waiting for the owner to confirm this fingerprint");
            }
            Event::PairingFailed { reason } => tracing::warn!("{reason}"),
        }
    }

    /// Judges, stores what changed, publishes, announces.
    async fn assess(&mut self) {
        let now = (self.clock)();
        let swarm = self.swarm.view().borrow().clone();
        self.judge.update_nodes(&swarm.nodes);
        self.hear_of_home(&swarm.nodes).await;
        let assessment = self.judge.assess(now);
        if assessment.remeasure {
            self.rounds.suspect();
            self.measure_at_once();
        }
        self.record_tunnel(&assessment).await;
        if !(assessment.changed.is_empty() && assessment.notices.is_empty()) {
            let told = !assessment.notices.is_empty();
            if let Err(error) =
                self.store.commit(assessment.changed.clone(), assessment.notices.clone()).await
            {
                tracing::error!(%error, "incidents could not be stored");
            }
            if told {
                self.notices.send_modify(|count| *count += 1);
            }
        }
        self.recorder.facts(&self.store, &assessment, now.wall).await;
        let heartbeat = self.published.borrow().at.0 + 1000 <= now.wall.0;
        if heartbeat
            || self.round_just_ended.is_some()
            || assessment.shown != self.last.shown
            || self.published.borrow().swarm != swarm
        {
            self.sequence += 1;
            let snapshot = publish::snapshot(
                &assessment,
                Surroundings {
                    sequence: self.sequence,
                    at: now.wall,
                    offset: self.judge.policy().offset,
                    epoch: self.epoch,
                    node: &self.published.borrow().node.clone(),
                    name: &self.config.name,
                    swarm,
                    schedule: self.schedule(now),
                },
            );
            self.published.send_replace(Arc::new(snapshot));
        }
        self.last = assessment;
        self.announce(now, false).await;
    }

    fn schedule(&self, now: Moment) -> Schedule {
        let wait = self.round.due().since(now.boot);
        let next = i64::try_from(wait.0).ok().map(|wait| Timestamp(now.wall.0.saturating_add(wait)));
        Schedule {
            last_round: self.last_round.map(|(at, _)| at),
            last_round_took: self.last_round.map(|(_, took)| took),
            next_round: next.filter(|_| self.pause.is_none()),
            round_every: self.config.cadence.round.0,
            beacon_every: self.config.cadence.beacon.0,
            paused: self.pause,
        }
    }

    /// Tells the other nodes this one's verdict: when it changes, and as a heartbeat.
    async fn announce(&mut self, now: Moment, leaving: bool) {
        let announcement = Announcement {
            verdict: self.last.shown.verdict.verdict,
            since: self.last.shown.verdict.since,
            open_incidents: u32::try_from(self.last.shown.incidents.len()).unwrap_or(u32::MAX),
            leaving,
            home_exit: home::own_exit(self.config.role, &self.last),
            at: now.wall,
        };
        let fresh = self.announced.as_ref().is_some_and(|(last, at)| {
            let unchanged = Announcement { since: last.since, at: last.at, ..announcement.clone() };
            *last == unchanged && now.boot.since(at.boot) < HEARTBEAT
        });
        if !fresh {
            self.swarm.announce(announcement.clone()).await;
            self.announced = Some((announcement, now));
        }
    }

    fn maintain_when_due(&mut self) {
        let now = (self.clock)();
        if now.boot.since(self.maintained.boot) >= MAINTENANCE {
            self.maintained = now;
            let store = self.store.clone();
            self.tasks.spawn(async move {
                if let Err(error) = store.maintain(now.wall).await {
                    tracing::warn!(%error, "old samples could not be pruned; they are tried again in an hour");
                }
                Finished::Maintenance
            });
        }
    }

    async fn say_goodbye(mut self) {
        self.tasks.abort_all();
        let now = (self.clock)();
        self.announce(now, true).await;
        self.swarm.shutdown().await;
        self.store.close().await;
    }
}
