//! Tells of changes: the kernel's multicast groups for links, addresses, routes and rules; inotify on the resolver
//! configuration with a comparison every second as a net (a file that was mounted over sends no event); a comparison of
//! what systemd-resolved asks of which link; and a difference between the clocks for having slept.

use super::{
    resolv_conf::{self, ResolvConf},
    resolved::Resolved,
};
use crate::{clock, error::CheckError, platform::Change};
use known::Known;
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;
use rustix::{fd::OwnedFd, fs::inotify, io::Errno};
use sentinel_model::Millis;
use std::{io, mem::MaybeUninit, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};

mod known;
mod links;

/// One `ip` command makes several messages; waiting this long makes them one change each, and is well within what a
/// change may take to be told.
const SETTLE: Duration = Duration::from_millis(10);
/// The net under inotify, and how soon a wake is noticed.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// The clocks are read one after the other; a shorter difference is no sleep.
const SHORTEST_SLEEP: Millis = Millis(100);
/// After an error of the netlink socket that does not go away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Beyond this many untold changes the kernel's queue holds the rest.
const QUEUE: usize = 32;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Starts watching; the tasks end when the receiver is dropped. Everything that happens after this returns is told.
pub(super) fn watch(
    resolv_conf: ResolvConf,
    resolved: Arc<Resolved>,
) -> Result<mpsc::Receiver<Change>, CheckError> {
    let failed = |doing| move |source| CheckError::System { doing, source };
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other);
    let runtime = runtime.map_err(failed("watch the network without a Tokio runtime"))?;
    let kernel = Kernel::open().map_err(failed("listen to the kernel's network events"))?;
    let files = Files::open(resolv_conf.clone());
    let (tx, rx) = mpsc::channel(QUEUE);
    let told = Arc::new(Notify::new());
    runtime.spawn(links::run(resolv_conf, resolved, Arc::clone(&told), tx.clone()));
    runtime.spawn(run(kernel, files, told, tx));
    Ok(rx)
}

/// `resolvers_told` is told of every change of the files that is told.
async fn run(mut kernel: Kernel, mut files: Files, resolvers_told: Arc<Notify>, tx: mpsc::Sender<Change>) {
    let mut slept = clock::slept();
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut found = Vec::new();
        tokio::select! {
            () = tx.closed() => return,
            changes = kernel.next() => found.extend(changes),
            () = files.touched() => found.extend(files.compare()),
            _ = tick.tick() => {
                found.extend(files.compare());
                found.extend(woke(&mut slept, clock::slept()));
            }
        }
        if found.is_empty() {
            continue;
        }
        let settled = Instant::now() + SETTLE;
        while let Ok(changes) = timeout_at(settled, kernel.next()).await {
            found.extend(changes);
        }
        found.sort_unstable();
        found.dedup();
        if found.contains(&Change::ResolverConfig) {
            resolvers_told.notify_one();
        }
        for change in found {
            if tx.send(change).await.is_err() {
                return;
            }
        }
    }
}

fn woke(slept: &mut Millis, now: Millis) -> Option<Change> {
    let since = Millis(now.0.saturating_sub(slept.0));
    if since < SHORTEST_SLEEP {
        return None;
    }
    *slept = now;
    Some(Change::Woke(since))
}

/// The kernel's events.
struct Kernel {
    socket: TokioSocket,
    known: Known,
}

impl Kernel {
    fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        // Each group is a bit of the mask the socket is bound with; all of ours are among the first 31.
        let groups = GROUPS.iter().fold(0, |mask, group| mask | group_bit(*group));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(Self { socket, known: Known::default() })
    }

    /// The next changes. Safe to cancel: nothing is read before all of it is.
    async fn next(&mut self) -> Vec<Change> {
        match self.socket.recv_from_full().await {
            // Only the kernel itself has port 0.
            Ok((datagram, sender)) if sender.port_number() == 0 => self.read(&datagram),
            Ok(_) => Vec::new(),
            Err(error) => {
                if Errno::from_io_error(&error) != Some(Errno::NOBUFS) {
                    tracing::warn!(%error, "the kernel's network events cannot be read; trying again");
                    sleep(RETRY_AFTER).await;
                }
                // Something was lost, and it can have been anything.
                self.known = Known::default();
                vec![Change::Link, Change::Address, Change::Route, Change::Rule]
            }
        }
    }

    fn read(&mut self, mut datagram: &[u8]) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok(header) = NetlinkBuffer::new_checked(datagram) {
            let length = usize::try_from(header.length()).unwrap_or(datagram.len());
            let Some((message, rest)) = datagram.split_at_checked(length) else { break };
            changes.extend(self.change(message));
            let padding = length.next_multiple_of(4) - length;
            datagram = rest.get(padding..).unwrap_or_default();
        }
        changes
    }

    fn change(&mut self, message: &[u8]) -> Option<Change> {
        let Ok(parsed) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
            // A message this library cannot read is still a change.
            return Some(Change::Link);
        };
        match parsed.payload {
            NetlinkPayload::InnerMessage(message) => self.known.change(message),
            _ => None,
        }
    }
}

fn group_bit(group: MulticastGroup) -> u32 {
    match group {
        MulticastGroup::Link => 1,
        MulticastGroup::Ipv4Ifaddr => 1 << 4,
        MulticastGroup::Ipv4Route => 1 << 6,
        MulticastGroup::Ipv4Rule => 1 << 7,
        MulticastGroup::Ipv6Ifaddr => 1 << 8,
        MulticastGroup::Ipv6Route => 1 << 10,
        MulticastGroup::Ipv6Rule => 1 << 18,
        _ => 0,
    }
}

/// The resolver configuration's files.
struct Files {
    conf: ResolvConf,
    last: Vec<Option<Vec<u8>>>,
    /// Without inotify (its limits are per user and can be used up) the comparison alone remains.
    events: Option<AsyncFd<OwnedFd>>,
}

/// Has the runtime watch a descriptor.
#[allow(unsafe_code)]
fn register(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the value handed over, which always names the same one and is never taken
    // out again, so it stays open and the same until it is deregistered.
    unsafe { AsyncFd::register(inotify) }.map_err(io::Error::from)
}

impl Files {
    fn open(conf: ResolvConf) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let events = inotify::init(flags).map_err(io::Error::from).and_then(register);
        let events = events.inspect_err(|error| tracing::warn!(%error, "inotify is unavailable")).ok();
        let mut files = Self { conf, last: Vec::new(), events };
        files.arm();
        files.last = files.read();
        files
    }

    /// Watches the files, what they link to, and the directories of both: a file can be written in place, replaced by
    /// renaming another over it, or made where there was none. Watching again what is watched changes nothing.
    fn arm(&self) {
        let Some(events) = &self.events else { return };
        for path in self.conf.files() {
            let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let paths: [Option<PathBuf>; 4] = [
                Some(path.to_owned()),
                path.parent().map(Into::into),
                target.parent().map(Into::into),
                Some(target.clone()),
            ];
            for watched in paths.into_iter().flatten() {
                use inotify::WatchFlags as Flags;
                let flags = if watched.is_dir() {
                    Flags::CREATE | Flags::DELETE | Flags::MOVE | Flags::CLOSE_WRITE
                } else {
                    Flags::MODIFY | Flags::CLOSE_WRITE | Flags::DELETE_SELF | Flags::MOVE_SELF
                };
                // What is not there cannot be watched; its directory tells when it comes.
                let _ = inotify::add_watch(events, &watched, flags);
            }
        }
    }

    /// Comes back when something about the files, or beside them, was touched.
    async fn touched(&self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        match events.readable().await {
            Ok(mut ready) => {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(events, &mut buffer);
                while reader.next().is_ok() {}
                ready.clear_ready();
            }
            Err(error) => {
                tracing::warn!(%error, "inotify cannot be read; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Whether the contents differ from when they were last compared.
    fn compare(&mut self) -> Option<Change> {
        let now = self.read();
        if now == self.last {
            return None;
        }
        self.last = now;
        self.arm();
        Some(Change::ResolverConfig)
    }

    fn read(&self) -> Vec<Option<Vec<u8>>> {
        self.conf.files().iter().map(|path| resolv_conf::contents(path).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};
    use tokio::time::timeout;

    async fn told(rx: &mut mpsc::Receiver<Change>, wanted: Change) -> Duration {
        let started = Instant::now();
        let found = timeout(Duration::from_secs(5), async {
            while let Some(change) = rx.recv().await {
                if change == wanted {
                    return true;
                }
            }
            false
        });
        assert_eq!(found.await, Ok(true), "{wanted:?} was not told");
        started.elapsed()
    }

    fn watched(main: &Path) -> mpsc::Receiver<Change> {
        watch(ResolvConf::new(main, "/nonexistent/uplink"), Arc::new(Resolved::system())).unwrap()
    }

    #[tokio::test]
    async fn a_resolver_configuration_written_in_place_or_replaced_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
        let mut rx = watched(&main);

        fs::write(&main, "nameserver 192.0.2.2\n").unwrap();
        assert!(told(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));

        let next = dir.path().join("next");
        for last in [3, 4] {
            fs::write(&next, format!("nameserver 192.0.2.{last}\n")).unwrap();
            fs::rename(&next, &main).unwrap();
            assert!(
                told(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500),
                "rename {last}"
            );
        }
    }

    #[tokio::test]
    async fn the_target_of_a_link_is_watched_and_so_is_the_link_itself() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (main, target) = (dir.path().join("resolv.conf"), elsewhere.path().join("run.conf"));
        fs::write(&target, "nameserver 192.0.2.1\n").unwrap();
        std::os::unix::fs::symlink(&target, &main).unwrap();
        let mut rx = watched(&main);

        let next = elsewhere.path().join("next");
        fs::write(&next, "nameserver 192.0.2.2\n").unwrap();
        fs::rename(&next, &target).unwrap();
        assert!(told(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));

        fs::remove_file(&main).unwrap();
        fs::write(&main, "nameserver 192.0.2.3\n").unwrap();
        assert!(told(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));
    }

    #[tokio::test]
    async fn a_file_beside_it_and_a_rewrite_of_the_same_text_are_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
        let mut files = Files::open(ResolvConf::new(&main, "/nonexistent/uplink"));
        fs::write(dir.path().join("hosts"), "x").unwrap();
        let next = dir.path().join("next");
        fs::write(&next, "nameserver 192.0.2.1\n").unwrap();
        fs::rename(&next, &main).unwrap();
        assert_eq!(timeout(Duration::from_secs(5), files.touched()).await, Ok(()));
        assert_eq!(files.compare(), None);
    }

    #[tokio::test]
    async fn the_watch_ends_with_its_receiver() {
        let dir = tempfile::tempdir().unwrap();
        let (tx, rx) = mpsc::channel(1);
        let files = Files::open(ResolvConf::new(dir.path().join("a"), dir.path().join("b")));
        let task = tokio::spawn(run(Kernel::open().unwrap(), files, Arc::default(), tx));
        drop(rx);
        assert!(timeout(Duration::from_secs(5), task).await.is_ok());
    }

    #[test]
    fn a_sleep_is_told_once_and_the_time_between_two_readings_is_none() {
        let mut slept = Millis(5_000);
        assert_eq!(woke(&mut slept, Millis(5_001)), None);
        assert_eq!(woke(&mut slept, Millis(65_000)), Some(Change::Woke(Millis::secs(60))));
        assert_eq!(woke(&mut slept, Millis(65_000)), None);
        // A clock that reads a little less than before is no sleep either.
        assert_eq!(woke(&mut slept, Millis(64_999)), None);
    }

    #[tokio::test]
    async fn garbage_from_the_kernel_is_survived() {
        let mut kernel = Kernel::open().unwrap();
        for length in 0..64_u8 {
            let datagram: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            kernel.read(&datagram);
        }
        let mut header = [0; 32];
        header[0] = 16; // a message of nothing but a header, of a kind that needs more
        header[4] = 16;
        assert_eq!(kernel.read(&header[..16]), [Change::Link]);
    }
}
