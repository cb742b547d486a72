//! What both writers need.

use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::{fs::File, sync::Arc};
use tokio::sync::oneshot;

/// Sends a reply. A caller that no longer waits for it is not an error.
pub(super) fn send_reply<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("the caller no longer waits for the reply");
    }
}

/// Closes a file, and unlocks the state directory if this is the last one.
pub(super) async fn close_file(connection: SqliteConnection, readers: SqlitePool, lock: Arc<File>) {
    // SQLite merges its write-ahead log when the last connection closes, which has to be the
    // writer's.
    readers.close().await;
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a database was not closed cleanly; it will be checked at the next start");
    }
    if let Some(lock) = Arc::into_inner(lock)
        && let Err(error) = lock.unlock()
    {
        tracing::debug!(%error, "unlocking the state directory failed; the system does it when the node ends");
    }
}
