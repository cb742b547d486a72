//! The processes that hold TUN devices open, from `/proc`.
//!
//! Only the processes that this one may look into are found: its own user's, or all as root.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tokio::task::yield_now;

const DEVICE: &str = "/dev/net/tun";
/// The most processes and open files of one looked into.
const MAX_PROCESSES: usize = 8192;
const MAX_FILES: usize = 4096;
/// More than the kernel's description of an open file.
const MAX_INFO: u64 = 4096;
/// How many processes are looked into before other tasks may run.
const BATCH: usize = 32;

/// Finds the owners of TUN devices. Remembers them, because searching all processes takes long.
#[derive(Default)]
pub(super) struct TunOwners {
    last: Mutex<Vec<String>>,
}

impl TunOwners {
    /// Returns the inode numbers of all sockets of the processes that own one of these devices.
    ///
    /// The search ends when the time is up, with what was found by then.
    pub async fn find(&self, devices: &BTreeSet<String>, until: Instant) -> BTreeSet<u64> {
        if devices.is_empty() {
            return BTreeSet::new();
        }
        let remembered = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut search = Search::new(devices);
        for process in &remembered {
            search.look_into(process);
        }
        if !search.has_found_all() {
            search.look_into_all(until).await;
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = search.owners;
        search.sockets
    }
}

struct Search<'a> {
    devices: &'a BTreeSet<String>,
    found: BTreeSet<String>,
    owners: Vec<String>,
    sockets: BTreeSet<u64>,
}

impl<'a> Search<'a> {
    fn new(devices: &'a BTreeSet<String>) -> Self {
        Self { devices, found: BTreeSet::new(), owners: Vec::new(), sockets: BTreeSet::new() }
    }

    fn has_found_all(&self) -> bool {
        self.found.len() == self.devices.len()
    }

    async fn look_into_all(&mut self, until: Instant) {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        let names = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let processes = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        for (number, process) in processes.take(MAX_PROCESSES).enumerate() {
            if !self.owners.contains(&process) {
                self.look_into(&process);
            }
            if self.has_found_all() || Instant::now() >= until {
                return;
            }
            if number % BATCH == BATCH - 1 {
                yield_now().await;
            }
        }
    }

    /// Adds a process's sockets if it holds one of the devices open.
    fn look_into(&mut self, process: &str) {
        let folder = Path::new("/proc").join(process);
        let Ok(files) = fs::read_dir(folder.join("fd")) else { return };
        let (mut sockets, mut devices) = (BTreeSet::new(), BTreeSet::new());
        for file in files.flatten().take(MAX_FILES) {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let Some(target) = target.to_str() else { continue };
            if target == DEVICE {
                let info = read_info(&folder.join("fdinfo").join(file.file_name()));
                devices.extend(parse_device_name(&info).map(str::to_owned));
            }
            sockets.extend(socket_inode(target));
        }
        devices.retain(|device| self.devices.contains(device));
        // The process may be of another network namespace; its sockets there are not in the tables
        // of this one, and so do not count.
        if !devices.is_empty() {
            self.found.extend(devices);
            self.sockets.extend(sockets);
            self.owners.push(process.to_owned());
        }
    }
}

fn read_info(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(MAX_INFO).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the inode number of a socket from the target of a file descriptor's link.
fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Returns the name of the device that a file descriptor of `/dev/net/tun` is attached to.
pub(crate) fn parse_device_name(info: &str) -> Option<&str> {
    let name = info.lines().find_map(|line| line.strip_prefix("iff:"))?.trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_named_in_the_description_of_the_open_file() {
        let info = "pos:\t0\nflags:\t02000002\nmnt_id:\t25\nino:\t91\niff:\ttun0\n";
        assert_eq!(parse_device_name(info), Some("tun0"));
        for other in ["", "iff:", "iff:\t\n", "pos:\t0\n iff:\ttun0", "\u{0}\u{fffd}"] {
            assert_eq!(parse_device_name(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_sockets_have_a_sockets_inode() {
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        for other in
            ["pipe:[4711]", "socket:[]", "socket:[-1]", "socket:[18446744073709551616]", "/socket:[1]"]
        {
            assert_eq!(socket_inode(other), None, "{other}");
        }
    }
}
