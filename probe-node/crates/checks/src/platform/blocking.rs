//! Runs system calls that block for milliseconds outside the async runtime's worker threads.

use crate::reason;
use sentinel_model::{Outcome, Reason};
use std::time::Duration;
use tokio::{task::spawn_blocking, time::timeout};

/// The longest wait for a system call.
///
/// Calls normally take milliseconds. It must exceed the longest probe, which also runs here.
const BUDGET: Duration = Duration::from_secs(5);

/// Runs `call` on a thread that may block.
pub(super) async fn run_blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Outcome<T> {
    reason::outcome(match timeout(BUDGET, spawn_blocking(call)).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Reason::Failed(error.to_string())),
        Err(_) => Err(Reason::TimedOut),
    })
}
