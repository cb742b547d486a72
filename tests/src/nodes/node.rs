//! A running node: its program and its process.

use crate::process::Process;
use anyhow::{Context, Result, ensure};
use std::{env, path::PathBuf};

/// Environment variable that names the node's program.
///
/// Without it the program is looked up next to the running one.
pub const NODE_PROGRAM: &str = "VPNSENTINEL_NODE";

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Path of the configuration file.
    pub config: PathBuf,
    pub(super) process: Process,
}

impl Node {
    /// Returns the last lines of the node's log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Returns the node's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Returns the path of the node's program.
///
/// # Errors
/// Fails if the program has not been built.
pub fn find_node_program() -> Result<PathBuf> {
    const NAME: &str = "vpnsentinel-node";
    if let Some(path) = env::var_os(NODE_PROGRAM) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{NODE_PROGRAM} names {}, which is not a file", path.display());
        return Ok(path);
    }
    let own = env::current_exe().context("cannot find the lab's own program")?;
    // A test program is one directory below the other programs.
    let found =
        own.ancestors().skip(1).take(2).map(|directory| directory.join(NAME)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{NAME} is not next to {}: build it with `cargo build -p vpnsentinel-node`, or name it in \
             {NODE_PROGRAM}",
            own.display()
        )
    })
}
