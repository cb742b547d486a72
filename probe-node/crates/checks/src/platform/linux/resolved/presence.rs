//! Whether programs of this machine reach systemd-resolved, and whether it is in their network.
//!
//! nss-resolve connects to a socket in the file system. So a network namespace alone, without a
//! mount namespace, does not separate programs from the systemd-resolved outside: their names then
//! leave by links that they cannot see.

use crate::platform::linux::bounded_file;
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, time::timeout};

/// More than the table of a machine with thousands of sockets takes.
const MAX_TABLE: u64 = 1024 * 1024;
/// The port of plain DNS, as in the kernel's tables.
const PORT: &str = ":0035";

/// Whether programs reach systemd-resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It accepts connections.
    Reachable,
    /// Nothing listens there.
    Absent,
    /// It did not accept a connection in time.
    Undetermined,
}

/// The socket by which nss-resolve asks systemd-resolved.
#[derive(Debug)]
pub(super) struct Socket {
    folder: PathBuf,
}

impl Socket {
    /// Returns the system's socket.
    pub(super) fn system() -> Self {
        Self { folder: PathBuf::from("/run/systemd/resolve") }
    }

    /// Returns the socket in another folder.
    #[cfg(test)]
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns true if the folder is of a version that has no socket yet.
    pub(super) fn may_be_older(&self) -> bool {
        !self.path().exists() && self.folder.join("resolv.conf").exists()
    }

    /// Connects, which asks nothing.
    pub(super) async fn find_presence(&self, budget: Duration) -> Presence {
        match timeout(budget, UnixStream::connect(self.path())).await {
            Ok(Ok(_)) => Presence::Reachable,
            Ok(Err(_)) => Presence::Absent,
            Err(_) => Presence::Undetermined,
        }
    }

    /// Returns true if systemd-resolved demonstrably is in another network namespace.
    ///
    /// - Either the process that listens on the socket is in another one, where that is readable,
    /// - or `has_listener` says that it listens on 127.0.0.53, and nothing listens there.
    pub(super) async fn is_elsewhere(&self, budget: Duration, has_listener: bool) -> bool {
        match self.compare_namespaces(budget).await {
            Some(is_same) => !is_same,
            None => has_listener && has_local_listener() == Some(false),
        }
    }

    /// Returns true if the process that listens on the socket is in this network namespace.
    async fn compare_namespaces(&self, budget: Duration) -> Option<bool> {
        let stream = timeout(budget, UnixStream::connect(self.path())).await.ok()?.ok()?;
        let process = stream.peer_cred().ok()?.pid().filter(|process| *process > 0)?;
        let namespace = |path: &str| fs::metadata(path).ok().map(|link| (link.dev(), link.ino()));
        let theirs = namespace(&format!("/proc/{process}/ns/net"))?;
        Some(theirs == namespace("/proc/self/ns/net")?)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("io.systemd.Resolve")
    }
}

/// Returns true if something in this network namespace may listen on 127.0.0.53.
fn has_local_listener() -> Option<bool> {
    let read = |path: &str| bounded_file::read(Path::new(path), MAX_TABLE).ok();
    let tables = [read("/proc/self/net/udp")?, read("/proc/self/net/tcp")?];
    Some(tables.iter().any(|table| lists_listener(&String::from_utf8_lossy(table))))
}

/// Returns true if a socket table (proc_net_tcp(5)) has a socket on systemd-resolved's address.
fn lists_listener(table: &str) -> bool {
    let hex = |address: Ipv4Addr| format!("{:08X}{PORT}", u32::from_ne_bytes(address.octets()));
    let listeners =
        [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54), Ipv4Addr::UNSPECIFIED].map(hex);
    table.lines().skip(1).any(|line| {
        let local = line.split_ascii_whitespace().nth(1);
        local.is_some_and(|local| listeners.iter().any(|listener| listener == local))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_socket_is_reachable_while_somebody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let socket = Socket::in_folder(dir.path().to_owned());
        assert_eq!(socket.find_presence(BUDGET).await, Presence::Absent);
        let listener = tokio::net::UnixListener::bind(socket.path()).unwrap();
        assert_eq!(socket.find_presence(BUDGET).await, Presence::Reachable);
        assert!(!socket.is_elsewhere(BUDGET, true).await, "this process listens");
        drop(listener);
        assert_eq!(socket.find_presence(BUDGET).await, Presence::Absent, "the file alone means nothing");
        assert!(!socket.may_be_older());
    }

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let table = |local: &str| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n  \
                 12: {local} 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0\n"
            )
        };
        let local = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        assert!(lists_listener(&table(&format!("{}:0035", local([127, 0, 0, 53])))));
        assert!(lists_listener(&table("00000000:0035")));
        assert!(!lists_listener(&table(&format!("{}:0035", local([127, 0, 0, 1])))));
        assert!(!lists_listener(&table(&format!("{}:0043", local([127, 0, 0, 53])))));
        assert!(!lists_listener("") && !lists_listener("\n\n\n"));
    }
}
