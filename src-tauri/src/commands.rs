//! The commands of the dashboard. The capability file allows these two and nothing else.

use sentinel_engine::Engine;
use sentinel_model::{Command, CommandError, Reply, Snapshot};
use std::sync::Arc;
use tauri::State;

/// Returns the current state. Later states arrive as `snapshot` events.
#[tauri::command]
#[allow(clippy::needless_pass_by_value, reason = "the macro passes the state by value")]
pub fn snapshot(engine: State<'_, Engine>) -> Arc<Snapshot> {
    engine.snapshot().borrow().clone()
}

/// Carries out a command.
#[tauri::command]
pub async fn command(engine: State<'_, Engine>, command: Command) -> Result<Reply, CommandError> {
    engine.command(command).await
}
