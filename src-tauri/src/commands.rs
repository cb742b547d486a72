//! What the dashboard may call. The capability file allows these two and nothing else.

use sentinel_engine::Engine;
use sentinel_model::{Command, CommandError, Reply, Snapshot};
use std::sync::Arc;
use tauri::State;

/// The whole current state. Later ones arrive as `snapshot` events.
#[tauri::command]
#[allow(clippy::needless_pass_by_value)] // the macro hands it over by value
pub fn snapshot(engine: State<'_, Engine>) -> Arc<Snapshot> {
    engine.snapshot().borrow().clone()
}

/// Carries out a command of the person.
#[tauri::command]
pub async fn command(engine: State<'_, Engine>, command: Command) -> Result<Reply, CommandError> {
    engine.command(command).await
}
