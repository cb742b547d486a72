//! What the clients have in common: the mark that a script leaves, and the routes of a lease.

use crate::{host::Host, process::Process, setups::wait::retry};
use anyhow::{Context, Result, ensure};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest time until a lease is obtained and in effect. It takes a second at most on a quiet
/// machine, and three where a client waits for other clients first.
const READY: Duration = Duration::from_secs(20);

/// A file that a client's script creates when it has applied a lease.
#[derive(Debug)]
pub(super) struct LeaseMark(PathBuf);

impl LeaseMark {
    /// Returns the mark of a host, which has not been left.
    pub(super) fn new(host: &Host) -> Result<Self> {
        let mark = Self(host.directory().join("lease-applied"));
        mark.clear()?;
        Ok(mark)
    }

    /// Returns the file.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes the mark of an earlier lease.
    pub(super) fn clear(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the client has applied a lease.
    pub(super) async fn wait(&self, client: &mut Process) -> Result<()> {
        let applied = retry(READY, || async {
            ensure!(self.0.exists(), "the client has applied no lease");
            Ok(())
        })
        .await;
        client.add_log(applied)
    }
}

/// Waits until a device has a default route.
pub(super) async fn wait_for_default_route(host: &Host, device: &str) -> Result<()> {
    retry(READY, || async {
        let shown = host.output("ip", &["-4", "route", "show", "default", "dev", device], "").await?;
        ensure!(!shown.trim().is_empty(), "{device} has no default route");
        Ok(())
    })
    .await
}

/// Waits for a condition as long as for a lease.
pub(super) async fn wait_until(client: &mut Process, observe: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let seen = retry(READY, observe).await;
    client.add_log(seen)
}
