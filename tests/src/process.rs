//! Programs that run on the lab's hosts.

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A program running on a host. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// Program and host, for messages.
    label: String,
    log: Option<PathBuf>,
    child: Child,
}

impl Process {
    /// Starts a command that was prepared for a host; with `log`, its output goes to that file.
    pub(crate) fn start(host: &str, mut command: Command, log: Option<PathBuf>) -> Result<Self> {
        let program =
            Path::new(command.as_std().get_program()).file_name().unwrap_or_default().to_string_lossy();
        let label = format!("{program} on {host}");
        if let Some(path) = &log {
            let file = File::options().create(true).append(true).open(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        }
        let child = command.spawn().with_context(|| format!("cannot start {label}"))?;
        Ok(Self { label, log, child })
    }

    /// Returns true while the program runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns the process id, until the process has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the child process, for access to its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the program ends.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for {}", self.label))
    }

    /// Ends the program with SIGTERM, or with SIGKILL if it takes longer than 5 s.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            // It may have ended already.
            let _ = kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM);
        }
        if timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await.with_context(|| format!("cannot kill {}", self.label))?;
        }
        Ok(())
    }

    /// Returns the last lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Adds the program's state and the end of its log to an error.
    pub(crate) fn add_log<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let state = if self.is_running() { "is still running" } else { "has ended" };
            error.context(format!("{} {state}; the end of its log:\n{}", self.label, self.log_tail(20)))
        })
    }
}

/// Checks that programs are installed, each given with the Debian package that contains it.
///
/// # Errors
/// Names every missing program and its package.
pub(crate) fn require_programs(tools: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = tools
        .iter()
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(tool, package)| format!("{tool} (package {package})"))
        .collect();
    if !missing.is_empty() {
        bail!("the lab needs programs that are not installed: {}", missing.join(", "));
    }
    Ok(())
}

fn is_installed(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(tool).is_file())
}
