//! Waiting for programs and for states of the world, always with a deadline.

use crate::process::Process;
use anyhow::{Result, anyhow};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until a program has logged something; gives up at once when it ends.
///
/// # Errors
/// Fails if it does not in time; the error contains the end of its log.
pub(super) async fn wait_for_log(process: &mut Process, text: &str, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    while !process.log_tail(100).contains(text) {
        let waiting = Instant::now() < deadline && process.is_running();
        process.add_log(if waiting { Ok(()) } else { Err(anyhow!("no {text:?} in the log")) })?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Repeats an observation until it succeeds.
///
/// # Errors
/// Fails with the last error if it does not succeed in time.
pub(super) async fn retry<T>(within: Duration, mut observe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match observe().await {
            Ok(seen) => return Ok(seen),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("not observed within {within:?}")));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
