//! The task that writes the ledger.

use super::shared::{close_file, send_reply};
use crate::{
    error::StoreError,
    ledger::{self, LedgerChange},
    maintenance::{self, Cutoffs},
};
use sqlx::{SqliteConnection, SqlitePool};
use std::{fs::File, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// A request concerning the ledger, with the sender of the reply.
pub(crate) enum LedgerRequest {
    Write(LedgerChange, oneshot::Sender<Result<(), StoreError>>),
    /// Run one step of maintenance. The reply is true if there is more to do.
    Maintain(Cutoffs, oneshot::Sender<Result<bool, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// The state of the task.
pub(crate) struct LedgerWriter {
    connection: SqliteConnection,
    /// The handles' connections for reading. They have to be closed before the file.
    readers: SqlitePool,
    lock: Arc<File>,
}

impl LedgerWriter {
    /// Takes over the file, which must be locked by `lock`.
    pub(crate) fn new(connection: SqliteConnection, readers: SqlitePool, lock: Arc<File>) -> Self {
        Self { connection, readers, lock }
    }

    /// Serves requests until one asks to close, or until the last handle is dropped.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<LedgerRequest>) {
        let mut closing = None;
        while let Some(request) = requests.recv().await {
            match request {
                LedgerRequest::Write(change, reply) => {
                    send_reply(reply, ledger::write_change(&mut self.connection, change).await);
                }
                LedgerRequest::Maintain(cutoffs, reply) => {
                    let result = maintenance::maintain_ledger(&mut self.connection, cutoffs).await;
                    send_reply(reply, result.map_err(StoreError::query("tidy up the ledger")));
                }
                LedgerRequest::Close(reply) => {
                    closing = Some(reply);
                    break;
                }
            }
        }
        close_file(self.connection, self.readers, self.lock).await;
        if let Some(reply) = closing {
            send_reply(reply, ());
        }
    }
}
