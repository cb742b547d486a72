//! Opening one SQLite file: refusing a newer one, setting a damaged one aside, bringing an older one up to date.

use crate::error::StoreError;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

static HISTORY_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/history");
static LEDGER_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/ledger");

/// Below this size the integrity check is too quick to be felt and always runs; a larger file is checked after an
/// unclean exit only.
const ALWAYS_CHECKED: u64 = 8 * 1024 * 1024;

/// SQLite's primary result codes for "the file is damaged" and "this is no database".
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

/// One of the store's two files.
#[derive(Clone, Copy)]
pub(crate) struct Database {
    name: &'static str,
    holds: &'static str,
    synchronous: SqliteSynchronous,
    migrations: &'static Migrator,
}

/// Samples and intervals. A power cut may cost the last transactions, never the file.
pub(crate) const HISTORY: Database = Database {
    name: "history.db",
    holds: "past measurements",
    synchronous: SqliteSynchronous::Normal,
    migrations: &HISTORY_MIGRATIONS,
};

/// Incidents, outbox, membership, settings. What is committed survives a power cut.
pub(crate) const LEDGER: Database = Database {
    name: "ledger.db",
    holds: "incidents, the nodes of your swarm and the learned home line",
    synchronous: SqliteSynchronous::Full,
    migrations: &LEDGER_MIGRATIONS,
};

/// Why a file could not be opened: it must be set aside, or the person must act.
enum Trouble {
    Damaged(String),
    Fatal(StoreError),
}

impl Database {
    fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.name)
    }

    fn newest(self) -> i64 {
        self.migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    /// Refuses a file that a newer version wrote. Reads only.
    pub(crate) async fn refuse_newer(self, dir: &Path) -> Result<(), StoreError> {
        let path = self.path(dir);
        if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            return Ok(());
        }
        // Without a write-ahead log nothing needs recovering, and SQLite can be told not to make any file beside it.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .read_only(true)
            .immutable(!has_unfinished_log(&path))
            .disable_statement_logging();
        // Whatever else is wrong with the file shows when it is opened for writing.
        let Ok(mut connection) = options.connect().await else { return Ok(()) };
        let found = sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await;
        let closed = connection.close().await;
        if let Err(error) = closed {
            tracing::debug!(%error, file = self.name, "closing after reading the format failed");
        }
        match found {
            Ok(Some(found)) if found > self.newest() => {
                Err(StoreError::Newer { path, found, known: self.newest() })
            }
            _ => Ok(()),
        }
    }

    /// Opens the file for writing, making it if it is missing. A damaged one is set aside first, and the note says so.
    pub(crate) async fn open(self, dir: &Path) -> Result<(SqliteConnection, Option<String>), StoreError> {
        match self.attempt(dir).await {
            Ok(connection) => Ok((connection, None)),
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::Damaged(reason)) => {
                let kept = set_aside(&self.path(dir))?;
                let connection = self.attempt(dir).await.map_err(|trouble| match trouble {
                    Trouble::Fatal(error) => error,
                    Trouble::Damaged(reason) => {
                        StoreError::Open { path: self.path(dir), source: sqlx::Error::Protocol(reason) }
                    }
                })?;
                let note = format!(
                    "{} was damaged ({reason}) and is kept as {}. What it held ({}) starts empty.",
                    self.path(dir).display(),
                    kept.display(),
                    self.holds
                );
                tracing::warn!("{note}");
                Ok((connection, Some(note)))
            }
        }
    }

    /// A few connections for reading, made when needed and closed when idle.
    pub(crate) fn readers(self, dir: &Path) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(self.path(dir))
            .read_only(true)
            .pragma("cache_size", "-512")
            .statement_cache_capacity(16)
            .disable_statement_logging();
        SqlitePoolOptions::new()
            .max_connections(2)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(30))
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }

    async fn attempt(self, dir: &Path) -> Result<SqliteConnection, Trouble> {
        let path = self.path(dir);
        let check =
            has_unfinished_log(&path) || fs::metadata(&path).is_ok_and(|file| file.len() < ALWAYS_CHECKED);
        make_private(&path)
            .map_err(|source| Trouble::Fatal(StoreError::Directory { path: path.clone(), source }))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .pragma("cache_size", "-1024")
            .statement_cache_capacity(32)
            .disable_statement_logging();
        let fatal = |source| Trouble::Fatal(StoreError::Open { path: path.clone(), source });
        let mut connection = options
            .connect()
            .await
            .map_err(|error| damage(&error).map_or_else(|| fatal(error), Trouble::Damaged))?;
        match self.prepare(&mut connection, check, &path).await {
            Ok(()) => Ok(connection),
            Err(trouble) => {
                // It must be closed before the file can be renamed, which Windows would refuse.
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, file = self.name, "closing a file that could not be used failed");
                }
                Err(trouble)
            }
        }
    }

    async fn prepare(
        self,
        connection: &mut SqliteConnection,
        check: bool,
        path: &Path,
    ) -> Result<(), Trouble> {
        if check {
            let verdict =
                sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(&mut *connection).await;
            match verdict {
                Ok(verdict) if verdict == "ok" => {}
                Ok(verdict) => return Err(Trouble::Damaged(verdict)),
                Err(error) => {
                    return Err(damage(&error).map_or_else(
                        || Trouble::Fatal(StoreError::Open { path: path.to_owned(), source: error }),
                        Trouble::Damaged,
                    ));
                }
            }
        }
        self.migrations.run(&mut *connection).await.map_err(|error| self.explain(error, path))
    }

    fn explain(self, error: MigrateError, path: &Path) -> Trouble {
        let damaged = match &error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => damage(source),
            _ => None,
        };
        match (damaged, error) {
            (Some(reason), _) => Trouble::Damaged(reason),
            (None, MigrateError::VersionMissing(found)) if found > self.newest() => {
                Trouble::Fatal(StoreError::Newer { path: path.to_owned(), found, known: self.newest() })
            }
            (None, source) => Trouble::Fatal(StoreError::Migrate { path: path.to_owned(), source }),
        }
    }
}

/// What SQLite says of the damage, if that is what the error is about.
fn damage(error: &sqlx::Error) -> Option<String> {
    let database = error.as_database_error()?;
    let extended: i32 = database.code()?.parse().ok()?;
    matches!(extended & 0xff, CORRUPT | NOT_A_DATABASE).then(|| database.message().to_owned())
}

/// Whether a write-ahead log was left behind. A clean exit leaves none.
fn has_unfinished_log(path: &Path) -> bool {
    fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Renames a database and the files beside it to the first free `<name>.damaged-<n>`.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::SetAside { path: path.to_owned(), source };
    let kept = (1..=u16::MAX)
        .map(|n| with_suffix(path, &format!(".damaged-{n}")))
        .find(|candidate| !candidate.exists())
        .ok_or_else(|| failed(io::Error::other("there are too many damaged files beside it already")))?;
    for suffix in ["-wal", "-shm"] {
        let beside = with_suffix(path, suffix);
        if beside.exists() {
            fs::rename(beside, with_suffix(&kept, suffix)).map_err(failed)?;
        }
    }
    fs::rename(path, &kept).map_err(failed)?;
    Ok(kept)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the file if it is missing, readable by its owner alone; SQLite gives the files beside it the same permissions.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        options.mode(0o600);
        let file = options.open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    options.open(path)?;
    Ok(())
}
