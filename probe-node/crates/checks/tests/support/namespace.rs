//! A network namespace per test: `eth0` of this machine, and a neighbour at the other end of its
//! wire, in a namespace of its own.

use nix::sched::{CloneFlags, unshare};
use std::{
    cell::Cell,
    process::{Child, Command},
    time::{Duration, Instant},
};

thread_local! {
    /// The process that keeps the neighbour's namespace.
    static NEIGHBOUR: Cell<u32> = const { Cell::new(0) };
}

/// Runs a test in a network namespace of its own, if this process may create one.
pub fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    // In a thread of its own, because unsharing affects the calling thread and what it starts.
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: this process may not create a network namespace ({error})");
            return;
        }
        let neighbour = Neighbour::start();
        NEIGHBOUR.set(neighbour.0.id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            ip("link set lo up");
            ip(&format!("link add eth0 type veth peer name far0 netns {}", neighbour.0.id()));
            beyond("ip link set lo up");
            beyond("ip link set far0 up");
            ip("link set eth0 up");
            ip("addr add 192.0.2.2/24 dev eth0");
            ip("-6 addr add 2001:db8:1::2/64 dev eth0 nodad");
            test().await;
        });
    });
    thread.join().unwrap();
}

/// Runs `ip` with these arguments in the namespace of the test.
pub fn ip(arguments: &str) {
    assert!(try_ip(arguments), "ip {arguments}");
}

/// Runs `ip`, and returns true if it succeeded: this kernel may lack what is asked for.
pub fn try_ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    status.expect("ip(8) is installed").success()
}

/// Runs a command in the neighbour's namespace.
pub fn beyond(command: &str) {
    let pid = NEIGHBOUR.get().to_string();
    let words = command.split_whitespace();
    let status = Command::new("nsenter").args(["-t", &pid, "-n"]).args(words).status();
    assert!(status.unwrap().success(), "{command}");
}

/// The neighbour's namespace, which exists as long as the process in it.
struct Neighbour(Child);

impl Neighbour {
    fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::read_link(format!("/proc/{}/ns/net", child.id())).is_ok_and(|of| of == own) {
            assert!(Instant::now() < deadline, "the namespace was not created");
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}
