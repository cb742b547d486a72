//! One machine of the lab: a network namespace, a `/etc/resolv.conf` of its own, and ways to run things there.

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
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, process::Command, sync::oneshot};

/// A transport, where it matters which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// One machine of the lab. Cheap to clone; the machine itself lives as long as the sandbox or until
/// [`World`](crate::World) is dropped.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    directory: PathBuf,
    network: File,
    resolv_conf: CString,
    wireguard: CString,
}

impl Host {
    /// Opens the namespace `ip netns add` has made and gives the host its own files.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let directory = Path::new(sandbox::DIRECTORY).join(name);
        let wireguard = directory.join("wireguard");
        // A world before this one may have left its files.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&wireguard).with_context(|| format!("cannot make {}", wireguard.display()))?;
        let resolv_conf = directory.join("resolv.conf");
        fs::write(&resolv_conf, "").with_context(|| format!("cannot write {}", resolv_conf.display()))?;
        let network = File::open(Path::new("/run/netns").join(name))
            .with_context(|| format!("cannot open the network namespace of {name}"))?;
        let inner = Inner {
            name: name.to_owned(),
            network,
            resolv_conf: c_path(&resolv_conf)?,
            wireguard: c_path(&wireguard)?,
            directory,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its name, which is also the name of its network namespace: `ip -n laptop address`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A directory of its own, gone with the lab.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// A command that will run on this host. It is killed when its handle is dropped.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.adopt(std::process::Command::new(program))
    }

    /// Makes a prepared command run on this host.
    #[allow(unsafe_code)]
    pub fn adopt(&self, command: impl Into<Command>) -> Command {
        let mut command = command.into();
        let inner = Arc::clone(&self.inner);
        // SAFETY: between fork and exec only `Inner::enter` runs; it makes system calls on memory prepared before, and
        // neither allocates nor takes a lock.
        unsafe { command.pre_exec(move || inner.enter()) };
        command.kill_on_drop(true);
        command
    }

    /// Starts a program of one's own on this host, with its streams as the command says.
    pub fn spawn(&self, command: impl Into<Command>) -> Result<Process> {
        Process::start(self, self.adopt(command), None)
    }

    /// Starts a program whose output goes to `<name>.log` in [`Self::directory`].
    pub fn daemon(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(self, command, Some(self.inner.directory.join(format!("{name}.log"))))
    }

    /// Runs a program to its end, feeding it `input`, and returns what it printed.
    ///
    /// # Errors
    /// It cannot be started, or it fails; the error carries what it complained about.
    pub async fn output(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(program);
        command.args(arguments);
        output(command, input).await.with_context(|| format!("on {}", self.inner.name))
    }

    /// Runs `ip` commands, one a line, and stops at the first that fails.
    pub async fn ip(&self, lines: &str) -> Result<()> {
        self.output("ip", &["-batch", "-"], lines).await.map(drop)
    }

    /// Runs blocking code on a thread inside this host. Sockets it opens belong to the host for ever.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let joined = thread::scope(|scope| {
            let entered = || self.inner.enter().map(|()| work());
            scope.spawn(entered).join()
        });
        let Ok(outcome) = joined else { bail!("a thread on {} panicked", self.inner.name) };
        outcome.with_context(|| format!("cannot enter {}", self.inner.name))
    }

    /// Runs asynchronous code inside this host, on a thread with a runtime of its own: whatever it connects or binds, it
    /// does from there. Dropping the returned future stops the work.
    pub async fn run<F, W, T>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<T>>,
        T: Send + 'static,
    {
        let (mut done, result) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let body = move || {
            let outcome = inner.enter().context("cannot enter the host").and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    tokio::select! {
                        outcome = work() => outcome,
                        () = done.closed() => bail!("nobody waits for this any more"),
                    }
                })
            });
            // Nobody listening is the caller's choice.
            let _ = done.send(outcome);
        };
        thread::Builder::new().name(format!("on-{}", self.inner.name)).spawn(body)?;
        result.await.with_context(|| format!("the work on {} was cut short", self.inner.name))?
    }

    /// Rewrites the host's `/etc/resolv.conf` in place, as seen by every process running there.
    pub fn set_resolvers(&self, resolvers: &[IpAddr]) -> Result<()> {
        let text =
            resolvers.iter().map(|resolver| format!("nameserver {resolver}\n")).collect::<Vec<_>>().concat();
        let path = self.inner.directory.join("resolv.conf");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The processes that run on this host.
    pub(crate) fn processes(&self) -> Result<Vec<Pid>> {
        let own = self.inner.network.metadata()?.ino();
        let all = fs::read_dir("/proc").context("cannot read /proc")?;
        let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // One that ends meanwhile, or that is none of ours, cannot be looked at.
        let here =
            |id: &i32| fs::metadata(format!("/proc/{id}/ns/net")).is_ok_and(|network| network.ino() == own);
        Ok(ids.filter(here).map(Pid::from_raw).collect())
    }

    /// Sets kernel parameters: `("net/ipv4/ip_forward", "1")`.
    pub fn sysctl(&self, parameters: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            for (name, value) in parameters {
                fs::write(Path::new("/proc/sys").join(name), value)
                    .with_context(|| format!("cannot set {name}"))?;
            }
            anyhow::Ok(())
        })?
        .with_context(|| format!("on {}", self.inner.name))
    }

    /// Waits until something on this host listens on a port.
    pub async fn listening(&self, transport: Transport, port: u16, within: Duration) -> Result<()> {
        let host = self.clone();
        let seen = move || host.inside(|| wait_for_port(transport, port, Instant::now() + within));
        let found = tokio::task::spawn_blocking(seen).await??;
        ensure!(
            found,
            "nothing listens on {transport:?} port {port} of {} after {within:?}",
            self.inner.name
        );
        Ok(())
    }
}

impl Inner {
    /// Moves the calling thread into the host. Called between fork and exec too: system calls only.
    fn enter(&self) -> io::Result<()> {
        setns(&self.network, CloneFlags::CLONE_NEWNET)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&CString>;
        mount(
            Some(&*self.resolv_conf),
            c"/etc/resolv.conf",
            none.map(|s| &**s),
            MsFlags::MS_BIND,
            none.map(|s| &**s),
        )?;
        mount(
            Some(&*self.wireguard),
            c"/run/wireguard",
            none.map(|s| &**s),
            MsFlags::MS_BIND,
            none.map(|s| &**s),
        )?;
        // So that /sys/class/net shows this host's interfaces. Where the system refuses, only that view is missing.
        let _ = mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), MsFlags::empty(), none.map(|s| &**s));
        Ok(())
    }
}

/// Runs a prepared command to its end, feeding it `input`, and returns what it printed.
pub(crate) async fn output(mut command: Command, input: &str) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that fails early closes its input; its own complaint is the better error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let ended = child.wait_with_output().await.with_context(|| format!("cannot wait for {shown}"))?;
    let complaint = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{shown} failed ({}): {}", ended.status, complaint.trim());
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

fn wait_for_port(transport: Transport, port: u16, deadline: Instant) -> bool {
    loop {
        if port_is_bound(transport, port) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the kernel's socket tables (proc_pid_net(5)): the local address is the second column, the state the fourth.
fn port_is_bound(transport: Transport, port: u16) -> bool {
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
    CString::new(path.as_os_str().as_bytes()).with_context(|| format!("{} has a zero byte", path.display()))
}
