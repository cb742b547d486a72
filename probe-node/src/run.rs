//! `run`: the node itself.

use crate::{api, client, print};
use anyhow::Result;
use sentinel_engine::{Config, Engine};
use sentinel_model::Severity;
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long everything may take to stop.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long open requests get to finish. Streams of events are told at once.
const REQUESTS: Duration = Duration::from_secs(1);

/// The log is a channel of its own in the outbox.
const LOG_CHANNEL: &str = "log";

/// Runs until told to stop.
pub(crate) async fn run(config: Config) -> Result<()> {
    let access = api::Access::of(&config.api)?;
    let listener = api::listen(&config.api).await?;
    let url = client::url(listener.local_addr()?);
    let name = config.name.clone();
    let stop = CancellationToken::new();
    let signal = stop_signal()?;

    let engine = Engine::start(config).await?;
    for note in engine.notes() {
        tracing::warn!("{note}");
    }
    let telling = [tokio::spawn(log_verdicts(engine.clone())), tokio::spawn(log_notices(engine.clone()))];
    let server = tokio::spawn(api::serve(listener, engine.clone(), access, stop.clone()));
    print::text(&format!(
        "{name} is watching. Dashboard: {url}/\nIn another terminal: `vpnsentinel-node status`. Stop with Ctrl+C."
    ))?;

    signal.await;
    tracing::info!("stopping");
    stop.cancel();
    let tidy = async {
        finish(server).await;
        for task in telling {
            task.abort();
        }
        engine.shutdown().await;
    };
    if timeout(SHUTDOWN, tidy).await.is_err() {
        tracing::warn!("not everything stopped within {} s; leaving anyway", SHUTDOWN.as_secs());
    }
    Ok(())
}

async fn finish(server: JoinHandle<()>) {
    let handle = server.abort_handle();
    if timeout(REQUESTS, server).await.is_err() {
        handle.abort();
    }
}

/// Completes when the person or the system asks the program to stop.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Completes when the person or the system asks the program to stop: Ctrl+C, Ctrl+Break, the console's window closed,
/// the system shutting down.
#[cfg(windows)]
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
    let (mut interrupt, mut stop) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut shutdown) = (ctrl_close()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = stop.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}

/// Each new verdict as a line in the log.
async fn log_verdicts(engine: Engine) {
    let mut snapshots = engine.snapshot();
    drop(engine);
    let mut last = None;
    loop {
        let verdict = snapshots.borrow_and_update().shown.verdict.clone();
        if last != Some(verdict.verdict) {
            tracing::info!("{}. {}", verdict.verdict, verdict.sentence);
            last = Some(verdict.verdict);
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// Each notice as a line in the log, marked as delivered only after it was written.
async fn log_notices(engine: Engine) {
    loop {
        let (id, notice) = match engine.next_notice(LOG_CHANNEL).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(%error, "no more notices");
                return;
            }
        };
        match notice.severity {
            Severity::Critical => tracing::error!("{}: {}", notice.title, notice.body),
            Severity::Warning => tracing::warn!("{}: {}", notice.title, notice.body),
            Severity::Information => tracing::info!("{}: {}", notice.title, notice.body),
        }
        if let Err(error) = engine.delivered(LOG_CHANNEL, id).await {
            tracing::warn!(%error, "a notice will be logged again");
            return;
        }
    }
}
