//! Carries snapshots from the engine to the window, while there is one.

use crate::window;
use sentinel_model::Snapshot;
use std::{sync::Arc, time::Duration};
use tauri::{AppHandle, Emitter, Manager};
use tokio::{sync::watch, time::sleep};

/// Faster than the eye follows numbers, slow enough to cost nothing. The first change after a pause is not delayed.
const AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// The event's name.
const SNAPSHOT: &str = "snapshot";

/// Runs until the engine stops.
pub async fn follow(app: AppHandle, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        if app.get_webview_window(window::MAIN).is_none() {
            continue;
        }
        if let Err(cause) = app.emit_to(window::MAIN, SNAPSHOT, &*snapshot) {
            tracing::warn!(%cause, "cannot send the state to the window");
        }
        sleep(AT_MOST_EVERY).await;
    }
}
