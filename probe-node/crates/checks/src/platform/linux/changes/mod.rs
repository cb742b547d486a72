//! Watches for changes of the local network.
//!
//! - Links, addresses, routes and rules: the kernel's multicast groups.
//! - Resolver configuration: inotify on its files, and a comparison every second as a fallback. A
//!   file that was mounted over causes no inotify event.
//! - Whether programs ask systemd-resolved, and what it asks each link for: a comparison every
//!   second.
//! - Waking up: the difference between two clocks.

mod kernel_events;
mod network_state;
mod resolved_state;
mod resolver_files;

use super::resolver_config::ResolverConfig;
use crate::{
    clock,
    error::CheckError,
    platform::{
        api::Change,
        sleep::SleepDetector,
        timing::{COMPARE_EVERY, QUEUE, SETTLE},
    },
};
use kernel_events::KernelEvents;
use resolver_files::ResolverFiles;
use std::{io, sync::Arc};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

/// Starts watching; the tasks end when the receiver is dropped.
///
/// Everything that happens after this returns is reported.
pub(super) fn watch(config: ResolverConfig) -> Result<mpsc::Receiver<Change>, CheckError> {
    let failed = |doing| move |source| CheckError::System { doing, source };
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other);
    let runtime = runtime.map_err(failed("watch the network without a Tokio runtime"))?;
    let kernel = KernelEvents::open().map_err(failed("listen to the kernel's network events"))?;
    let files = ResolverFiles::open(config.files());
    let (tx, rx) = mpsc::channel(QUEUE);
    let files_changed = Arc::new(Notify::new());
    runtime.spawn(resolved_state::run(config, Arc::clone(&files_changed), tx.clone()));
    runtime.spawn(run(kernel, files, files_changed, tx));
    Ok(rx)
}

/// Reports all changes but those of systemd-resolved's state, until the receiver is dropped.
///
/// Notifies `files_changed` of every reported change of the resolver configuration's files.
async fn run(
    mut kernel: KernelEvents,
    mut files: ResolverFiles,
    files_changed: Arc<Notify>,
    tx: mpsc::Sender<Change>,
) {
    let mut sleep_detector = SleepDetector::new(clock::slept());
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut changes = Vec::new();
        tokio::select! {
            () = tx.closed() => return,
            received = kernel.receive() => changes.extend(received),
            () = files.wait_for_event() => changes.extend(files.compare()),
            _ = tick.tick() => {
                changes.extend(files.compare());
                changes.extend(sleep_detector.detect_wake(clock::slept()));
            }
        }
        if changes.is_empty() {
            continue;
        }
        let settled = Instant::now() + SETTLE;
        while let Ok(received) = timeout_at(settled, kernel.receive()).await {
            changes.extend(received);
        }
        changes.sort_unstable();
        changes.dedup();
        if changes.contains(&Change::ResolverConfig) {
            files_changed.notify_one();
        }
        for change in changes {
            if tx.send(change).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::{
        bus::Bus, nsswitch::Nsswitch, resolv_conf::ResolvConf, resolved::ResolvedClient,
    };
    use std::{fs, path::Path, time::Duration};
    use tokio::time::timeout;

    async fn wait_for(rx: &mut mpsc::Receiver<Change>, wanted: Change) -> Duration {
        let started = Instant::now();
        let is_reported = timeout(Duration::from_secs(5), async {
            while let Some(change) = rx.recv().await {
                if change == wanted {
                    return true;
                }
            }
            false
        });
        assert_eq!(is_reported.await, Ok(true), "{wanted:?} was not reported");
        started.elapsed()
    }

    fn config(main: &Path) -> ResolverConfig {
        let nsswitch = Nsswitch::new(main.with_file_name("nsswitch.conf"));
        let conf = ResolvConf::new(main, "/nonexistent/upstream");
        let resolved = ResolvedClient::on(Arc::new(Bus::system()));
        ResolverConfig::new(conf, nsswitch, resolved, "/nonexistent")
    }

    fn watch_file(main: &Path) -> mpsc::Receiver<Change> {
        watch(config(main)).unwrap()
    }

    #[tokio::test]
    async fn a_resolver_configuration_written_in_place_or_replaced_is_reported_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
        let mut rx = watch_file(&main);

        fs::write(&main, "nameserver 192.0.2.2\n").unwrap();
        assert!(wait_for(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));

        let next = dir.path().join("next");
        for last in [3, 4] {
            fs::write(&next, format!("nameserver 192.0.2.{last}\n")).unwrap();
            fs::rename(&next, &main).unwrap();
            assert!(
                wait_for(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500),
                "rename {last}"
            );
        }
    }

    #[tokio::test]
    async fn a_symbolic_link_and_its_target_are_both_watched() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (main, target) = (dir.path().join("resolv.conf"), elsewhere.path().join("run.conf"));
        fs::write(&target, "nameserver 192.0.2.1\n").unwrap();
        std::os::unix::fs::symlink(&target, &main).unwrap();
        let mut rx = watch_file(&main);

        let next = elsewhere.path().join("next");
        fs::write(&next, "nameserver 192.0.2.2\n").unwrap();
        fs::rename(&next, &target).unwrap();
        assert!(wait_for(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));

        fs::remove_file(&main).unwrap();
        fs::write(&main, "nameserver 192.0.2.3\n").unwrap();
        assert!(wait_for(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));
    }

    #[tokio::test]
    async fn a_change_of_where_hosts_are_looked_up_is_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
        let mut rx = watch_file(&main);
        fs::write(dir.path().join("nsswitch.conf"), "hosts: files resolve dns\n").unwrap();
        assert!(wait_for(&mut rx, Change::ResolverConfig).await < Duration::from_millis(500));
        let again = timeout(COMPARE_EVERY * 2, async {
            while let Some(change) = rx.recv().await {
                if change == Change::ResolverConfig {
                    return;
                }
            }
        });
        assert!(again.await.is_err(), "one change was reported twice");
    }

    #[tokio::test]
    async fn the_watch_ends_with_its_receiver() {
        let dir = tempfile::tempdir().unwrap();
        let (tx, rx) = mpsc::channel(1);
        let files = ResolverFiles::open(vec![dir.path().join("a"), dir.path().join("b")]);
        let task = tokio::spawn(run(KernelEvents::open().unwrap(), files, Arc::default(), tx));
        drop(rx);
        assert!(timeout(Duration::from_secs(5), task).await.is_ok());
    }
}
