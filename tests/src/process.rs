//! Programs that run on the lab's hosts.

use crate::host::{Host, Transport};
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
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A program running on a host. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    shown: String,
    log: Option<PathBuf>,
    child: Child,
}

impl Process {
    pub(crate) fn start(host: &Host, mut command: Command, log: Option<PathBuf>) -> Result<Self> {
        let program =
            Path::new(command.as_std().get_program()).file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{program} on {}", host.name());
        if let Some(path) = &log {
            let file = File::options().create(true).append(true).open(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        }
        let child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
        Ok(Self { shown, log, child })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id, until it has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The child itself, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for {}", self.shown))
    }

    /// Asks it to end (SIGTERM) and waits; kills it if it takes longer than 5 s.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            // It may be gone already, which is what is wanted.
            let _ = kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM);
        }
        if timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await.with_context(|| format!("cannot kill {}", self.shown))?;
        }
        Ok(())
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until it listens on a port of its host; gives up at once when it ends.
    ///
    /// # Errors
    /// It does not listen in time; the error carries the end of its log.
    pub async fn listens(
        &mut self,
        host: &Host,
        transport: Transport,
        port: u16,
        within: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let waited = host.listening(transport, port, Duration::from_millis(200)).await;
            if waited.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline || !self.is_running() {
                return self.explain(waited);
            }
        }
    }

    /// Adds to a failed wait what the program itself says.
    pub(crate) fn explain<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let state = if self.is_running() { "still runs" } else { "has ended" };
            error.context(format!("{} {state}; it said:\n{}", self.shown, self.log_tail(20)))
        })
    }
}

/// Checks that programs are installed.
///
/// # Errors
/// Names every missing program with the Debian package that has it.
pub(crate) fn require(tools: &[(&str, &str)]) -> Result<()> {
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
