//! The handle.

use crate::{
    database::{HISTORY, LEDGER},
    error::StoreError,
    history::{self, History},
    ledger::{self, Entry},
    record::{Interval, Point, Sample, SeriesKey, Span},
    writer::{HistoryJob, LedgerJob, Pending, Writer},
};
use sentinel_model::{Home, Incident, NodeId, Notice, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::SqlitePool;
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    net::IpAddr,
    path::Path,
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot};

/// Deep enough for a burst, shallow enough that a disk that does not keep up is felt.
const INBOX: usize = 64;

/// A handle to the store; cheap to clone. The writer finishes what it accepted and closes the files when the last
/// handle is gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    history_inbox: mpsc::Sender<HistoryJob>,
    ledger_inbox: mpsc::Sender<LedgerJob>,
    history: SqlitePool,
    ledger: SqlitePool,
}

/// An open store and what a person should know about how that went.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Sentences for people: a damaged file was set aside.
    pub notes: Vec<String>,
}

impl Store {
    /// Opens both files in a directory, making what is missing. Only the directory's owner can read them.
    pub async fn open(dir: &Path) -> Result<Opened, StoreError> {
        make_private(dir).map_err(|source| StoreError::Directory { path: dir.to_owned(), source })?;
        let lock = lock(dir)?;
        // Both are looked at before either is touched.
        HISTORY.refuse_newer(dir).await?;
        LEDGER.refuse_newer(dir).await?;
        let (history_file, history_note) = HISTORY.open(dir).await?;
        let (ledger_file, ledger_note) = LEDGER.open(dir).await?;
        let history = HISTORY.readers(dir);
        let ledger = LEDGER.readers(dir);
        let (history_inbox, history_jobs) = mpsc::channel(INBOX);
        let (ledger_inbox, ledger_jobs) = mpsc::channel(INBOX);
        let writer = Writer {
            history: History::new(history_file).await?,
            ledger: ledger_file,
            readers: [history.clone(), ledger.clone()],
            lock,
            pending: Pending::default(),
        };
        tokio::spawn(writer.run(ledger_jobs, history_jobs));
        let inner = Inner { history_inbox, ledger_inbox, history, ledger };
        Ok(Opened {
            store: Self { inner: Arc::new(inner) },
            notes: [history_note, ledger_note].into_iter().flatten().collect(),
        })
    }

    /// Hands over measured numbers. Waits while the disk does not keep up.
    pub async fn samples(&self, samples: Vec<Sample>) {
        self.record(HistoryJob::Samples(samples)).await;
    }

    /// Says what value a fact has. Where it differs from the one before, that one's interval ends here.
    pub async fn interval(&self, interval: Interval) {
        self.record(HistoryJob::Interval(interval)).await;
    }

    /// Waits until every measurement handed over so far is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.record(HistoryJob::Flush(done)).await;
        // An error means that the store has closed, and it writes everything before it does.
        if written.await.is_err() {
            tracing::debug!("the store closed while it was being flushed");
        }
    }

    /// Records incidents and what people are to be told, in one transaction; on the disk when this returns. A notice
    /// of the same incident and kind as one before is not recorded again.
    pub async fn commit(&self, incidents: Vec<Incident>, notices: Vec<Notice>) -> Result<(), StoreError> {
        if incidents.is_empty() && notices.is_empty() {
            return Ok(());
        }
        self.write(Entry::Commit(incidents, notices)).await
    }

    /// What a channel has not delivered yet, oldest first; at most a hundred at a time. Until [`Store::delivered`] is
    /// called for it, a notice is handed out again, also after a restart.
    pub async fn undelivered(&self, channel: &str) -> Result<Vec<(i64, Notice)>, StoreError> {
        ledger::undelivered(&self.inner.ledger, channel).await
    }

    /// A channel has delivered a notice. Saying so twice is no error.
    pub async fn delivered(&self, channel: &str, id: i64) -> Result<(), StoreError> {
        self.write(Entry::Delivered(channel.to_owned(), id)).await
    }

    /// The open incidents, newest first.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        ledger::open_incidents(&self.inner.ledger).await
    }

    /// Incidents that are open or changed since then, newest first.
    pub async fn incidents(&self, since: Timestamp, limit: u32) -> Result<Vec<Incident>, StoreError> {
        ledger::incidents(&self.inner.ledger, since, limit).await
    }

    /// The values a fact had between two times, oldest first.
    pub async fn intervals(
        &self,
        fact: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Span>, StoreError> {
        self.flush().await;
        history::intervals(&self.inner.history, fact, since, until)
            .await
            .map_err(StoreError::query("read the history of a fact"))
    }

    /// A series between two times, oldest first, summed up to a number of points that suits a chart; more than two
    /// days are answered by the hour. Time without samples has no points.
    pub async fn series(
        &self,
        key: &SeriesKey,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Point>, StoreError> {
        self.flush().await;
        history::series(&self.inner.history, key, since, until)
            .await
            .map_err(StoreError::query("read a series"))
    }

    /// The swarm's membership log, in the order it was written.
    pub async fn membership(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        ledger::membership(&self.inner.ledger).await
    }

    /// Adds an entry to the membership log, unless it is there already.
    pub async fn append_membership(&self, entry: Vec<u8>) -> Result<(), StoreError> {
        self.write(Entry::Membership(entry)).await
    }

    /// The home line as it was learned, if it was.
    pub async fn home(&self) -> Result<Option<Home>, StoreError> {
        self.setting(ledger::HOME, "read the learned home line").await
    }

    /// Remembers the home line.
    pub async fn set_home(&self, home: &Home) -> Result<(), StoreError> {
        self.set(ledger::HOME, home, "record the home line").await
    }

    /// The addresses of the home line as the nodes on it said last; none if there is no such node.
    pub async fn home_announced(&self) -> Result<BTreeMap<NodeId, Vec<IpAddr>>, StoreError> {
        let said = self.setting(ledger::HOME_ANNOUNCED, "read what nodes say of the home line").await?;
        Ok(said.unwrap_or_default())
    }

    /// Remembers what the nodes on the home line say of it.
    pub async fn set_home_announced(&self, said: &BTreeMap<NodeId, Vec<IpAddr>>) -> Result<(), StoreError> {
        self.set(ledger::HOME_ANNOUNCED, said, "record what nodes say of the home line").await
    }

    /// Whether a tunnel has been in use on this machine, in this run or an earlier one.
    pub async fn tunnel_known(&self) -> Result<bool, StoreError> {
        let known = self.setting(ledger::TUNNEL, "read whether a tunnel was in use").await?;
        Ok(known.unwrap_or_default())
    }

    /// Remembers, or forgets, that a tunnel has been in use.
    pub async fn set_tunnel_known(&self, known: bool) -> Result<(), StoreError> {
        self.set(ledger::TUNNEL, &known, "record that a tunnel is in use").await
    }

    /// Rolls samples up by the hour, prunes what is old (raw samples after 30 days, rollups, intervals and closed
    /// incidents after two years) and gives space back. Wants to be called about once an hour.
    pub async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        // In steps, so that an alarm can be recorded in between.
        while self.ask(|done| LedgerJob::Maintain(now, done)).await?? {}
        Ok(())
    }

    /// Writes everything and closes the files. Other handles get [`StoreError::Closed`] from here on.
    pub async fn close(self) {
        if self.ask(LedgerJob::Close).await.is_err() {
            tracing::debug!("the store was closed already");
        }
    }

    async fn setting<T: DeserializeOwned>(
        &self,
        key: &str,
        doing: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = ledger::setting(&self.inner.ledger, key).await?;
        text.map(|text| serde_json::from_str(&text).map_err(StoreError::form(doing))).transpose()
    }

    async fn set(
        &self,
        key: &'static str,
        value: &impl Serialize,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(StoreError::form(doing))?;
        self.write(Entry::Setting(key, text)).await
    }

    async fn record(&self, job: HistoryJob) {
        if self.inner.history_inbox.send(job).await.is_err() {
            tracing::debug!("a measurement arrived after the store was closed");
        }
    }

    async fn write(&self, entry: Entry) -> Result<(), StoreError> {
        self.ask(|done| LedgerJob::Write(entry, done)).await?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> LedgerJob) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.inner.ledger_inbox.send(job(done)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }
}

/// Makes the directory if it is missing, open to its owner alone.
fn make_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Keeps a second process out. The system releases the lock however this one ends.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("store.lock");
    let file =
        File::create(&path).map_err(|source| StoreError::Directory { path: dir.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Directory { path: dir.to_owned(), source }),
    }
}
