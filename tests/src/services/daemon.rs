//! What all servers have in common: their files, and the wait until they listen.

use crate::{
    host::{Host, Transport},
    process::Process,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest time a server may take to listen. It takes a tenth of a second on a quiet machine.
const READY: Duration = Duration::from_secs(10);

/// Waits until a server listens on all of these ports.
pub(super) async fn wait_until_ready(
    host: &Host,
    mut process: Process,
    ports: &[(Transport, u16)],
) -> Result<Process> {
    for (transport, port) in ports {
        host.wait_for_server(&mut process, *transport, *port, READY).await?;
    }
    Ok(process)
}

/// Writes one of a server's files and returns its path.
pub(super) fn write_file(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
