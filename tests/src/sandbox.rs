//! The lab's own corner of the machine: fresh user, mount, network and process namespaces.
//!
//! A program that wants a lab calls [`enter`] first thing in `main`, before any thread exists. It then runs itself
//! twice more: once as the first process of the new process namespace, which prepares the mounts and reaps orphans, and
//! once as the program proper. Root and an ordinary user take the same road, since both become root of a new user
//! namespace. When any of the three processes dies, for whatever reason, the kernel kills everything inside and every
//! namespace, mount and file of the lab goes with it.

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

/// Says which of the three processes this is.
const STAGE: &str = "VPNSENTINEL_LAB_STAGE";
/// The number of a listening socket brought along.
const LISTENER: &str = "VPNSENTINEL_LAB_LISTENER";
const INIT: &str = "init";
const INSIDE: &str = "inside";

/// Everything the lab writes. It is on a file system of the sandbox's own, so nothing is ever left behind.
pub const DIRECTORY: &str = "/run/lab";

/// Sockets a desktop program needs; they stay reachable although `/run` is the lab's own.
const KEPT: [&str; 2] = ["/run/user", "/run/dbus"];

/// Enters the sandbox. Must be called before any thread exists. Returns only inside; outside it waits for the inside
/// and exits with its code.
///
/// # Errors
/// The system forbids user namespaces, or mounting inside them.
pub fn enter() -> Result<()> {
    enter_with(None).map(drop)
}

/// As [`enter`], taking along a listening socket, which goes on listening where it was opened: outside.
pub fn enter_with(listener: Option<&TcpListener>) -> Result<Option<TcpListener>> {
    match env::var(STAGE).as_deref() {
        Ok(INSIDE) => inherited_listener(),
        Ok(INIT) => exit(first_process()?),
        _ => exit(outside(listener)?),
    }
}

/// Runs the body of a test in a sandbox of its own: outside, it runs this very test again through the `lab` program, and
/// inside it runs the body. `lab` is `env!("CARGO_BIN_EXE_lab")`, `test` the test's full name; [`lab_test`](crate::lab_test)
/// fills them in.
///
/// # Panics
/// If the body fails, as a test does.
#[allow(clippy::panic)]
pub fn sandboxed<W: Future<Output = Result<()>>>(lab: &str, test: &str, body: impl FnOnce() -> W) {
    let outcome = if is_inside() {
        crate::block_on(body())
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
            let (said, complained) =
                (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            println!("{said}{complained}");
            ensure!(ended.status.success(), "it failed inside the lab's sandbox");
            ensure!(said.contains("1 passed"), "{test} is not the test's full name");
            Ok(())
        })
    };
    if let Err(error) = outcome {
        panic!("{error:?}");
    }
}

/// Defines a test that runs in a sandbox of its own: `lab_test!(name, async { .. anyhow::Ok(()) });`. For use in this
/// package's own tests, at the top of a file.
#[macro_export]
macro_rules! lab_test {
    ($name:ident, $body:expr) => {
        #[test]
        fn $name() {
            $crate::sandboxed(env!("CARGO_BIN_EXE_lab"), stringify!($name), || $body);
        }
    };
}

/// Whether this process is already inside.
pub fn is_inside() -> bool {
    env::var(STAGE).as_deref() == Ok(INSIDE)
}

fn outside(listener: Option<&TcpListener>) -> Result<i32> {
    let (user, group) = (geteuid(), getegid());
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID;
    unshare(namespaces).context(
        "cannot make a user namespace: allow it with `sysctl -w kernel.unprivileged_userns_clone=1` or run as root",
    )?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))?;
    let mut command = again(INIT)?;
    if let Some(listener) = listener {
        fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot hand the listening socket on")?;
        command.env(LISTENER, listener.as_raw_fd().to_string());
    }
    let mut child = command.spawn().context("cannot run the lab again")?;
    let status = child.wait().context("cannot wait for the lab")?;
    // Without a code the first process was killed; that is a failure like any other.
    Ok(status.code().unwrap_or(1))
}

fn first_process() -> Result<i32> {
    set_pdeathsig(Signal::SIGKILL).context("cannot tie the lab to its parent")?;
    prepare_mounts().context(
        "cannot mount inside a user namespace: on Ubuntu allow it with `sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0` or run as root",
    )?;
    // Relays listen on this loopback. Where `ip` is missing, building a world will say so.
    let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    let child = again(INSIDE)?.spawn().context("cannot run the lab again")?;
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

fn again(stage: &str) -> Result<Command> {
    let program = env::current_exe().context("cannot find the lab's own program")?;
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env(STAGE, stage);
    Ok(command)
}

#[allow(unsafe_code)]
fn inherited_listener() -> Result<Option<TcpListener>> {
    let Ok(number) = env::var(LISTENER) else { return Ok(None) };
    let number: RawFd = number.parse().with_context(|| format!("{LISTENER} is no number"))?;
    // SAFETY: the process outside left this descriptor open for this one, and nobody here has taken it yet.
    let listener = unsafe { TcpListener::from_raw_fd(number) };
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("no listening socket was handed on")?;
    Ok(Some(listener))
}

fn prepare_mounts() -> Result<()> {
    bind(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // Where /proc is partly hidden (some containers), a fresh one is refused; the old one serves nearly as well.
    let _ = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    let kept: Vec<_> = KEPT.into_iter().filter_map(|path| Some((path, fs::File::open(path).ok()?))).collect();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .context("cannot mount a file system of the lab's own on /run")?;
    for (path, directory) in kept {
        fs::create_dir_all(path).with_context(|| format!("cannot make {path}"))?;
        bind(
            Some(&format!("/proc/self/fd/{}", directory.as_raw_fd())),
            path,
            MsFlags::MS_BIND | MsFlags::MS_REC,
        )?;
    }
    // What programs share by name would outlive a lab that is killed.
    let _ = mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), Some("mode=1777"));
    for path in ["/run/netns", "/run/lock", "/run/wireguard", DIRECTORY] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {path}"))?;
    }
    restore_resolv_conf()
}

/// `/etc/resolv.conf` is often a link into the `/run` that has just been hidden; each host mounts its own over it, which
/// needs something to be there.
fn restore_resolv_conf() -> Result<()> {
    let link = Path::new("/etc/resolv.conf");
    if link.exists() {
        return Ok(());
    }
    let target = fs::read_link(link).context("/etc/resolv.conf is missing: create an empty one")?;
    let target = Path::new("/etc").join(target);
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(&target, "").with_context(|| format!("cannot make {}", target.display()))
}

fn bind(source: Option<&str>, target: &str, flags: MsFlags) -> Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot mount on {target}"))
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {path}"))
}
