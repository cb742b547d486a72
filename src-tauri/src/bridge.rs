//! Forwards snapshots from the engine to the window while one is open.

use crate::ids;
use sentinel_model::Snapshot;
use std::{sync::Arc, time::Duration};
use tauri::{AppHandle, Emitter, Manager};
use tokio::{sync::watch, time::sleep};

/// The shortest interval between two snapshots; the first after a longer pause is sent at once.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// The name of the event.
const SNAPSHOT_EVENT: &str = "snapshot";

/// Forwards snapshots until the engine stops.
pub async fn forward_snapshots(app: AppHandle, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        if app.get_webview_window(ids::WINDOW).is_none() {
            continue;
        }
        if let Err(cause) = app.emit_to(ids::WINDOW, SNAPSHOT_EVENT, &*snapshot) {
            tracing::warn!(%cause, "Cannot send a snapshot to the window");
        }
        sleep(MIN_INTERVAL).await;
    }
}
