//! `run`: the node itself.

use crate::{api, client, terminal};
use anyhow::Result;
use sentinel_engine::{Config, Engine};
use sentinel_model::Severity;
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// The time limit for stopping everything.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long open requests get to finish. Event streams end at once.
const OPEN_REQUESTS: Duration = Duration::from_secs(1);

/// The name of the log as a channel of the outbox.
const LOG_CHANNEL: &str = "log";

/// Runs the node and its API until a signal stops it.
pub(super) async fn run_node(config: Config) -> Result<()> {
    let access = api::Access::from_config(&config.api)?;
    let listener = api::listen(&config.api).await?;
    let url = client::base_url(listener.local_addr()?);
    let name = config.name.clone();
    let stop = CancellationToken::new();
    let signal = stop_signal()?;

    let engine = Engine::start(config).await?;
    for note in engine.notes() {
        tracing::warn!("{note}");
    }
    let log_tasks = [tokio::spawn(log_verdicts(engine.clone())), tokio::spawn(log_notices(engine.clone()))];
    let server = tokio::spawn(api::serve(listener, engine.clone(), access, stop.clone()));
    terminal::print(&format!(
        "{name} is running. Dashboard: {url}/\nIn another terminal: `vpnsentinel-node status`. Stop with Ctrl+C."
    ))?;

    signal.await;
    tracing::info!("Stopping");
    stop.cancel();
    let shutdown = async {
        finish_requests(server).await;
        for task in log_tasks {
            task.abort();
        }
        engine.shutdown().await;
    };
    if timeout(SHUTDOWN, shutdown).await.is_err() {
        tracing::warn!("Not everything stopped within {} s; exiting anyway", SHUTDOWN.as_secs());
    }
    Ok(())
}

/// Waits for open requests, then ends the server.
async fn finish_requests(server: JoinHandle<()>) {
    let handle = server.abort_handle();
    if timeout(OPEN_REQUESTS, server).await.is_err() {
        handle.abort();
    }
}

/// Returns a future that completes on SIGINT or SIGTERM.
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

/// Returns a future that completes on Ctrl+C, on Ctrl+Break, when the console window is closed, or
/// when the system shuts down.
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

/// Writes each new verdict to the log.
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

/// Writes each notice to the log, and marks it as delivered only after that.
async fn log_notices(engine: Engine) {
    loop {
        let (id, notice) = match engine.next_notice(LOG_CHANNEL).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(%error, "the outbox has ended");
                return;
            }
        };
        match notice.severity {
            Severity::Critical => tracing::error!("{}: {}", notice.title, notice.body),
            Severity::Warning => tracing::warn!("{}: {}", notice.title, notice.body),
            Severity::Information => tracing::info!("{}: {}", notice.title, notice.body),
        }
        if let Err(error) = engine.delivered(LOG_CHANNEL, id) {
            tracing::debug!(%error, "no more notices");
            return;
        }
    }
}
