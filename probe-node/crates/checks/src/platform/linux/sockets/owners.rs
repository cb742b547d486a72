//! Which program has a socket open, found through `/proc` (proc(5)).

use sentinel_model::{Outcome, Program, Reason};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the processes may be searched for the owners of new sockets.
const MAX_SEARCH: Duration = Duration::from_millis(250);
/// More processes than a personal machine runs.
const MAX_PROCESSES: usize = 1 << 16;
/// The longest name of a process that the kernel keeps; a longer one is cut off.
const MAX_COMM: usize = 15;
/// The most that is read of a small file below `/proc`.
const MAX_FILE: u64 = 4096;
/// The device of TUN and TAP interfaces.
const TUN_DEVICE: &str = "/dev/net/tun";

/// A socket whose owner is wanted: its inode and the user that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) inode: u32,
    pub(super) uid: u32,
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketOwner {
    pub(super) pid: u32,
    pub(super) program: Program,
    /// The TUN or TAP interfaces whose device it has open.
    pub(super) devices: Vec<String>,
}

/// The process file system, at its usual place unless in a test.
pub(super) struct Processes {
    root: PathBuf,
    max_search: Duration,
}

impl Processes {
    pub(super) fn system() -> Self {
        Self { root: PathBuf::from("/proc"), max_search: MAX_SEARCH }
    }

    /// Returns the inodes of the sockets that this process has open.
    pub(super) fn own_sockets(&self) -> BTreeSet<u32> {
        let descriptors = fs::read_dir(self.root.join("self/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| socket_inode(fs::read_link(entry.path()).ok()?.as_os_str())).collect()
    }

    /// Finds the owners of sockets.
    ///
    /// The processes in `likely` are searched first, then those of the same users, then all others.
    /// Returns an entry for each socket; if the owner is unknown, with the reason.
    pub(super) fn find_owners(
        &self,
        wanted: &[Wanted],
        likely: &BTreeSet<u32>,
    ) -> BTreeMap<u32, Outcome<SocketOwner>> {
        let mut search = Search {
            processes: self,
            missing: wanted.iter().map(|wanted| wanted.inode).collect(),
            found: BTreeMap::new(),
            is_denied: false,
            deadline: Instant::now() + self.max_search,
        };
        let users: BTreeSet<u32> = wanted.iter().map(|wanted| wanted.uid).collect();
        let outcome = search.run(likely, &users);
        let reason = match outcome {
            Err(reason) => reason,
            Ok(()) if search.is_denied => {
                Reason::Refused("this program may not read the processes of other users".to_owned())
            }
            Ok(()) => Reason::Failed("no visible process has the socket open".to_owned()),
        };
        let missing = search.missing.into_iter().map(|inode| (inode, Outcome::Unknown(reason.clone())));
        let found = search.found.into_iter().map(|(inode, owner)| (inode, Outcome::Measured(owner)));
        missing.chain(found).collect()
    }

    /// Lists the numbers of all visible processes.
    fn list_pids(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.root)?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(pids.take(MAX_PROCESSES).collect())
    }

    fn read_program(&self, pid: u32) -> Program {
        let directory = self.root.join(pid.to_string());
        let comm = read_small(&directory.join("comm")).unwrap_or_default();
        let comm = comm.trim_end().to_owned();
        let link = fs::read_link(directory.join("exe")).ok();
        let executable = link.and_then(|path| {
            // The kernel marks a file that was replaced by an update.
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some(name.strip_suffix(" (deleted)").map_or(name.clone(), str::to_owned))
        });
        let name = match &executable {
            Some(file) if comm.is_empty() || (comm.len() == MAX_COMM && file.starts_with(&comm)) => {
                file.clone()
            }
            _ if comm.is_empty() => format!("process {pid}"),
            _ => comm,
        };
        Program { name, executable }
    }
}

/// A search for the owners of sockets.
struct Search<'a> {
    processes: &'a Processes,
    missing: BTreeSet<u32>,
    found: BTreeMap<u32, SocketOwner>,
    /// Whether a process could not be read.
    is_denied: bool,
    deadline: Instant,
}

impl Search<'_> {
    fn run(&mut self, likely: &BTreeSet<u32>, users: &BTreeSet<u32>) -> Result<(), Reason> {
        for pid in likely {
            self.visit(*pid)?;
        }
        let pids = self
            .processes
            .list_pids()
            .map_err(|error| Reason::Failed(format!("the processes could not be listed: {error}")))?;
        let mut others = Vec::new();
        for pid in pids.into_iter().filter(|pid| !likely.contains(pid)) {
            if self.missing.is_empty() {
                return Ok(());
            }
            self.check_time()?;
            let directory = self.processes.root.join(pid.to_string());
            let is_same_user = fs::metadata(&directory).is_ok_and(|process| users.contains(&process.uid()));
            if is_same_user {
                self.visit(pid)?;
            } else {
                others.push(pid);
            }
        }
        for pid in others {
            self.visit(pid)?;
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), Reason> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(Reason::Failed("there are too many processes and open files to search them in time".to_owned()))
    }

    /// Looks for the missing sockets among the open files of a process.
    fn visit(&mut self, pid: u32) -> Result<(), Reason> {
        if self.missing.is_empty() {
            return Ok(());
        }
        self.check_time()?;
        let directory = self.processes.root.join(pid.to_string());
        let descriptors = match fs::read_dir(directory.join("fd")) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                self.is_denied |= error.kind() == io::ErrorKind::PermissionDenied;
                return Ok(()); // or it has ended
            }
        };
        let mut inodes = Vec::new();
        let mut tun_descriptors = Vec::new();
        for (index, descriptor) in descriptors.flatten().enumerate() {
            if index % 1024 == 1023 {
                self.check_time()?;
            }
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            if let Some(inode) = socket_inode(target.as_os_str()).filter(|inode| self.missing.contains(inode))
            {
                inodes.push(inode);
            } else if target == Path::new(TUN_DEVICE) {
                tun_descriptors.push(descriptor.file_name());
            }
        }
        if inodes.is_empty() {
            return Ok(());
        }
        let info = |descriptor| read_small(&directory.join("fdinfo").join(descriptor));
        let devices = tun_descriptors.into_iter().filter_map(|descriptor| interface_of(&info(descriptor)?));
        let owner =
            SocketOwner { pid, program: self.processes.read_program(pid), devices: devices.collect() };
        for inode in inodes {
            self.missing.remove(&inode);
            self.found.insert(inode, owner.clone());
        }
        Ok(())
    }
}

/// Returns the inode if this is the target of a socket's descriptor: `socket:[4242]`.
fn socket_inode(target: &OsStr) -> Option<u32> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Returns the interface that a descriptor of the TUN device belongs to.
fn interface_of(fdinfo: &str) -> Option<String> {
    let name = fdinfo.lines().find_map(|line| line.strip_prefix("iff:"))?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn read_small(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Creates a process with these descriptors, each the target of a link.
    fn add_process(root: &Path, pid: u32, comm: &str, descriptors: &[&str]) {
        let directory = root.join(pid.to_string());
        fs::create_dir_all(directory.join("fd")).unwrap();
        fs::create_dir_all(directory.join("fdinfo")).unwrap();
        fs::write(directory.join("comm"), format!("{comm}\n")).unwrap();
        symlink(format!("/opt/{comm}-with-a-long-name"), directory.join("exe")).unwrap();
        for (number, target) in descriptors.iter().enumerate() {
            symlink(target, directory.join("fd").join(number.to_string())).unwrap();
            fs::write(directory.join("fdinfo").join(number.to_string()), "pos:\t0\niff:\twg0\n").unwrap();
        }
    }

    fn find(root: &Path, inode: u32) -> Outcome<SocketOwner> {
        let processes = Processes { root: root.to_owned(), max_search: MAX_SEARCH };
        let wanted = [Wanted { inode, uid: 0 }];
        processes.find_owners(&wanted, &BTreeSet::new()).remove(&inode).unwrap()
    }

    #[test]
    fn a_socket_is_found_among_the_descriptors_of_its_process() {
        let root = tempfile::tempdir().unwrap();
        add_process(root.path(), 7, "other", &["/dev/null", "socket:[41]", "pipe:[42]"]);
        add_process(root.path(), 8, "zoom", &["socket:[42]"]);
        add_process(root.path(), 9, "fifteen-letters", &["socket:[43]", TUN_DEVICE]);
        let Outcome::Measured(zoom) = find(root.path(), 42) else { panic!() };
        assert_eq!((zoom.pid, zoom.program.name.as_str()), (8, "zoom"));
        assert!(zoom.program.is_called("zoom-with-a-long-name") && zoom.devices.is_empty());
        let Outcome::Measured(client) = find(root.path(), 43) else { panic!() };
        assert_eq!(client.program.name, "fifteen-letters-with-a-long-name", "the kernel cuts names off");
        assert_eq!(client.devices, ["wg0"]);
    }

    #[test]
    fn an_owner_that_is_not_found_has_a_reason() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(find(root.path(), 42), Outcome::Unknown(Reason::Failed(_))));
        let absent = root.path().join("absent");
        let Outcome::Unknown(Reason::Failed(reason)) = find(&absent, 42) else { panic!() };
        assert!(reason.contains("could not be listed"), "{reason}");
    }

    #[test]
    fn a_search_ends_in_time_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        add_process(root.path(), 8, "zoom", &["socket:[42]"]);
        let processes = Processes { root: root.path().to_owned(), max_search: Duration::ZERO };
        let found = processes.find_owners(&[Wanted { inode: 42, uid: 0 }], &BTreeSet::new());
        let Some(Outcome::Unknown(Reason::Failed(reason))) = found.get(&42) else { panic!("{found:?}") };
        assert!(reason.contains("too many processes"), "{reason}");
    }

    #[test]
    fn this_process_finds_its_own_sockets() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&socket));
        let inode = socket_inode(fs::read_link(link).unwrap().as_os_str()).unwrap();
        assert!(Processes::system().own_sockets().contains(&inode));
        let owners = Processes::system().find_owners(&[Wanted { inode, uid: 0 }], &BTreeSet::new());
        let Some(Outcome::Measured(owner)) = owners.get(&inode) else { panic!("{owners:?}") };
        assert_eq!(owner.pid, std::process::id());
    }
}
