//! Key files, and the identities that follow from keys.
//!
//! `identity.key` is the identity of this node; `owner.key`, on the node that founded the swarm,
//! signs the membership log. A key file is created once with mode 0600 and never overwritten. A
//! file that other users could read, or that holds no Ed25519 key, is refused.

use crate::private_file;
use libp2p::{
    PeerId,
    identity::{DecodingError, Keypair, PublicKey},
};
use sentinel_model::NodeId;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file name of this node's identity key.
pub(crate) const IDENTITY_FILE: &str = "identity.key";
/// The file name of the owner's signing key.
pub(crate) const OWNER_FILE: &str = "owner.key";
/// The largest file accepted as a key. An encoded Ed25519 key pair has 68 bytes.
const MAX_KEY_BYTES: u64 = 1024;

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state directory could not be created.
    #[error(
        "Cannot create the state directory {path}: {cause}. Give this user permission to write there, or choose another directory."
    )]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The file could not be read.
    #[error(
        "Cannot read the key file {path}: {cause}. Make it readable for the user that this program runs as."
    )]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The file could not be written.
    #[error("Cannot write the key file {path}: {cause}. Give this user permission to write there.")]
    Write {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// Other users have access to the file.
    #[error(
        "The key file {path} is accessible to other users (mode {mode:o}). Run `chmod 600 {path}`, or remove the file if someone may have read it."
    )]
    Permissions {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error(
        "The key file {path} does not hold an Ed25519 key ({cause}). Restore it from a backup, or move it away to start with a new key."
    )]
    Malformed {
        /// The path of the file.
        path: PathBuf,
        /// The reason in short.
        cause: String,
    },
    /// A new key could not be encoded.
    #[error("Cannot encode a new key: {0}.")]
    Encode(#[from] DecodingError),
}

/// Reads a key, or creates one if the file does not exist or is empty.
pub(crate) fn load_or_create(directory: &Path, file: &str) -> Result<Keypair, IdentityError> {
    let path = directory.join(file);
    match load(&path)? {
        Some(key) => Ok(key),
        None => create(directory, path),
    }
}

/// Reads a key. Returns `None` if the file does not exist or is empty.
pub(crate) fn load(path: &Path) -> Result<Option<Keypair>, IdentityError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(IdentityError::Read { path: path.to_owned(), cause }),
    };
    check_permissions(path, &metadata)?;
    let malformed = |cause: String| IdentityError::Malformed { path: path.to_owned(), cause };
    if metadata.len() == 0 {
        // Left by a crash of a release that wrote keys in place. There is no key to lose in it.
        return Ok(None);
    }
    if metadata.len() > MAX_KEY_BYTES {
        return Err(malformed(format!("{} bytes long", metadata.len())));
    }
    let bytes = fs::read(path).map_err(|cause| IdentityError::Read { path: path.to_owned(), cause })?;
    let key = Keypair::from_protobuf_encoding(&bytes).map_err(|error| malformed(error.to_string()))?;
    key.clone().try_into_ed25519().map_err(|error| malformed(error.to_string()))?;
    Ok(Some(key))
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    let others = mode & 0o077;
    if others == 0 { Ok(()) } else { Err(IdentityError::Permissions { path: path.to_owned(), mode }) }
}

/// Accepts any file. On Windows, files inherit the permissions of the user's own profile folder.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // on Unix it can fail
fn check_permissions(_: &Path, _: &fs::Metadata) -> Result<(), IdentityError> {
    Ok(())
}

fn create(directory: &Path, path: PathBuf) -> Result<Keypair, IdentityError> {
    fs::create_dir_all(directory)
        .map_err(|cause| IdentityError::Directory { path: directory.to_owned(), cause })?;
    let key = Keypair::generate_ed25519();
    let bytes = key.to_protobuf_encoding()?;
    match private_file::replace(&path, &bytes) {
        Ok(()) => Ok(key),
        Err(cause) => Err(IdentityError::Write { path, cause }),
    }
}

/// Converts a peer's id to the node id that the rest of the program uses.
pub(crate) fn node_id(peer: &PeerId) -> NodeId {
    NodeId(peer.to_base58())
}

/// Converts a node id to a peer id. Returns `None` if it is not one.
pub(crate) fn peer_id(node: &NodeId) -> Option<PeerId> {
    node.0.parse().ok()
}

/// Extracts the Ed25519 key that a `PeerId` contains (as an identity multihash).
///
/// Returns `None` if the id is of any other kind.
pub(crate) fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    key.clone().try_into_ed25519().ok()?;
    (key.to_peer_id() == *peer).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(&dir.path().join("deep/down"), IDENTITY_FILE).unwrap();
        let second = load_or_create(&dir.path().join("deep/down"), IDENTITY_FILE).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_crash_while_a_key_is_written_does_not_stop_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        for leftover in ["identity.new", IDENTITY_FILE] {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(dir.path().join(leftover)).unwrap();
        }
        let first = load_or_create(dir.path(), IDENTITY_FILE).unwrap();
        let second = load_or_create(dir.path(), IDENTITY_FILE).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused_with_a_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path(), IDENTITY_FILE).unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create(dir.path(), IDENTITY_FILE).unwrap_err();
        assert!(matches!(error, IdentityError::Permissions { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        private_file::replace(&path, b"not a key").unwrap();
        let error = load_or_create(dir.path(), IDENTITY_FILE).unwrap_err();
        assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }

    #[test]
    fn a_peer_id_contains_its_key() {
        let key = Keypair::generate_ed25519();
        assert_eq!(public_key(&key.public().to_peer_id()), Some(key.public()));
        assert_eq!(public_key(&PeerId::random()), None);
    }
}
