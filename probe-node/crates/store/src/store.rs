//! The handle to the store.

use crate::{
    damaged::mark_if_damaged,
    database::{Database, HISTORY, LEDGER},
    error::StoreError,
    fact::RecordedFact,
    history::{self, History},
    ledger::{self, LedgerChange},
    record::{FactInterval, FactValue, Sample, SeriesKey, SeriesPoint},
    writer::{HistoryRequest, HistoryWriter, LedgerRequest, LedgerWriter},
};
use sentinel_model::{Clock, Home, Incident, NodeId, Notice, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{SqliteConnection, SqlitePool};
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot};

/// Capacity of each writer's inbox.
///
/// Large enough for a burst, small enough that callers notice a disk that does not keep up.
const INBOX_CAPACITY: usize = 64;

/// A handle to the store; cheap to clone.
///
/// When the last handle is dropped, the writers finish what they have accepted and close the files.
#[derive(Clone)]
pub struct Store {
    connections: Arc<Connections>,
}

/// What all handles share: the writers' inboxes and the connections for reading.
struct Connections {
    history_inbox: mpsc::Sender<HistoryRequest>,
    ledger_inbox: mpsc::Sender<LedgerRequest>,
    history_readers: SqlitePool,
    ledger_readers: SqlitePool,
    history_path: PathBuf,
    ledger_path: PathBuf,
}

/// A store that has been opened.
pub struct OpenedStore {
    /// The store.
    pub store: Store,
    /// Sentences for the person about what was found while opening it.
    ///
    /// Damaged files that were set aside, and open incidents that this version cannot read.
    pub notes: Vec<String>,
}

impl Store {
    /// Opens both files in a directory, creating what is missing.
    ///
    /// Only the owner of the files can read them. The clock must be the one whose times are
    /// recorded; it determines how old records are.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be used, if another process uses it, or if a newer version
    /// wrote one of the files. A damaged file is no error: it is set aside, and a note says so.
    pub async fn open(dir: &Path, clock: Clock) -> Result<OpenedStore, StoreError> {
        create_private_dir(dir).map_err(|source| StoreError::Directory { path: dir.to_owned(), source })?;
        let lock = Arc::new(lock_dir(dir)?);
        // Both files are examined before either is changed.
        HISTORY.refuse_newer(dir).await?;
        LEDGER.refuse_newer(dir).await?;
        let now = clock();
        let (history, history_note) =
            open_and_read(HISTORY, dir, async |connection| History::new(connection, now).await).await?;
        let ((ledger_file, unreadable), ledger_note) =
            open_and_read(LEDGER, dir, ledger::read_unreadable_incidents).await?;
        let notes = [history_note, ledger_note].into_iter().flatten().chain(unreadable).collect();
        let (history_inbox, history_requests) = mpsc::channel(INBOX_CAPACITY);
        let (ledger_inbox, ledger_requests) = mpsc::channel(INBOX_CAPACITY);
        let connections = Connections {
            history_inbox,
            ledger_inbox,
            history_readers: HISTORY.reader_pool(dir),
            ledger_readers: LEDGER.reader_pool(dir),
            history_path: HISTORY.path(dir),
            ledger_path: LEDGER.path(dir),
        };
        let history = HistoryWriter::new(history, clock, connections.history_readers.clone(), lock.clone());
        let ledger = LedgerWriter::new(ledger_file, connections.ledger_readers.clone(), lock);
        tokio::spawn(history.run(history_requests));
        tokio::spawn(ledger.run(ledger_requests));
        Ok(OpenedStore { store: Self { connections: Arc::new(connections) }, notes })
    }

    /// Records samples. Waits while the disk does not keep up.
    pub async fn record_samples(&self, samples: Vec<Sample>) {
        self.send_to_history(HistoryRequest::Samples(samples)).await;
    }

    /// Records the current value of a fact.
    ///
    /// If it differs from the recorded one, that interval ends here and a new one starts.
    pub async fn record_fact(&self, value: FactValue) {
        self.send_to_history(HistoryRequest::Fact(value)).await;
    }

    /// Waits until all measurements recorded so far have been written.
    pub async fn flush(&self) {
        // An error means that the store has closed, and it writes everything before it closes.
        if request(&self.connections.history_inbox, HistoryRequest::Flush).await.is_err() {
            tracing::debug!("the store was already closed when it was to be flushed");
        }
    }

    /// Records incidents and the notices about them in one transaction.
    ///
    /// Both are on disk when this returns. A notice whose incident and kind equal an earlier one's
    /// is not recorded again.
    pub async fn commit(&self, incidents: Vec<Incident>, notices: Vec<Notice>) -> Result<(), StoreError> {
        if incidents.is_empty() && notices.is_empty() {
            return Ok(());
        }
        self.write(LedgerChange::Incidents(incidents, notices)).await
    }

    /// Returns up to a hundred notices that a channel has not delivered yet, oldest first.
    ///
    /// A notice is returned again, also after a restart, until [`Store::delivered`] is called for
    /// it.
    pub async fn undelivered(&self, channel: &str) -> Result<Vec<(i64, Notice)>, StoreError> {
        self.check_ledger(ledger::read_undelivered(&self.connections.ledger_readers, channel).await)
    }

    /// Records that a channel has delivered a notice. Repeating the call is harmless.
    pub async fn delivered(&self, channel: &str, id: i64) -> Result<(), StoreError> {
        self.write(LedgerChange::Delivery { channel: channel.to_owned(), notice: id }).await
    }

    /// Returns the open incidents, newest first.
    ///
    /// Those that this version cannot read are left out; they stay in the ledger, and
    /// [`OpenedStore::notes`] describes them.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.check_ledger(ledger::read_open_incidents(&self.connections.ledger_readers).await)
    }

    /// Returns incidents that are open or have changed since then, newest first.
    pub async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, StoreError> {
        self.check_ledger(ledger::read_incidents(&self.connections.ledger_readers, since, limit).await)
    }

    /// Returns the intervals of a fact that overlap the given range, oldest first.
    ///
    /// This reads the file and does not wait for the writer: a value that was recorded just now
    /// may be missing. See [`Store::flush`].
    pub async fn intervals(
        &self,
        fact: RecordedFact,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<FactInterval>, StoreError> {
        let read = history::read_intervals(&self.connections.history_readers, fact, since, until).await;
        self.check_history(read.map_err(StoreError::query("read the history of a fact")))
    }

    /// Returns the points of a series from `since` up to but not including `until`, oldest first.
    ///
    /// Samples are summarised to a number of points that suits a chart. A range of more than two
    /// days has at most one point per hour. Time without samples has no points.
    ///
    /// This reads the file and does not wait for the writer: the samples of the last two seconds
    /// may be missing. See [`Store::flush`].
    pub async fn series(
        &self,
        key: &SeriesKey,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SeriesPoint>, StoreError> {
        let read = history::read_series(&self.connections.history_readers, key, since, until).await;
        self.check_history(read.map_err(StoreError::query("read a series")))
    }

    /// Returns the entries of the swarm's membership log, in the order they were written.
    pub async fn membership(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.check_ledger(ledger::read_membership(&self.connections.ledger_readers).await)
    }

    /// Appends an entry to the membership log, unless the log contains it already.
    pub async fn append_membership(&self, entry: Vec<u8>) -> Result<(), StoreError> {
        self.write(LedgerChange::MembershipEntry(entry)).await
    }

    /// Returns the learned home line, if one was stored.
    pub async fn home(&self) -> Result<Option<Home>, StoreError> {
        self.setting(ledger::HOME_KEY, "read the learned home line").await
    }

    /// Stores the learned home line.
    pub async fn set_home(&self, home: &Home) -> Result<(), StoreError> {
        self.set_setting(ledger::HOME_KEY, home, "record the home line").await
    }

    /// Returns the home line's addresses as each node on it last announced them.
    pub async fn home_announced(&self) -> Result<BTreeMap<NodeId, Vec<IpAddr>>, StoreError> {
        let announced = self.setting(ledger::HOME_ANNOUNCED_KEY, "read the announced home addresses").await?;
        Ok(announced.unwrap_or_default())
    }

    /// Stores the home line's addresses as announced by the nodes on it.
    pub async fn set_home_announced(
        &self,
        announced: &BTreeMap<NodeId, Vec<IpAddr>>,
    ) -> Result<(), StoreError> {
        self.set_setting(ledger::HOME_ANNOUNCED_KEY, announced, "record the announced home addresses").await
    }

    /// Returns true if a tunnel has been in use on this machine, in this run or an earlier one.
    pub async fn tunnel_known(&self) -> Result<bool, StoreError> {
        let known = self.setting(ledger::TUNNEL_KEY, "read whether a tunnel was in use").await?;
        Ok(known.unwrap_or_default())
    }

    /// Stores whether a tunnel has been in use.
    pub async fn set_tunnel_known(&self, known: bool) -> Result<(), StoreError> {
        self.set_setting(ledger::TUNNEL_KEY, &known, "record that a tunnel is in use").await
    }

    /// Rolls samples up by the hour, prunes old records and releases free space.
    ///
    /// Raw samples and notices are kept for 30 days; rollups, intervals and closed incidents for
    /// two years. A record is that old only if the monotonic clock agrees: time in which the node
    /// did not run does not count. Call this soon after the start and then about once an hour.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        // One step per request, so that each writer serves other requests between two steps.
        let (history, ledger) = (&self.connections.history_inbox, &self.connections.ledger_inbox);
        let cutoffs = loop {
            if let Some(cutoffs) = self.check_history(request(history, HistoryRequest::Maintain).await?)? {
                break cutoffs;
            }
        };
        while self.check_ledger(request(ledger, |reply| LedgerRequest::Maintain(cutoffs, reply)).await?)? {}
        Ok(())
    }

    /// Writes everything and closes the files.
    ///
    /// Afterwards, other handles get [`StoreError::Closed`].
    pub async fn close(self) {
        let (history, ledger) = tokio::join!(
            request(&self.connections.history_inbox, HistoryRequest::Close),
            request(&self.connections.ledger_inbox, LedgerRequest::Close),
        );
        if history.is_err() || ledger.is_err() {
            tracing::debug!("the store was already closed");
        }
    }

    async fn setting<T: DeserializeOwned>(
        &self,
        key: &str,
        doing: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.check_ledger(ledger::read_setting(&self.connections.ledger_readers, key).await)?;
        text.map(|text| serde_json::from_str(&text).map_err(StoreError::form(doing))).transpose()
    }

    async fn set_setting(
        &self,
        key: &'static str,
        value: &impl Serialize,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let value = serde_json::to_string(value).map_err(StoreError::form(doing))?;
        self.write(LedgerChange::Setting { key, value }).await
    }

    async fn send_to_history(&self, request: HistoryRequest) {
        if self.connections.history_inbox.send(request).await.is_err() {
            tracing::debug!("a measurement arrived after the store was closed");
        }
    }

    async fn write(&self, change: LedgerChange) -> Result<(), StoreError> {
        let inbox = &self.connections.ledger_inbox;
        self.check_ledger(request(inbox, |reply| LedgerRequest::Write(change, reply)).await?)
    }

    /// Passes a result on; if the ledger is damaged, the next start will check it.
    fn check_ledger<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| mark_if_damaged(&self.connections.ledger_path, error))
    }

    /// Passes a result on; if the history is damaged, the next start will check it.
    fn check_history<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| mark_if_damaged(&self.connections.history_path, error))
    }
}

/// Sends a request to a writer and waits for the reply.
async fn request<R, T>(
    inbox: &mpsc::Sender<R>,
    make_request: impl FnOnce(oneshot::Sender<T>) -> R,
) -> Result<T, StoreError> {
    let (reply, receiver) = oneshot::channel();
    inbox.send(make_request(reply)).await.map_err(|_| StoreError::Closed)?;
    receiver.await.map_err(|_| StoreError::Closed)
}

/// Opens a database and reads what is needed at the start.
///
/// Opening does not examine all of a large database. If reading finds damage after all, the
/// database is opened again, which checks it and sets it aside.
async fn open_and_read<T>(
    database: Database,
    dir: &Path,
    read: impl AsyncFn(SqliteConnection) -> Result<T, StoreError>,
) -> Result<(T, Option<String>), StoreError> {
    let (connection, note) = database.open(dir).await?;
    match read(connection).await {
        Err(error @ StoreError::Damaged { .. }) => {
            mark_if_damaged(&database.path(dir), &error);
            let (connection, note) = database.open(dir).await?;
            Ok((read(connection).await?, note))
        }
        result => Ok((result?, note)),
    }
}

/// Creates the directory if it is missing, accessible to its owner only.
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Locks the directory against a second process.
///
/// The system releases the lock when this process ends, however it ends.
fn lock_dir(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("store.lock");
    let file =
        File::create(&path).map_err(|source| StoreError::Directory { path: dir.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Directory { path: dir.to_owned(), source }),
    }
}
