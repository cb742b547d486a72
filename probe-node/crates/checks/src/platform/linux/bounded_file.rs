//! Reading the system's files within bounds of time and memory.
//!
//! Whoever runs the network, or any program with the right to write them, decides what these files
//! contain and even what they are. Only regular files are read; one that has another kind never
//! blocks, since it is opened without waiting for a peer.

use rustix::{
    fs::{FileType, OFlags},
    io::Errno,
};
use sentinel_model::Reason;
use std::{
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Far more than a resolver configuration takes.
pub(super) const MAX_CONFIG: u64 = 64 * 1024;
/// The most entries of a folder that are looked at.
pub(super) const MAX_ENTRIES: usize = 1_000;
/// How often a file that changes meanwhile is read again.
const ATTEMPTS: usize = 3;
/// The device number of `/dev/null`, which stands for an empty file.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Why a file could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is no such file: the name, a folder before it, or the target of a link is missing.
    Absent,
    /// It is a folder, a FIFO, a socket or a device.
    NotRegular(&'static str),
    /// It has more bytes than are read.
    TooLarge(u64),
    /// The system refused.
    Io(io::Error),
}

impl ReadError {
    /// Returns the reason with the name of the file.
    pub(super) fn reason(&self, path: &Path) -> Reason {
        Reason::Failed(format!("could not read {}: {self}", path.display()))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file"),
            Self::NotRegular(kind) => write!(f, "it is {kind}, not a file"),
            Self::TooLarge(limit) => write!(f, "it is larger than {} KiB", limit / 1024),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// A file that is written meanwhile is read again, so that half of a new content is not taken for
/// all of it. `/dev/null` is an empty file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    read_dated(path, limit).map(|(bytes, _)| bytes)
}

/// Reads a whole file like [`read`], and when it was written, in seconds since 1970.
pub(super) fn read_dated(path: &Path, limit: u64) -> Result<(Vec<u8>, i64), ReadError> {
    let mut content = read_once(path, limit)?;
    for _ in 1..ATTEMPTS {
        if !content.is_torn {
            break;
        }
        content = read_once(path, limit)?;
    }
    Ok((content.bytes, content.written))
}

/// Lists at most [`MAX_ENTRIES`] of a folder's entries, by name; nothing if it cannot be read.
pub(super) fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).take(MAX_ENTRIES).collect();
    paths.sort();
    paths
}

struct Content {
    bytes: Vec<u8>,
    /// When it was last written, in seconds since 1970.
    written: i64,
    /// Whether the file was written while it was read.
    is_torn: bool,
}

fn read_once(path: &Path, limit: u64) -> Result<Content, ReadError> {
    let file = open(path)?;
    let before = file.metadata().map_err(ReadError::Io)?;
    if let Some(kind) = other_kind(&before) {
        return Err(ReadError::NotRegular(kind));
    }
    if !before.is_file() {
        return Ok(Content { bytes: Vec::new(), written: 0, is_torn: false });
    }
    let mut bytes = Vec::new();
    (&file).take(limit + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(ReadError::TooLarge(limit));
    }
    let after = file.metadata().map_err(ReadError::Io)?;
    Ok(Content { bytes, written: after.mtime(), is_torn: version(&before) != version(&after) })
}

fn open(path: &Path) -> Result<File, ReadError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        let is_loop = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::Absent,
            _ if is_loop => ReadError::Absent,
            _ => ReadError::Io(error),
        }
    })
}

/// Returns what the file is, if it is neither a regular file nor `/dev/null`.
fn other_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    let device = metadata.rdev();
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    if kind.is_file() || (kind.is_char_device() && device == NULL_DEVICE) {
        return None;
    }
    Some(match FileType::from_raw_mode(metadata.mode()) {
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "a device",
    })
}

fn version(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn reason(path: &Path) -> String {
        read(path, 16).unwrap_err().reason(path).to_string()
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_larger_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [b'x'; 16]).unwrap();
        assert_eq!(read(&path, 16).unwrap().len(), 16);
        fs::write(&path, [b'x'; 17]).unwrap();
        assert!(reason(&path).contains("larger than 0 KiB") && reason(&path).contains("file"));
        assert!(matches!(read(Path::new("/dev/zero"), 16), Err(ReadError::NotRegular("a device"))));
    }

    #[test]
    fn a_file_that_is_absent_is_told_apart_from_one_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let absent = |path: &Path| matches!(read(path, 16), Err(ReadError::Absent));
        assert!(absent(&dir.path().join("none")));
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(absent(&a), "a loop of links");
        fs::write(dir.path().join("c"), "").unwrap();
        assert!(absent(&dir.path().join("c/d")), "a file in place of a folder");
        assert!(reason(dir.path()).contains("a folder"));
        assert_eq!(read(Path::new("/dev/null"), 16).unwrap(), b"");
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(dir.path().join("c"), fs::Permissions::from_mode(0o000)).unwrap();
            assert!(matches!(read(&dir.path().join("c"), 16), Err(ReadError::Io(_))));
        }
    }

    #[test]
    fn a_fifo_without_a_writer_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(reason(&path).contains("a FIFO"));
    }

    #[test]
    fn a_folder_lists_a_bounded_number_of_entries_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MAX_ENTRIES + 5 {
            fs::write(dir.path().join(format!("{number:05}")), "").unwrap();
        }
        let listed = list(dir.path());
        assert_eq!(listed.len(), MAX_ENTRIES);
        assert!(listed.is_sorted());
        assert!(list(&dir.path().join("none")).is_empty());
    }
}
