//! Opening one SQLite file.
//!
//! A file of a newer version is refused, a damaged one is set aside, an older one is migrated.

use crate::{
    damaged::{clear_suspicion, count_kept, finish_set_aside, is_suspect, set_aside, with_suffix},
    error::{StoreError, damage_message},
};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

static HISTORY_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/history");
static LEDGER_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/ledger");

/// Size in bytes below which the integrity check always runs, because it takes no noticeable time.
///
/// A larger file is checked only after an unclean exit or after damage was recognised.
const ALWAYS_CHECKED_BELOW: u64 = 8 * 1024 * 1024;

/// One of the store's two files.
#[derive(Clone, Copy)]
pub(crate) struct Database {
    file_name: &'static str,
    /// What the file contains, in words for the person whose file was damaged.
    contents: &'static str,
    synchronous: SqliteSynchronous,
    migrations: &'static Migrator,
}

/// Samples and intervals.
///
/// A power cut may lose the last transactions, but does not damage the file.
pub(crate) const HISTORY: Database = Database {
    file_name: "history.db",
    contents: "past measurements",
    synchronous: SqliteSynchronous::Normal,
    migrations: &HISTORY_MIGRATIONS,
};

/// Incidents, outbox, membership and settings.
///
/// A committed transaction survives a power cut.
pub(crate) const LEDGER: Database = Database {
    file_name: "ledger.db",
    contents: "incidents, the nodes of your swarm and the learned home line",
    synchronous: SqliteSynchronous::Full,
    migrations: &LEDGER_MIGRATIONS,
};

/// Why a file could not be opened.
enum OpenFailure {
    /// The file is damaged, for this reason. Setting it aside helps.
    Damaged(String),
    /// The person has to act.
    Fatal(StoreError),
}

impl Database {
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name)
    }

    /// Returns the newest format this version reads.
    fn newest_format(self) -> i64 {
        self.migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    /// Returns an error if a newer version wrote the file, without changing it.
    pub(crate) async fn refuse_newer(self, dir: &Path) -> Result<(), StoreError> {
        let path = self.path(dir);
        if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            return Ok(());
        }
        // Without a write-ahead log there is nothing to recover. `immutable` then keeps SQLite from
        // creating files next to the database.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .read_only(true)
            .immutable(!has_unfinished_log(&path))
            .disable_statement_logging();
        // Any other problem with the file is reported when it is opened for writing.
        let Ok(mut connection) = options.connect().await else { return Ok(()) };
        let found = sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await;
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, file = self.file_name, "closing the file after reading its format failed");
        }
        match found {
            Ok(Some(found)) if found > self.newest_format() => {
                Err(StoreError::Newer { path, found, supported: self.newest_format() })
            }
            _ => Ok(()),
        }
    }

    /// Opens the file for writing, creating it if it is missing.
    ///
    /// A damaged file is set aside and replaced by an empty one. The second value is then a
    /// sentence about it for the person.
    pub(crate) async fn open(self, dir: &Path) -> Result<(SqliteConnection, Option<String>), StoreError> {
        let path = self.path(dir);
        let cannot_rename = |source| StoreError::SetAside { path: path.clone(), source };
        let mut note = finish_set_aside(&path)
            .map_err(cannot_rename)?
            .map(|kept| self.damage_note(&path, &kept, "this was found at an earlier start"));
        let connection = match self.try_open(dir).await {
            Ok(connection) => connection,
            Err(OpenFailure::Fatal(error)) => return Err(error),
            Err(OpenFailure::Damaged(reason)) => {
                let kept = set_aside(&path).map_err(cannot_rename)?;
                note = Some(self.damage_note(&path, &kept, &reason));
                self.try_open(dir).await.map_err(|failure| match failure {
                    OpenFailure::Fatal(error) => error,
                    OpenFailure::Damaged(reason) => {
                        StoreError::Open { path: path.clone(), source: sqlx::Error::Protocol(reason) }
                    }
                })?
            }
        };
        clear_suspicion(&path);
        if let Some(note) = &note {
            tracing::warn!("{note}");
        }
        Ok((connection, note))
    }

    /// Returns the sentences about a database that was set aside.
    ///
    /// Such files are never deleted, so a note says how many there are once there are several.
    fn damage_note(self, path: &Path, kept: &Path, reason: &str) -> String {
        let several = match count_kept(path) {
            Ok((count @ 2.., bytes)) => format!(
                " {count} such files take up {} MiB; check the disk's health and delete those you do not need.",
                bytes.div_ceil(1024 * 1024)
            ),
            _ => String::new(),
        };
        format!(
            "{} was damaged ({reason}) and is kept as {}. It contained {}; an empty file takes its place.{several}",
            path.display(),
            kept.display(),
            self.contents
        )
    }

    /// Returns a pool of connections for reading, opened when needed and closed when idle.
    pub(crate) fn reader_pool(self, dir: &Path) -> SqlitePool {
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

    /// Opens the file for writing, checks its integrity if needed and migrates it.
    async fn try_open(self, dir: &Path) -> Result<SqliteConnection, OpenFailure> {
        let path = self.path(dir);
        let needs_check = has_unfinished_log(&path)
            || is_suspect(&path)
            || fs::metadata(&path).is_ok_and(|file| file.len() < ALWAYS_CHECKED_BELOW);
        make_private(&path)
            .map_err(|source| OpenFailure::Fatal(StoreError::Directory { path: path.clone(), source }))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .pragma("cache_size", "-1024")
            .statement_cache_capacity(32)
            .disable_statement_logging();
        let fatal = |source| OpenFailure::Fatal(StoreError::Open { path: path.clone(), source });
        let mut connection = options
            .connect()
            .await
            .map_err(|error| damage_message(&error).map_or_else(|| fatal(error), OpenFailure::Damaged))?;
        match self.check_and_migrate(&mut connection, needs_check, &path).await {
            Ok(()) => Ok(connection),
            Err(failure) => {
                // Windows refuses to rename an open file.
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, file = self.file_name, "closing an unusable file failed");
                }
                Err(failure)
            }
        }
    }

    async fn check_and_migrate(
        self,
        connection: &mut SqliteConnection,
        needs_check: bool,
        path: &Path,
    ) -> Result<(), OpenFailure> {
        if needs_check {
            let result =
                sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(&mut *connection).await;
            match result {
                Ok(report) if report == "ok" => {}
                Ok(report) => return Err(OpenFailure::Damaged(report)),
                Err(error) => {
                    return Err(damage_message(&error).map_or_else(
                        || OpenFailure::Fatal(StoreError::Open { path: path.to_owned(), source: error }),
                        OpenFailure::Damaged,
                    ));
                }
            }
        }
        self.migrations.run(&mut *connection).await.map_err(|error| self.migration_failure(error, path))
    }

    /// Classifies an error of a migration.
    fn migration_failure(self, error: MigrateError, path: &Path) -> OpenFailure {
        let damage = match &error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                damage_message(source)
            }
            _ => None,
        };
        match (damage, error) {
            (Some(reason), _) => OpenFailure::Damaged(reason),
            (None, MigrateError::VersionMissing(found)) if found > self.newest_format() => {
                OpenFailure::Fatal(StoreError::Newer {
                    path: path.to_owned(),
                    found,
                    supported: self.newest_format(),
                })
            }
            (None, source) => OpenFailure::Fatal(StoreError::Migrate { path: path.to_owned(), source }),
        }
    }
}

/// Returns true if a write-ahead log was left behind, which a clean exit does not do.
fn has_unfinished_log(path: &Path) -> bool {
    fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Creates the file if it is missing, and restricts access to its owner.
///
/// SQLite gives its log files the same permissions.
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
