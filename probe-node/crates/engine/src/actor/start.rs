//! Builds the actor from its parts and starts the loop.

use super::{
    announcer::Announcer,
    commands::CommandRequest,
    event_loop::LoopInputs,
    measuring::Measuring,
    publisher::{Publisher, SnapshotContent},
    recorder::Recorder,
    state::{Actor, CurrentNetwork},
};
use crate::{
    cadence::Cadence,
    config::Config,
    error::EngineError,
    home::HomeSources,
    part_settings,
    parts::EngineParts,
    storage::{LedgerWriter, Outbox},
    system_answers::SystemAnswers,
    voice_log::VoiceLog,
};
use sentinel_checks::Checks;
use sentinel_judge::Judge;
use sentinel_model::{NodeId, Schedule, Snapshot, StorageView};
use sentinel_store::Store;
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Observations that may wait for the loop before the checks that make them wait.
const OBSERVATIONS: usize = 256;

/// What a started actor gives to its handle.
pub(crate) struct RunningActor {
    pub(crate) node: NodeId,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) outbox: Outbox,
    pub(crate) store: Store,
    pub(crate) task: JoinHandle<()>,
}

/// Builds the actor, restores what the store remembers, and starts the loop.
pub(crate) async fn start(
    config: Config,
    parts: EngineParts,
    requests: mpsc::Receiver<CommandRequest>,
    cancel: CancellationToken,
) -> Result<RunningActor, EngineError> {
    let EngineParts { clock, platform, store, resolver, swarm, swarm_events, store_notes: _ } = parts;
    let now = clock();
    let ownership = part_settings::ownership(&config)?;
    let changes = platform.watch_changes()?;
    let settings = part_settings::check_settings(&config);
    let checks = Checks::new(settings, platform, ownership.clone(), resolver.clone(), clock.clone())?;
    let home = HomeSources {
        configured: config.home.clone(),
        learned: store.home().await?.unwrap_or_default(),
        announced: store.home_announced().await?,
    };
    ownership.keep_secret(home.merged());
    let tunnel_recorded = store.tunnel_known().await?;
    let mut judge =
        Judge::new(part_settings::judge_policy(&config, home.merged(), tunnel_recorded, now.wall), now);
    judge.restore_incidents(store.open_incidents().await?);

    let network = CurrentNetwork::new(now);
    let content = SnapshotContent {
        at: now,
        offset: judge.policy().offset,
        epoch: network.epoch,
        shown: judge.assess(now).shown,
        swarm: swarm.view().borrow().clone(),
        schedule: Schedule::default(),
        storage: StorageView::default(),
    };
    let publisher = Publisher::new(swarm.id(), config.name.clone(), content);
    let snapshots = publisher.watch_snapshots();
    let (ledger, outbox) = LedgerWriter::start(store.clone(), clock.clone());
    let (sender, observations) = mpsc::channel(OBSERVATIONS);
    let node = swarm.id();
    let actor = Actor {
        cadence: Cadence::new(config.cadence.beacon.0, config.cadence.round.0, now.boot),
        clock,
        config,
        store: store.clone(),
        ledger,
        resolver,
        swarm,
        judge,
        network,
        measuring: Measuring::new(checks, ownership, sender),
        voices: VoiceLog::default(),
        system_answers: SystemAnswers::default(),
        home,
        tunnel_recorded,
        recorder: Recorder::new(store.clone(), now.boot),
        publisher,
        announcer: Announcer::default(),
    };
    let inputs = LoopInputs { requests, changes, swarm: swarm_events, observations, cancel };
    let task = tokio::spawn(actor.run(inputs));
    Ok(RunningActor { node, snapshots, outbox, store, task })
}
