//! Setting damaged databases aside, so that a crash at any point loses nothing.
//!
//! Files that belong to `<name>.db`:
//!
//! | file | meaning |
//! |---|---|
//! | `<name>.db.damaged-<n>` | the n-th database that was set aside, with its log files |
//! | `<name>.db.suspect` | damage was recognised while running; the next start checks the file |

use crate::error::StoreError;
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Suffixes of the files SQLite keeps beside a database.
const LOG_SUFFIXES: [&str; 2] = ["-wal", "-shm"];

/// Renames a database and its log files to the next `<name>.damaged-<n>`.
///
/// Renaming the database comes first and decides: before it, nothing has changed. After it, the
/// log files have no database, and [`finish_set_aside`] moves them at the next start. The reverse
/// order could leave a database without the log that holds its latest transactions.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let kept = kept_path(path, highest_kept(path)? + 1);
    fs::rename(path, &kept)?;
    sync_directory_of(path)?;
    finish_set_aside(path)?;
    Ok(kept)
}

/// Moves log files whose database has been set aside, and returns the newest one set aside.
///
/// Returns `None` if the database exists or none was set aside. This must run before SQLite opens
/// the path, because SQLite deletes a log that it finds beside an empty database.
pub(crate) fn finish_set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if path.exists() {
        return Ok(None);
    }
    let highest = highest_kept(path)?;
    let newest = kept_path(path, highest);
    for suffix in LOG_SUFFIXES {
        let log = with_suffix(path, suffix);
        if log.exists() {
            let belongs_to_newest = newest.exists() && !with_suffix(&newest, suffix).exists();
            let kept = if belongs_to_newest { &newest } else { &kept_path(path, highest + 1) };
            fs::rename(log, with_suffix(kept, suffix))?;
        }
    }
    Ok(newest.exists().then_some(newest))
}

/// Returns the number and the total size in bytes of the databases that were set aside.
pub(crate) fn count_kept(path: &Path) -> io::Result<(u64, u64)> {
    let (mut databases, mut bytes) = (0, 0);
    for (entry, number) in kept_files(path)? {
        databases += u64::from(entry.file_name() == kept_path(path, number).file_name().unwrap_or_default());
        bytes += entry.metadata()?.len();
    }
    Ok((databases, bytes))
}

/// Marks a database for a check at the next start, if the error means that it is damaged.
pub(crate) fn mark_if_damaged(path: &Path, error: &StoreError) {
    if matches!(error, StoreError::Damaged { .. })
        && let Err(error) = fs::File::create(suspect_path(path))
    {
        tracing::warn!(%error, "a damaged database could not be marked for a check at the next start");
    }
}

/// Returns true if damage was recognised in an earlier run.
pub(crate) fn is_suspect(path: &Path) -> bool {
    suspect_path(path).exists()
}

/// Removes the mark after the database has been checked or replaced.
pub(crate) fn clear_suspicion(path: &Path) {
    if let Err(error) = fs::remove_file(suspect_path(path))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "the mark of a checked database could not be removed");
    }
}

/// Returns the path with a suffix appended to the file name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn suspect_path(path: &Path) -> PathBuf {
    with_suffix(path, ".suspect")
}

fn kept_path(path: &Path, number: u64) -> PathBuf {
    with_suffix(path, &format!(".damaged-{number}"))
}

/// Returns the highest number among the files that were set aside, or 0.
fn highest_kept(path: &Path) -> io::Result<u64> {
    Ok(kept_files(path)?.into_iter().map(|(_, number)| number).max().unwrap_or(0))
}

/// Returns the files that were set aside, log files included, with their numbers.
fn kept_files(path: &Path) -> io::Result<Vec<(fs::DirEntry, u64)>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.damaged-", name.to_string_lossy());
    let mut kept = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).map(|rest| rest.split('-').next().unwrap_or(rest));
        if let Some(Ok(number)) = number.map(str::parse) {
            kept.push((entry, number));
        }
    }
    Ok(kept)
}

/// Makes a rename durable before the next one.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
