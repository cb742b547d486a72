//! The errors of the store, as sentences for the person who has to deal with them.

use std::{io, path::PathBuf};
use thiserror::Error;

/// `SQLITE_CORRUPT`: the file is damaged.
const CORRUPT: i32 = 11;

/// `SQLITE_NOTADB`: the file is not a database.
const NOT_A_DATABASE: i32 = 26;

/// Why an operation of the store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The state directory cannot be created or written to.
    #[error(
        "The state directory {} cannot be used: {source}. Give this user write access to it, or set `state_dir` to another.",
        path.display()
    )]
    Directory {
        /// The directory, or the file in it that could not be created.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error(
        "Another VPNSentinel is already using {}. Stop that one, or give this one a `state_dir` of its own.",
        path.display()
    )]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// A newer version wrote the file.
    #[error(
        "{} was written by a newer VPNSentinel: its format is {found}, this version reads up to {supported}. It was \
         left untouched. Install the newer version again, or move the file away to start with an empty one.",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found in it.
        found: i64,
        /// The newest format this version reads.
        supported: i64,
    },
    /// The file cannot be opened.
    #[error("{} cannot be opened: {source}. Check that this user may read and write it and that the disk is not full.", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: sqlx::Error,
    },
    /// The file could not be converted to this version's format.
    #[error(
        "{} could not be converted to this version's format: {source}. Move the file away to start with an empty one.",
        path.display()
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The migration's error.
        source: sqlx::migrate::MigrateError,
    },
    /// The file is damaged and could not be renamed.
    #[error("{} is damaged and could not be renamed: {source}. Move it away yourself and start again.", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("Could not {doing}: {source}. Check the disk's free space and health.")]
    Query {
        /// What was being attempted: "record incidents".
        doing: &'static str,
        /// SQLite's error.
        source: sqlx::Error,
    },
    /// Reading or writing found that the file is damaged.
    #[error(
        "Could not {doing}, because the file is damaged: {source}. Restart VPNSentinel: it checks the file, keeps it \
         under another name and continues with an empty one."
    )]
    Damaged {
        /// What was being attempted: "record incidents".
        doing: &'static str,
        /// SQLite's error.
        source: sqlx::Error,
    },
    /// A record could not be converted to or from its stored form.
    #[error("Could not {doing}, because a record does not have the expected form: {source}.")]
    Form {
        /// What was being attempted.
        doing: &'static str,
        /// The mismatch.
        source: serde_json::Error,
    },
    /// The store has been closed.
    #[error("The store is closed, because the node is stopping.")]
    Closed,
}

impl StoreError {
    /// Returns a closure for `map_err` that turns SQLite's error into one of the store.
    ///
    /// It is [`StoreError::Damaged`] if the file is damaged, and [`StoreError::Query`] otherwise.
    pub(crate) fn query(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| match damage_message(&source) {
            Some(_) => Self::Damaged { doing, source },
            None => Self::Query { doing, source },
        }
    }

    /// Returns a closure for `map_err` that turns a JSON error into [`StoreError::Form`].
    pub(crate) fn form(doing: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Form { doing, source }
    }
}

/// Returns SQLite's message if the error means that the file is damaged.
pub(crate) fn damage_message(error: &sqlx::Error) -> Option<String> {
    let database = error.as_database_error()?;
    let extended_code: i32 = database.code()?.parse().ok()?;
    matches!(extended_code & 0xff, CORRUPT | NOT_A_DATABASE).then(|| database.message().to_owned())
}
