//! The socket table against the kernel, in network namespaces of the tests, with programs beside a
//! tunnel that is up.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sentinel_checks::{Platform, SocketQuery, platform};
use sentinel_model::{Epoch, Millis, Outcome, OutsideSocket, PerFamily, SocketTable, TransportProtocol};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SERVER: &str = "203.0.113.7:443";
const SERVER_V6: &str = "[2001:db8:9::7]:443";
/// The instructions of a child process that plays a program.
const PLAY: &str = "SENTINEL_TEST_PROGRAM";

/// Plays a program in a process of its own: instructions separated by blanks.
#[test]
#[ignore = "a part of the other tests, which start it in a process of its own"]
fn a_program() {
    let Ok(instructions) = std::env::var(PLAY) else { return };
    let words: Vec<&str> = instructions.split_whitespace().collect();
    if words.first() == Some(&"serve") {
        return serve(words[1]);
    }
    if words.first() == Some(&"hold") {
        return hold(words[1], words[2].parse().unwrap());
    }
    let peer: SocketAddr = words[1].parse().unwrap();
    let (kind, protocol) =
        if words[0] == "udp" { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(peer), kind, Some(protocol)).unwrap();
    if domain_is_v6(peer) {
        socket.set_only_v6(false).unwrap();
    }
    let mut tunnel = None;
    for word in &words[2..] {
        match word.split_once('=').unwrap() {
            ("device", device) => socket.bind_device(Some(device.as_bytes())).unwrap(),
            ("mark", mark) => socket.set_mark(mark.parse().unwrap()).unwrap(),
            ("tunnel", name) => tunnel = Some(tun_rs::DeviceBuilder::new().name(name).build_sync().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    socket.connect(&peer.into()).unwrap();
    println!("\nconnected");
    let mut stream = TcpStream::from(socket);
    let mut line = String::new();
    // Says something for each line it is told to; ends with its standard input.
    while std::io::stdin().read_line(&mut line).unwrap() > 0 {
        stream.write_all(b"hello").unwrap();
        if protocol == Protocol::TCP {
            stream.read_exact(&mut [0; 5]).unwrap();
        }
        println!("\nanswered");
    }
    drop(tunnel);
}

fn domain_is_v6(peer: SocketAddr) -> bool {
    peer.is_ipv6()
}

/// Answers every connection with what it sends.
fn serve(addresses: &str) {
    let listeners = addresses.split(',').map(|address| TcpListener::bind(address).unwrap());
    let threads: Vec<_> = listeners
        .map(|listener| {
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
                }
            })
        })
        .collect();
    println!("\nconnected");
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Holds this many sockets open, connected with each other.
fn hold(host: &str, sockets: usize) {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let address: IpAddr = host.parse().unwrap();
    let listener = TcpListener::bind((address, 0)).unwrap();
    let pair = || {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    };
    let pairs: Vec<_> = std::iter::repeat_with(pair).take(sockets / 2).collect();
    println!("\nconnected");
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(pairs);
}

/// A child process that plays a program.
struct Program(Child);

impl Program {
    fn start(instructions: &str) -> Self {
        Self::start_with(Command::new(std::env::current_exe().unwrap()), instructions)
    }

    fn start_with(mut command: Command, instructions: &str) -> Self {
        command.args(["--ignored", "--exact", "a_program", "--nocapture"]).env(PLAY, instructions);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut program = Self(child);
        program.wait_for("connected");
        program
    }

    /// Exchanges data with the server.
    fn talk(&mut self) {
        writeln!(self.0.stdin.as_mut().unwrap(), "talk").unwrap();
        self.wait_for("answered");
    }

    /// Tells it to exchange data, without waiting for that.
    fn try_to_talk(&mut self) {
        writeln!(self.0.stdin.as_mut().unwrap(), "talk").unwrap();
    }

    fn wait_for(&mut self, word: &str) {
        let output = self.0.stdout.as_mut().unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(word.as_bytes()) {
            output.read_exact(&mut byte).unwrap_or_else(|error| panic!("{word}: {error}"));
            seen.push(byte[0]);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    assert!(status.expect("ip(8) is installed").success(), "ip {arguments}");
}

/// A machine with `eth0`, whose server is beyond it, in a namespace of its own.
struct World {
    platform: Arc<dyn Platform>,
    tunnel: Option<tun_rs::SyncDevice>,
    epoch: Epoch,
    _server: Program,
    _router: Program,
}

impl World {
    #[allow(clippy::unused_async, reason = "it needs the runtime of its callers")]
    async fn start() -> Self {
        ip("link set lo up");
        ip("link add eth0 type veth peer name far0");
        ip("addr add 192.0.2.2/24 dev eth0");
        ip("-6 addr add 2001:db8:1::2/64 dev eth0 nodad");
        ip("link set eth0 up");
        let mut unshared = Command::new("unshare");
        unshared.args(["--net", "sh", "-c", "echo; echo connected; exec sleep 60", "--"]);
        let router = Program::start_with(unshared, "");
        let pid = router.0.id();
        ip(&format!("link set far0 netns {pid}"));
        for command in [
            "link set lo up",
            "addr add 192.0.2.1/24 dev far0",
            "-6 addr add 2001:db8:1::1/64 dev far0 nodad",
            "addr add 203.0.113.7/32 dev lo",
            "-6 addr add 2001:db8:9::7/128 dev lo nodad",
            "link set far0 up",
        ] {
            let inside = ["-t", &pid.to_string(), "-n", "ip"].map(str::to_owned);
            let words = command.split_whitespace().map(str::to_owned);
            let status = Command::new("nsenter").args(inside.into_iter().chain(words)).status().unwrap();
            assert!(status.success(), "{command}");
        }
        ip("route add default via 192.0.2.1");
        ip("-6 route add default via 2001:db8:1::1");
        let mut entered = Command::new("nsenter");
        entered.args(["-t", &pid.to_string(), "-n"]).arg(std::env::current_exe().unwrap());
        let server = Program::start_with(entered, &format!("serve {SERVER},{SERVER_V6}"));
        Self {
            platform: platform().unwrap(),
            tunnel: None,
            epoch: Epoch::default(),
            _server: server,
            _router: router,
        }
    }

    /// Brings up a tunnel that takes the default routes and answers nothing.
    fn start_tunnel(&mut self) {
        self.tunnel = Some(tun_rs::DeviceBuilder::new().name("tun0").build_sync().unwrap());
        ip("addr add 10.64.0.2/32 dev tun0");
        ip("-6 addr add fd00::2/128 dev tun0 nodad");
        ip("link set tun0 up");
        for half in ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"] {
            ip(&format!("route add {half} dev tun0"));
        }
        self.epoch = self.epoch.next();
    }

    async fn look(&self) -> Vec<OutsideSocket> {
        let tunnels = PerFamily::from_fn(|_| Some("tun0".to_owned()));
        let ignored_peers = ["10.0.0.0/8", "fc00::/7", "::ffff:0:0/96"].map(|text| text.parse().unwrap());
        let query = SocketQuery { tunnels, ignored_peers: ignored_peers.to_vec(), epoch: self.epoch };
        match self.platform.list_outside_sockets(&query).await {
            Outcome::Measured(SocketTable { sockets, is_complete }) => {
                assert!(is_complete);
                sockets
            }
            Outcome::Unknown(reason) => panic!("{reason}"),
        }
    }

    async fn look_at_one(&self) -> OutsideSocket {
        let mut sockets = self.look().await;
        assert_eq!(sockets.len(), 1, "{sockets:?}");
        sockets.remove(0)
    }
}

/// Runs a test in a network namespace of its own, if this process may create one.
fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F + Send + 'static) {
    // In a thread of its own, because unsharing affects the calling thread and what it starts.
    let thread = thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: this process may not create a network namespace ({error})");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { test(World::start().await).await });
    });
    thread.join().unwrap();
}

fn measured(name: &str) -> Outcome<String> {
    Outcome::Measured(name.to_owned())
}

/// The name of this test's program, as the kernel and its file show it.
fn is_this_test(socket: &OutsideSocket) -> bool {
    let own = std::env::current_exe().unwrap();
    let own = own.file_name().unwrap().to_string_lossy().into_owned();
    socket.program.measured().is_some_and(|program| program.is_called(&own))
}

#[test]
fn a_program_bound_to_the_physical_interface_is_listed_with_its_name_and_its_progress() {
    in_world(async |mut world| {
        world.start_tunnel();
        assert_eq!(world.look().await, []);
        let mut program = Program::start(&format!("tcp {SERVER} device=eth0"));
        program.talk();
        let socket = world.look_at_one().await;
        assert_eq!((socket.protocol, socket.peer.to_string().as_str()), (TransportProtocol::Tcp, SERVER));
        assert_eq!((socket.interface.as_str(), &socket.leaves_by), ("eth0", &measured("eth0")));
        assert!(is_this_test(&socket), "{socket:?}");
        assert!(socket.heard_ago.is_some_and(|ago| ago < Millis(2000)), "{socket:?}");
        drop(program);
        assert_eq!(world.look().await, []);
    });
}

#[test]
fn a_connection_from_before_the_tunnel_is_stalled_in_it_until_a_rule_leads_it_out() {
    in_world(async |mut world| {
        let mut program = Program::start(&format!("tcp {SERVER}"));
        program.talk();
        world.start_tunnel();
        program.try_to_talk();
        thread::sleep(Duration::from_millis(400));
        let stalled = world.look_at_one().await;
        assert_eq!((stalled.interface.as_str(), &stalled.leaves_by), ("eth0", &measured("tun0")));
        assert!(stalled.heard_ago.is_some_and(|ago| ago >= Millis(400)), "{stalled:?}");
        assert!(!stalled.exceeds_tunnel);

        ip("route add default via 192.0.2.1 table 100");
        ip("rule add from 192.0.2.2 lookup 100");
        world.epoch = world.epoch.next();
        program.wait_for("answered");
        let freed = world.look_at_one().await;
        assert_eq!((freed.id, &freed.leaves_by), (stalled.id, &measured("eth0")));
        assert!(freed.heard_ago < stalled.heard_ago, "{freed:?}");
    });
}

#[test]
fn the_route_is_that_of_the_sockets_mark_user_and_port() {
    in_world(async |mut world| {
        world.start_tunnel();
        ip("route add default via 192.0.2.1 table 100");
        ip("rule add fwmark 42 lookup 100");
        let marked = Program::start(&format!("tcp {SERVER} mark=42"));
        assert_eq!(world.look_at_one().await.leaves_by, measured("eth0"));
        drop(marked);
        for rule in ["ipproto tcp dport 443", "uidrange 0-0", "to 203.0.113.7"] {
            ip(&format!("rule add {rule} lookup 100"));
            let program = Program::start(&format!("tcp {SERVER}"));
            assert_eq!(world.look_at_one().await.leaves_by, measured("eth0"), "{rule}");
            ip(&format!("rule del {rule} lookup 100"));
            world.epoch = world.epoch.next();
            assert_eq!(world.look_at_one().await.leaves_by, measured("tun0"), "without {rule}");
            drop(program);
        }
    });
}

#[test]
fn udp_ipv6_and_mapped_addresses_are_listed_too() {
    in_world(async |mut world| {
        world.start_tunnel();
        for (instructions, peer) in [
            (format!("udp {SERVER} device=eth0"), SERVER),
            (format!("tcp {SERVER_V6} device=eth0"), SERVER_V6),
            ("tcp [::ffff:203.0.113.7]:443 device=eth0".to_owned(), SERVER),
        ] {
            let program = Program::start(&instructions);
            let socket = world.look_at_one().await;
            assert_eq!((socket.peer.to_string().as_str(), &socket.leaves_by), (peer, &measured("eth0")));
            let is_udp = socket.protocol == TransportProtocol::Udp;
            assert_eq!(socket.heard_ago.is_none(), is_udp, "{socket:?}");
            drop(program);
        }
    });
}

#[test]
fn sockets_of_this_process_and_of_a_vpn_client_are_not_listed() {
    in_world(async |mut world| {
        world.start_tunnel();
        let own = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        own.bind_device(Some(b"eth0")).unwrap();
        own.connect(&SERVER.parse::<SocketAddr>().unwrap().into()).unwrap();
        let client = Program::start(&format!("tcp {SERVER} device=eth0 tunnel=tun1"));
        ip("link set tun1 up");
        assert_eq!(world.look().await, []);
        drop((own, client));
    });
}

/// Prints what a look at the table costs; the figures are in the documentation of the check.
#[test]
#[ignore = "a measurement: run it alone, in release mode"]
fn the_cost_of_a_look_at_a_long_table() {
    in_world(async |mut world| {
        world.start_tunnel();
        report_cost(&world, "no sockets").await;
        let few = Program::start("hold 127.0.0.2 500");
        report_cost(&world, "500 sockets inside").await;
        drop(few);
        // A pair of addresses has too few ports for all.
        let inside = |host: u8| Program::start(&format!("hold 127.0.0.{host} 17000"));
        let many: Vec<_> = (1..=6).map(inside).collect();
        report_cost(&world, "102,000 sockets inside").await;
        drop(many);
        let local: Vec<_> = (10..16)
            .map(|host| {
                ip(&format!("addr add 192.0.2.{host}/24 dev eth0"));
                Program::start(&format!("hold 192.0.2.{host} 17000"))
            })
            .collect();
        report_cost(&world, "102,000 sockets of the local network").await;
        drop(local);
        let mut candidates: Vec<_> = Vec::new();
        for count in [1, 50] {
            while candidates.len() < count {
                candidates.push(Program::start(&format!("tcp {SERVER} device=eth0")));
            }
            report_cost(&world, &format!("{count} candidates, each of a program of its own")).await;
        }
    });
}

async fn report_cost(world: &World, what: &str) {
    const LOOKS: u32 = 20;
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().to_owned()
    };
    world.look().await;
    let (before, started) = (cpu_time(), Instant::now());
    for _ in 0..LOOKS {
        world.look().await;
    }
    let (wall, cpu) = (started.elapsed() / LOOKS, cpu_time().saturating_sub(before) / LOOKS);
    println!("{what}: {wall:?} and {cpu:?} of CPU per look, resident {}", peak());
}

/// The CPU time that this process has used.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_task = |path: std::path::PathBuf| -> u64 {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.map(|task| of_task(task.path())).sum())
}
