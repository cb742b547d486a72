//! Keys on disk: who this node is (`identity.key`) and, where the swarm was founded, the owner's signature
//! (`owner.key`). A key file is made once with mode 0600 and never overwritten; one that others could read, or that
//! holds anything but an Ed25519 key, is refused.

use libp2p::{
    PeerId,
    identity::{DecodingError, Keypair, PublicKey},
};
use sentinel_model::NodeId;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file that holds this node's identity.
pub(crate) const IDENTITY_FILE: &str = "identity.key";
/// The file that holds the owner's signing key.
pub(crate) const OWNER_FILE: &str = "owner.key";
/// An encoded Ed25519 key pair is 68 bytes; anything much longer is no key.
const MAX_KEY_BYTES: u64 = 1024;

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory for the keys could not be made.
    #[error(
        "cannot make the state directory {path}: {cause}; give this user the right to write there or choose another"
    )]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the key file {path}: {cause}; make it readable for the user this program runs as")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the key file {path}: {cause}; give this user the right to write there")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Others than its owner may use the file.
    #[error(
        "the key file {path} can be read by others (mode {mode:o}); run `chmod 600 {path}`, or remove it if someone may have read it"
    )]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error(
        "the key file {path} does not hold an Ed25519 key ({cause}); restore it from a copy, or move it away to start with a new one"
    )]
    Garbled {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A new key could not be encoded.
    #[error("cannot encode a new key: {0}")]
    Encode(#[from] DecodingError),
}

/// Reads a key, or makes one if the file is not there.
pub(crate) fn load_or_create(directory: &Path, file: &str) -> Result<Keypair, IdentityError> {
    let path = directory.join(file);
    match load(&path)? {
        Some(key) => Ok(key),
        None => create(directory, path),
    }
}

/// Reads a key; `None` if the file is not there.
pub(crate) fn load(path: &Path) -> Result<Option<Keypair>, IdentityError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(IdentityError::Read { path: path.to_owned(), cause }),
    };
    check_permissions(path, &metadata)?;
    let garbled = |cause: String| IdentityError::Garbled { path: path.to_owned(), cause };
    if metadata.len() > MAX_KEY_BYTES {
        return Err(garbled(format!("{} bytes long", metadata.len())));
    }
    let bytes = fs::read(path).map_err(|cause| IdentityError::Read { path: path.to_owned(), cause })?;
    let key = Keypair::from_protobuf_encoding(&bytes).map_err(|error| garbled(error.to_string()))?;
    key.clone().try_into_ed25519().map_err(|error| garbled(error.to_string()))?;
    Ok(Some(key))
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    let others = mode & 0o077;
    if others == 0 { Ok(()) } else { Err(IdentityError::Permissions { path: path.to_owned(), mode }) }
}

/// Elsewhere a file takes after its folder, and the state folder is in the person's own profile.
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
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written =
        options.open(&path).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => Ok(key),
        Err(cause) => Err(IdentityError::Write { path, cause }),
    }
}

/// The name the rest of the program knows a peer by.
pub(crate) fn node_id(peer: &PeerId) -> NodeId {
    NodeId(peer.to_base58())
}

/// The peer behind a node's name, if it is one.
pub(crate) fn peer_id(node: &NodeId) -> Option<PeerId> {
    node.0.parse().ok()
}

/// The Ed25519 key a PeerId carries in itself (an identity multihash); `None` for any other kind.
pub(crate) fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    key.clone().try_into_ed25519().ok()?;
    (key.to_peer_id() == *peer).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(&dir.path().join("deep/down"), IDENTITY_FILE).unwrap();
        let second = load_or_create(&dir.path().join("deep/down"), IDENTITY_FILE).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_others_can_read_is_refused_with_the_way_out() {
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
    fn garbage_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).unwrap().write_all(b"not a key").unwrap();
        let error = load_or_create(dir.path(), IDENTITY_FILE).unwrap_err();
        assert!(matches!(error, IdentityError::Garbled { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }

    #[test]
    fn a_peer_id_yields_its_key() {
        let key = Keypair::generate_ed25519();
        assert_eq!(public_key(&key.public().to_peer_id()), Some(key.public()));
        assert_eq!(public_key(&PeerId::random()), None);
    }
}
