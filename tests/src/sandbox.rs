//! The sandbox of the lab: new user, mount, network and process namespaces.
//!
//! A program that uses the lab calls [`enter`] at the start of `main`, before any thread exists.
//! The program then starts itself twice more:
//!
//! 1. as the first process of the new process namespace, which prepares the mounts and reaps
//!    orphans;
//! 2. as the program proper.
//!
//! Root and ordinary users are treated alike: both become root of a new user namespace. When any of
//! the three processes ends, the kernel kills everything inside, and all namespaces, mounts and
//! files of the lab disappear.

use crate::runtime::block_on;
use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_pdeathsig,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, getegid, geteuid},
};
use std::{
    env, fs,
    net::TcpListener,
    os::fd::{AsRawFd, FromRawFd, RawFd},
    path::Path,
    process::{Command, exit},
};

/// Environment variable that identifies which of the three processes this is.
const STAGE: &str = "VPNSENTINEL_LAB_STAGE";
/// Environment variable with the descriptor of an inherited listening socket.
const LISTENER: &str = "VPNSENTINEL_LAB_LISTENER";
const INIT: &str = "init";
const INSIDE: &str = "inside";

/// The directory of everything that the lab writes, on a file system of the sandbox.
pub const DIRECTORY: &str = "/run/lab";

/// Directories with sockets of the desktop session, which stay reachable under the sandbox's
/// `/run`.
const KEPT: [&str; 2] = ["/run/user", "/run/dbus"];

/// Enters the sandbox. This must happen before any thread exists.
///
/// Returns only inside the sandbox. Outside, it waits for the inner process and exits with its
/// code.
///
/// # Errors
/// Fails if the system forbids user namespaces, or mounting inside them.
pub fn enter() -> Result<()> {
    enter_with(None).map(drop)
}

/// Like [`enter`], with a listening socket that keeps accepting connections from outside.
pub fn enter_with(listener: Option<&TcpListener>) -> Result<Option<TcpListener>> {
    match env::var(STAGE).as_deref() {
        Ok(INSIDE) => inherited_listener(),
        Ok(INIT) => exit(run_first_process()?),
        _ => exit(run_outside(listener)?),
    }
}

/// Runs the body of a test in a sandbox of its own.
///
/// Outside the sandbox this runs the same test again through the `lab` program; inside it runs the
/// body. `lab` is `env!("CARGO_BIN_EXE_lab")` and `test` the test's full name, both of which
/// [`lab_test`](crate::lab_test) supplies.
///
/// # Panics
/// Panics if the body fails, as a test does.
#[allow(clippy::panic)]
pub fn run_sandboxed_test<W: Future<Output = Result<()>>>(lab: &str, test: &str, body: impl FnOnce() -> W) {
    let outcome = if is_inside() {
        block_on(body())
    } else {
        env::current_exe().context("cannot find the test's own program").and_then(|program| {
            let mut command = Command::new(lab);
            command.args(["enter", "--"]).arg(program).args([
                test,
                "--exact",
                "--nocapture",
                "--include-ignored",
            ]);
            let ended = command.output().with_context(|| format!("cannot run {lab}"))?;
            let (output, errors) =
                (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            println!("{output}{errors}");
            ensure!(ended.status.success(), "the test failed inside the lab's sandbox");
            ensure!(output.contains("1 passed"), "{test} is not the test's full name");
            Ok(())
        })
    };
    if let Err(error) = outcome {
        panic!("{error:?}");
    }
}

/// Defines a test that runs in a sandbox of its own: `lab_test!(name, async { .. anyhow::Ok(())
/// });`.
///
/// It must be used at the top level of one of this package's test files.
#[macro_export]
macro_rules! lab_test {
    ($name:ident, $body:expr) => {
        #[test]
        fn $name() {
            $crate::run_sandboxed_test(env!("CARGO_BIN_EXE_lab"), stringify!($name), || $body);
        }
    };
}

/// Returns true if this process runs inside the sandbox.
pub fn is_inside() -> bool {
    env::var(STAGE).as_deref() == Ok(INSIDE)
}

/// Creates the namespaces and waits for the process inside. Returns its exit code.
fn run_outside(listener: Option<&TcpListener>) -> Result<i32> {
    let (user, group) = (geteuid(), getegid());
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID;
    unshare(namespaces).context(
        "cannot create a user namespace: allow it with `sysctl -w kernel.unprivileged_userns_clone=1` or run as root",
    )?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))?;
    let mut command = restart_as(INIT)?;
    if let Some(listener) = listener {
        fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot pass on the listening socket")?;
        command.env(LISTENER, listener.as_raw_fd().to_string());
    }
    let mut child = command.spawn().context("cannot start the lab inside the sandbox")?;
    let status = child.wait().context("cannot wait for the lab")?;
    // A process without an exit code was killed.
    Ok(status.code().unwrap_or(1))
}

/// Prepares the mounts, starts the program proper and reaps orphans. Returns the program's exit
/// code.
fn run_first_process() -> Result<i32> {
    set_pdeathsig(Signal::SIGKILL).context("cannot tie the lab to its parent")?;
    prepare_mounts().context(
        "cannot mount inside a user namespace: on Ubuntu allow it with `sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0` or run as root",
    )?;
    // Relays listen on this loopback interface. Building a world reports a missing `ip`.
    let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    let child = restart_as(INSIDE)?.spawn().context("cannot start the lab inside the sandbox")?;
    let inside = Pid::from_raw(child.id().try_into().context("process id out of range")?);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == inside => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == inside => {
                bail!("the lab was killed by {signal}")
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the lab"),
        }
    }
}

/// Returns a command that runs this program again with the same arguments, in another stage.
fn restart_as(stage: &str) -> Result<Command> {
    let program = env::current_exe().context("cannot find the lab's own program")?;
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env(STAGE, stage);
    Ok(command)
}

#[allow(unsafe_code)]
fn inherited_listener() -> Result<Option<TcpListener>> {
    let Ok(number) = env::var(LISTENER) else { return Ok(None) };
    let number: RawFd = number.parse().with_context(|| format!("{LISTENER} is not a number"))?;
    // SAFETY: the outer process left this descriptor open for this one, and nothing else owns it.
    let listener = unsafe { TcpListener::from_raw_fd(number) };
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .context("the listening socket was not passed on")?;
    Ok(Some(listener))
}

fn prepare_mounts() -> Result<()> {
    bind(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // Some containers hide parts of /proc and refuse a fresh one; the existing one is sufficient.
    let _ = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    let kept: Vec<_> = KEPT.into_iter().filter_map(|path| Some((path, fs::File::open(path).ok()?))).collect();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .context("cannot mount a file system of the lab's own on /run")?;
    for (path, directory) in kept {
        fs::create_dir_all(path).with_context(|| format!("cannot create {path}"))?;
        bind(
            Some(&format!("/proc/self/fd/{}", directory.as_raw_fd())),
            path,
            MsFlags::MS_BIND | MsFlags::MS_REC,
        )?;
    }
    // Shared memory would otherwise outlive a lab that is killed.
    let _ = mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), Some("mode=1777"));
    for path in ["/run/netns", "/run/lock", "/run/wireguard", DIRECTORY] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {path}"))?;
    }
    restore_resolv_conf()
}

/// Restores the target of `/etc/resolv.conf`, over which each host mounts its own file.
///
/// It is often a link into the original `/run`, which is no longer visible.
fn restore_resolv_conf() -> Result<()> {
    let link = Path::new("/etc/resolv.conf");
    if link.exists() {
        return Ok(());
    }
    let target = fs::read_link(link).context("/etc/resolv.conf is missing: create an empty one")?;
    let target = Path::new("/etc").join(target);
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    fs::write(&target, "").with_context(|| format!("cannot create {}", target.display()))
}

fn bind(source: Option<&str>, target: &str, flags: MsFlags) -> Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot mount on {target}"))
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {path}"))
}
