//! A host of the lab: a network namespace with its own `/etc/resolv.conf`, in which programs run.

use crate::{process::Process, sandbox};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    unistd::Pid,
};
use std::{
    ffi::{CString, OsStr},
    fs::{self, File},
    future::Future,
    io,
    net::IpAddr,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, process::Command, sync::oneshot};

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// One machine of the lab.
///
/// Cheap to clone. The machine exists until its [`World`](crate::World) is dropped or the sandbox
/// ends.
#[derive(Clone, Debug)]
pub struct Host {
    environment: Arc<HostEnvironment>,
}

/// What a process needs to run on a host.
#[derive(Debug)]
struct HostEnvironment {
    name: String,
    directory: PathBuf,
    /// The network namespace.
    network: File,
    /// What processes on the host find in place of the sandbox's own files.
    mounts: Mutex<Arc<[HostMount]>>,
}

/// A file or directory of a host that is mounted over a path of the sandbox.
#[derive(Clone, Debug)]
struct HostMount {
    source: CString,
    target: CString,
}

impl Host {
    /// Opens a namespace created by `ip netns add`, and creates the host's own files.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let directory = Path::new(sandbox::DIRECTORY).join(name);
        let wireguard = directory.join("wireguard");
        // An earlier world may have left its files.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&wireguard).with_context(|| format!("cannot create {}", wireguard.display()))?;
        let resolv_conf = directory.join("resolv.conf");
        fs::write(&resolv_conf, "").with_context(|| format!("cannot write {}", resolv_conf.display()))?;
        let network = File::open(Path::new("/run/netns").join(name))
            .with_context(|| format!("cannot open the network namespace of {name}"))?;
        let mounts = [
            HostMount { source: c_path(&resolv_conf)?, target: c"/etc/resolv.conf".to_owned() },
            HostMount { source: c_path(&wireguard)?, target: c"/run/wireguard".to_owned() },
        ];
        let mounts = Mutex::new(Arc::from(mounts));
        let environment = HostEnvironment { name: name.to_owned(), network, mounts, directory };
        Ok(Self { environment: Arc::new(environment) })
    }

    /// Returns the host's name, which is also the name of its network namespace.
    pub fn name(&self) -> &str {
        &self.environment.name
    }

    /// Returns the host's own directory, which is deleted with the sandbox.
    pub fn directory(&self) -> &Path {
        &self.environment.directory
    }

    /// Mounts a file or directory over a path of the sandbox, for processes started later.
    ///
    /// Both must exist, and be of the same kind. A later mount over the same path hides the
    /// earlier.
    pub(crate) fn mount_over(&self, target: impl AsRef<Path>, source: impl AsRef<Path>) -> Result<()> {
        let (target, source) = (target.as_ref(), source.as_ref());
        ensure!(target.exists(), "{} does not exist, so nothing can be mounted over it", target.display());
        ensure!(source.exists(), "{} does not exist", source.display());
        let added = HostMount { source: c_path(source)?, target: c_path(target)? };
        let mut mounts = self.environment.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        *mounts = mounts.iter().cloned().chain([added]).collect();
        Ok(())
    }

    /// Returns a command that will run on this host. It is killed when its handle is dropped.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.move_command(std::process::Command::new(program))
    }

    /// Changes a prepared command so that it runs on this host.
    #[allow(unsafe_code)]
    fn move_command(&self, command: impl Into<Command>) -> Command {
        let mut command = command.into();
        let (environment, mounts) = (Arc::clone(&self.environment), self.environment.list_mounts());
        // SAFETY: between fork and exec only `HostEnvironment::enter` runs. It makes system calls
        // on memory prepared before the fork, and neither allocates nor takes a lock.
        unsafe { command.pre_exec(move || environment.enter(&mounts)) };
        command.kill_on_drop(true);
        command
    }

    /// Starts any command on this host, with the streams that the command sets.
    pub fn spawn(&self, command: impl Into<Command>) -> Result<Process> {
        Process::start(self.name(), self.move_command(command), None)
    }

    /// Starts a [command of this host](Self::command) in the background.
    ///
    /// Its output goes to `<name>.log` in [`Self::directory`].
    pub fn start_daemon(&self, name: &str, command: Command) -> Result<Process> {
        let log = self.directory().join(format!("{name}.log"));
        Process::start(self.name(), command, Some(log))
    }

    /// Runs a program to its end with `input` on its standard input, and returns its output.
    ///
    /// # Errors
    /// Fails if the program cannot be started or fails; the error contains its standard error.
    pub async fn output(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(program);
        command.args(arguments);
        run_to_end(command, input).await.with_context(|| format!("on {}", self.name()))
    }

    /// Runs `ip` commands, one per line, and stops at the first that fails.
    pub async fn run_ip(&self, lines: &str) -> Result<()> {
        self.output("ip", &["-batch", "-"], lines).await.map(drop)
    }

    /// Runs blocking code on a thread inside this host.
    ///
    /// Sockets that the code opens belong to the host permanently.
    pub fn run_blocking<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let joined = thread::scope(|scope| {
            let entered = || self.environment.enter(&self.environment.list_mounts()).map(|()| work());
            scope.spawn(entered).join()
        });
        let Ok(outcome) = joined else { bail!("a thread on {} panicked", self.name()) };
        outcome.with_context(|| format!("cannot enter {}", self.name()))
    }

    /// Runs asynchronous code inside this host, on a thread with a runtime of its own.
    ///
    /// Everything the code connects or binds belongs to the host. Dropping the returned future
    /// stops the work.
    pub async fn run<F, W, T>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<T>>,
        T: Send + 'static,
    {
        let (mut done, result) = oneshot::channel();
        let environment = Arc::clone(&self.environment);
        let body = move || {
            let entered = environment.enter(&environment.list_mounts());
            let outcome = entered.context("cannot enter the host").and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    tokio::select! {
                        outcome = work() => outcome,
                        () = done.closed() => bail!("the caller no longer waits for this work"),
                    }
                })
            });
            // The caller may have dropped its end.
            let _ = done.send(outcome);
        };
        thread::Builder::new().name(format!("on-{}", self.name())).spawn(body)?;
        result.await.with_context(|| format!("the work on {} was interrupted", self.name()))?
    }

    /// Rewrites the host's `/etc/resolv.conf` in place, for every process running on the host.
    pub fn set_resolvers(&self, resolvers: &[IpAddr]) -> Result<()> {
        let text =
            resolvers.iter().map(|resolver| format!("nameserver {resolver}\n")).collect::<Vec<_>>().concat();
        let path = self.find_resolv_conf();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the file that processes on the host find at `/etc/resolv.conf`.
    ///
    /// A host with an `/etc` of its own has it there, where programs can replace it.
    fn find_resolv_conf(&self) -> PathBuf {
        let own = self.directory().join("etc/resolv.conf");
        if own.symlink_metadata().is_ok() { own } else { self.directory().join("resolv.conf") }
    }

    /// Lists the processes that run on this host.
    pub(crate) fn list_processes(&self) -> Result<Vec<Pid>> {
        let own = self.environment.network.metadata()?.ino();
        let all = fs::read_dir("/proc").context("cannot read /proc")?;
        let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // The entry of a process that has ended, or of one outside the lab, cannot be read.
        let here =
            |id: &i32| fs::metadata(format!("/proc/{id}/ns/net")).is_ok_and(|network| network.ino() == own);
        Ok(ids.filter(here).map(Pid::from_raw).collect())
    }

    /// Sets kernel parameters, given by their path under `/proc/sys`: `net/ipv4/ip_forward`.
    pub fn set_sysctl(&self, parameters: &[(&str, &str)]) -> Result<()> {
        self.run_blocking(|| {
            for (name, value) in parameters {
                fs::write(Path::new("/proc/sys").join(name), value)
                    .with_context(|| format!("cannot set {name}"))?;
            }
            anyhow::Ok(())
        })?
        .with_context(|| format!("on {}", self.name()))
    }

    /// Waits until a program on this host listens on a port.
    ///
    /// # Errors
    /// Fails if no program does in time.
    pub async fn wait_for_port(&self, transport: Transport, port: u16, within: Duration) -> Result<()> {
        let host = self.clone();
        let wait = move || host.run_blocking(|| is_bound_before(transport, port, Instant::now() + within));
        let found = tokio::task::spawn_blocking(wait).await??;
        ensure!(found, "nothing listens on {transport:?} port {port} of {} after {within:?}", self.name());
        Ok(())
    }

    /// Waits until a process of this host listens on a port; gives up at once when it ends.
    ///
    /// # Errors
    /// Fails if it does not listen in time; the error contains the end of its log.
    pub async fn wait_for_server(
        &self,
        process: &mut Process,
        transport: Transport,
        port: u16,
        within: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let waited = self.wait_for_port(transport, port, Duration::from_millis(200)).await;
            if waited.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline || !process.is_running() {
                return process.add_log(waited);
            }
        }
    }
}

impl HostEnvironment {
    fn list_mounts(&self) -> Arc<[HostMount]> {
        Arc::clone(&self.mounts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the calling thread into the host.
    ///
    /// This also runs between fork and exec, so it makes nothing but system calls.
    fn enter(&self, mounts: &[HostMount]) -> io::Result<()> {
        setns(&self.network, CloneFlags::CLONE_NEWNET)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&CString>.map(|s| &**s);
        for HostMount { source, target } in mounts {
            mount(Some(&**source), &**target, none, MsFlags::MS_BIND, none)?;
        }
        // A fresh /sys lists this host's interfaces. Where mounting it is refused, only that
        // listing is missing.
        let _ = mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), MsFlags::empty(), none);
        Ok(())
    }
}

/// Runs a prepared command to its end with `input` on its standard input, and returns its output.
///
/// # Errors
/// Fails if the command cannot be started or fails; the error contains its standard error.
pub(crate) async fn run_to_end(mut command: Command, input: &str) -> Result<String> {
    let label = format!("{:?}", command.as_std());
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot start {label}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that fails early closes its input; its own message is the better error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let ended = child.wait_with_output().await.with_context(|| format!("cannot wait for {label}"))?;
    let message = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{label} failed ({}): {}", ended.status, message.trim());
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Returns true as soon as the port is bound, false at the deadline.
fn is_bound_before(transport: Transport, port: u16, deadline: Instant) -> bool {
    loop {
        if is_bound(transport, port) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns true if a socket is bound to the port, according to the kernel's socket tables.
///
/// In these tables (proc_pid_net(5)) the second column is the local address, the fourth the state.
fn is_bound(transport: Transport, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let tables = match transport {
        Transport::Udp => ["udp", "udp6"],
        Transport::Tcp => ["tcp", "tcp6"],
    };
    let suffix = format!(":{port:04X}");
    tables.into_iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let columns: Vec<_> = line.split_whitespace().take(4).collect();
            let [_, local, _, state] = columns[..] else { return false };
            local.ends_with(&suffix) && (transport == Transport::Udp || state == LISTEN)
        })
    })
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .with_context(|| format!("{} contains a zero byte", path.display()))
}
