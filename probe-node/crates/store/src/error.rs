//! What can go wrong with the store, in words for the person who has to deal with it.

use std::{io, path::PathBuf};
use thiserror::Error;

/// What can go wrong with the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory cannot be made or written to.
    #[error(
        "The state directory {} cannot be used: {source}. Give this user write access to it, or set `state_dir` to another.",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "Another VPNSentinel is already using {}. Stop that one, or give this one a `state_dir` of its own.",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer VPNSentinel: its format is {found}, this version reads up to {known}. It was left \
         untouched. Install the newer version again, or move the file away to start with an empty one.",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found in it.
        found: i64,
        /// The newest format this version knows.
        known: i64,
    },
    /// It cannot be opened.
    #[error("{} cannot be opened: {source}. Check that this user may read and write it and that the disk is not full.", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// It could not be brought to this version's format.
    #[error(
        "{} could not be brought to this version's format: {source}. Move the file away to start with an empty one.",
        path.display()
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// It is damaged and could not be renamed.
    #[error("{} is damaged and could not be set aside: {source}. Move it away yourself and start again.", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("Could not {doing}: {source}. Check the disk's free space and health.")]
    Query {
        /// What was being done: "record incidents".
        doing: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A record could not be put into, or got out of, its stored form.
    #[error("Could not {doing}, because a record does not have the expected form: {source}.")]
    Form {
        /// What was being done.
        doing: &'static str,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// The store has been closed.
    #[error("The store is closed, because the node is stopping.")]
    Closed,
}

impl StoreError {
    pub(crate) fn query(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Query { doing, source }
    }

    pub(crate) fn form(doing: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Form { doing, source }
    }
}
