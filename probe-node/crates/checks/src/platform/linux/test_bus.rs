//! A D-Bus daemon for tests.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A D-Bus daemon private to the test.
pub(super) struct Daemon {
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon.
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = Self { daemon: Self::spawn(&dir), dir };
        bus.wait_until_up().await;
        bus
    }

    /// Replaces the daemon by a new one at the same address.
    pub(super) async fn restart(&mut self) {
        let _ = (self.daemon.kill(), self.daemon.wait());
        let _ = fs::remove_file(self.dir.path().join("bus"));
        self.daemon = Self::spawn(&self.dir);
        self.wait_until_up().await;
    }

    fn spawn(dir: &tempfile::TempDir) -> Child {
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--session", "--nofork", "--nosyslog"]);
        daemon.arg(format!("--address=unix:path={}", dir.path().join("bus").display()));
        daemon.stdout(Stdio::null()).spawn().unwrap()
    }

    async fn wait_until_up(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.dir.path().join("bus").exists() {
            assert!(Instant::now() < deadline, "the bus did not come up");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns its address.
    pub(super) fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = (self.daemon.kill(), self.daemon.wait());
    }
}
