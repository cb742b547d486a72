//! The program's own lookups with this platform: real servers beyond real links, and a real
//! `resolv.conf`, in namespaces of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use hickory_resolver::proto::{
    op::Message,
    rr::{RData, Record, RecordType, rdata::A},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
};
use sentinel_checks::{ExpectedTunnel, OwnResolver, default_spread, platform};
use sentinel_model::{Family, Reason};
use std::{
    fs::{self, File},
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const VPN: &str = "203.0.113.53";
const ROUTER: &str = "198.51.100.1";
/// Routed as the VPN's resolver is, but nobody answers there.
const SILENT: &str = "203.0.113.99";
const ANSWER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// The longest that a dial may wait for a name.
const PATIENCE: Duration = Duration::from_secs(4);

/// Names and the servers that were asked for them.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// A laptop whose `eth0` leads to the router and whose `wg0` leads to the VPN, and its files.
struct Laptop {
    resolver: OwnResolver,
    asked: Asked,
    etc: tempfile::TempDir,
    _beyond: Beyond,
}

/// The namespace beyond both links, which exists as long as the process in it.
struct Beyond(Child);

impl Drop for Beyond {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// Runs a test on such a laptop, if this process may create namespaces.
fn on_laptop<F: Future<Output = ()>>(test: impl FnOnce(Laptop) -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            println!("skipped: this process may not create namespaces ({error})");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { test(Laptop::start()).await });
    });
    thread.join().unwrap();
}

impl Laptop {
    fn start() -> Self {
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // A copy of /etc, so that resolv.conf can be anything, or nothing.
        let etc = tempfile::tempdir().unwrap();
        run(&format!("cp -a /etc/. {}", etc.path().display()));
        mount(Some(etc.path()), "/etc", none, MsFlags::MS_BIND, none).unwrap();
        run("ip link set lo up");
        let beyond = Command::new("unshare").args(["--net", "sleep", "120"]).spawn().unwrap();
        let pid = beyond.id();
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        support::until("the namespace exists", || {
            fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|of| of != own)
        });
        for (link, own, other) in [("eth0", "198.51.100.142", ROUTER), ("wg0", "203.0.113.12", VPN)] {
            run(&format!("ip link add {link} type veth peer name {link} netns {pid}"));
            run(&format!("ip addr add {own}/24 dev {link}"));
            run(&format!("ip link set {link} up"));
            run(&format!("nsenter -t {pid} -n ip addr add {other}/24 dev {link}"));
            run(&format!("nsenter -t {pid} -n ip link set {link} up"));
        }
        run("ip route add default via 198.51.100.1");
        run("ip route add 0.0.0.0/1 via 203.0.113.53");
        run("ip route add 128.0.0.0/1 via 203.0.113.53");
        let asked = Asked::default();
        serve(pid, VPN, &asked);
        serve(pid, ROUTER, &asked);
        let settings = sentinel_checks::Settings { spread: default_spread(), ..support::settings() };
        let resolver = OwnResolver::new(&settings, Vec::new(), platform().unwrap());
        Self { resolver, asked, etc, _beyond: Beyond(beyond) }
    }

    fn write(&self, resolv_conf: impl AsRef<[u8]>) {
        fs::write(self.path(), resolv_conf).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.etc.path().join("resolv.conf")
    }

    fn remove(&self) {
        let path = self.path();
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            fs::remove_dir(path).unwrap();
        } else {
            let _ = fs::remove_file(path);
        }
    }

    /// Looks a name up, and asserts that it takes no longer than a dial may wait.
    async fn find(&self, name: &str) -> Result<Vec<IpAddr>, Reason> {
        let started = Instant::now();
        let found = self.resolver.find_node(name, Family::V4).await;
        assert!(started.elapsed() < PATIENCE + Duration::from_millis(500), "took {:?}", started.elapsed());
        found
    }

    /// Returns the servers that were asked for a name, in the order in which they were.
    fn servers_asked(&self, name: &str) -> Vec<String> {
        let mut servers: Vec<String> = Vec::new();
        for (asked, server) in &*self.asked.lock().unwrap() {
            if asked == name && servers.last() != Some(server) {
                servers.push(server.clone());
            }
        }
        servers
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.expect("the command is installed").success(), "{command}");
}

/// Answers at this address in the namespace of a process, over UDP and TCP.
///
/// Names that begin with `long` have too many addresses for a datagram, `none` does not exist.
/// A state of the file, and what makes it.
type Case = (&'static str, fn(&Path));

fn serve(pid: u32, address: &'static str, asked: &Asked) {
    let asked = Arc::clone(asked);
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        setns(File::open(format!("/proc/{pid}/ns/net")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let at: SocketAddr = format!("{address}:53").parse().unwrap();
        let (udp, tcp) = (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap());
        std::thread::spawn(move || serve_tcp(&tcp));
        ready.send(()).unwrap();
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let request = Message::from_vec(&buffer[..length]).unwrap();
            let name = request.queries[0].name().to_string();
            asked.lock().unwrap().push((name.trim_end_matches('.').to_owned(), address.to_owned()));
            let _ = udp.send_to(&respond(request, false), from);
        }
    });
    is_ready.recv().unwrap();
}

fn serve_tcp(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut request).unwrap();
        let response = respond(Message::from_vec(&request).unwrap(), true);
        let length = u16::try_from(response.len()).unwrap().to_be_bytes();
        std::io::Write::write_all(&mut stream, &[&length[..], &response].concat()).unwrap();
    }
}

fn respond(request: Message, over_tcp: bool) -> Vec<u8> {
    let query = request.queries[0].clone();
    let mut response = request.into_response();
    let name = query.name().to_string();
    let is_long = name.starts_with("long");
    if is_long && !over_tcp {
        response.metadata.truncation = true;
    } else if query.query_type() == RecordType::A {
        let count = if is_long { 200 } else { 1 };
        for last in 0..count {
            let IpAddr::V4(first) = ANSWER else { continue };
            let address = Ipv4Addr::from_bits(first.to_bits() + last);
            response.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(A(address))));
        }
    }
    response.to_vec().unwrap()
}

fn wg0() -> ExpectedTunnel {
    ExpectedTunnel::Interface("wg0".into())
}

#[test]
fn servers_are_asked_one_at_a_time_in_the_order_of_the_file_as_it_is_now() {
    on_laptop(async |laptop| {
        laptop.write(format!("nameserver {VPN}\nnameserver {ROUTER}\nsearch example\noptions ndots:5\n"));
        assert_eq!(laptop.find("a.example").await, Ok(vec![ANSWER]));
        assert_eq!(laptop.servers_asked("a.example"), [VPN]);
        assert!(laptop.servers_asked("a.example.example").is_empty(), "no search domain is appended");

        laptop.write(format!("nameserver {ROUTER}\n"));
        assert_eq!(laptop.find("b.example").await, Ok(vec![ANSWER]));
        assert_eq!(laptop.servers_asked("b.example"), [ROUTER]);
        // Answers are kept for a moment, but not beyond a change of the network.
        laptop.find("A.example").await.unwrap();
        assert_eq!(laptop.servers_asked("a.example"), [VPN]);
        laptop.resolver.start_over();
        laptop.find("a.example").await.unwrap();
        assert_eq!(laptop.servers_asked("a.example"), [VPN, ROUTER]);

        laptop.write(format!("nameserver {SILENT}\nnameserver {ROUTER}\n"));
        assert_eq!(laptop.find("c.example").await, Ok(vec![ANSWER]));
        laptop.write(format!("nameserver {SILENT}\nnameserver {SILENT}\nnameserver 203.0.113.98\n"));
        assert!(laptop.find("d.example").await.is_err());
    });
}

#[test]
fn nothing_is_asked_past_an_expected_tunnel_whether_it_is_up_or_down() {
    on_laptop(async |laptop| {
        laptop.resolver.expect_tunnel(wg0());
        laptop.write(format!("nameserver {ROUTER}\nnameserver {VPN}\n"));
        assert_eq!(laptop.find("a.example").await, Ok(vec![ANSWER]));
        laptop.write(format!("nameserver {ROUTER}\n"));
        let reason = laptop.find("b.example").await.unwrap_err().to_string();
        assert!(reason.contains(ROUTER) && reason.contains("eth0") && reason.contains("wg0"), "{reason}");
        // The hosts file still names a node.
        fs::write(laptop.etc.path().join("hosts"), "192.0.2.77 home.example\n").unwrap();
        assert_eq!(laptop.find("home.example").await, Ok(vec!["192.0.2.77".parse().unwrap()]));

        run("ip link del wg0");
        laptop.write(format!("nameserver {VPN}\nnameserver {ROUTER}\n"));
        assert!(laptop.find("c.example").await.is_err());
        laptop.resolver.expect_tunnel(ExpectedTunnel::Unrecognised);
        assert!(laptop.find("d.example").await.is_err());
        assert!(laptop.asked.lock().unwrap().iter().all(|(_, server)| server == VPN));

        laptop.resolver.expect_tunnel(ExpectedTunnel::None);
        assert_eq!(laptop.find("e.example").await, Ok(vec![ANSWER]));
        assert_eq!(laptop.servers_asked("e.example"), [ROUTER]);
    });
}

#[test]
fn a_lookup_under_way_ends_when_the_network_changes() {
    on_laptop(async |laptop| {
        laptop.resolver.expect_tunnel(wg0());
        laptop.write(format!("nameserver {SILENT}\n"));
        let (found, ()) = tokio::join!(laptop.find("a.example"), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            run("ip link del wg0");
            laptop.resolver.start_over();
        });
        assert!(found.unwrap_err().to_string().contains("network changed"));
        assert_eq!(laptop.asked.lock().unwrap().len(), 0, "the router is asked for no repetition");
    });
}

#[test]
fn an_answer_too_long_for_a_datagram_is_fetched_over_tcp_and_bounded() {
    on_laptop(async |laptop| {
        laptop.resolver.expect_tunnel(wg0());
        laptop.write(format!("nameserver {VPN}\n"));
        let found = laptop.find("long.example").await.unwrap();
        assert!(found.len() > 30 && found.len() <= 64, "{} addresses", found.len());
    });
}

#[test]
fn addresses_and_what_is_no_name_are_never_asked_for() {
    on_laptop(async |laptop| {
        laptop.write(format!("nameserver {VPN}\n"));
        assert_eq!(laptop.find("192.0.2.1").await, Ok(vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(laptop.find("2001:db8::1").await, Ok(Vec::new()), "it has no IPv4 address");
        let long = format!("{}.example", "a".repeat(70));
        let endless = "a.".repeat(70_000);
        for wrong in ["", ".", "a..example", "B\u{fc}ro.example", "a b\0c", &long, &endless] {
            let reason = laptop.find(wrong).await.unwrap_err().to_string();
            assert!(reason.contains("not a domain name") || reason.contains("empty"), "{wrong}: {reason}");
            assert!(reason.len() < 1000, "a reason is for people: {} bytes", reason.len());
        }
        assert_eq!(laptop.asked.lock().unwrap().len(), 0);
    });
}

/// What a laptop without a network, a machine before its first lease, or a container leaves in
/// `resolv.conf`; and whether the VPN's resolver is then asked.
fn contents() -> Vec<(String, bool)> {
    let vpn = |rest: &str| (format!("nameserver {VPN}\n{rest}\n"), true);
    let without = |text: &str| (text.to_owned(), false);
    vec![
        without("# Generated by NetworkManager\n"),
        without(""),
        without("# Generated by resolvconf\noptions edns0\n"),
        without("nameserver fe80::1%eth0\n"),
        vpn("search home..lan"),
        vpn("search --"),
        vpn("search ~."),
        vpn(&format!("search {}.example", "a".repeat(70))),
        vpn("search B\u{fc}ro.example"),
        vpn(
            "sortlist 192.0.2.0/255.255.255.0 bad\noptions ndots:x timeout:70000 use-vc trust-ad\nlookup file bind",
        ),
        vpn("options attempts:0 timeout:0"),
        vpn(&format!("nameserver {}", "9".repeat(60_000))),
    ]
}

#[test]
fn every_state_of_resolv_conf_gives_an_answer_or_a_reason_in_time() {
    on_laptop(async |laptop| {
        laptop.resolver.expect_tunnel(wg0());
        for (number, (content, is_asked)) in contents().into_iter().enumerate() {
            laptop.write(&content);
            let name = format!("n{number}.example");
            let found = laptop.find(&name).await;
            let about = &content[..content.len().min(80)];
            assert_eq!(found.is_ok(), is_asked, "{about}: {found:?}");
            assert_eq!(laptop.servers_asked(&name).len(), usize::from(is_asked), "{about}");
        }
        laptop.write(format!("nameserver {VPN}\n# \u{ff}\n").replace('\u{ff}', "\u{fffd}"));
        let mut latin = format!("nameserver {VPN}\n# ").into_bytes();
        latin.extend([0xff, 0xfe, 0, b'\n']);
        laptop.write(&latin);
        assert!(laptop.find("latin.example").await.is_ok());

        let cases: [Case; 6] = [
            ("absent", |_| ()),
            ("dangling", |path| symlink("../run/nothing", path).unwrap()),
            ("loop", |path| symlink(path, path).unwrap()),
            ("folder", |path| fs::create_dir(path).unwrap()),
            ("fifo", |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()),
            ("huge", |path| fs::write(path, "nameserver 203.0.113.1\n".repeat(460_000)).unwrap()),
        ];
        for (name, make) in cases {
            laptop.remove();
            make(&laptop.path());
            let found = laptop.find(&format!("{name}.example")).await;
            assert!(found.is_err(), "{name}: {found:?}");
        }
        laptop.remove();
        laptop.write(format!("nameserver {VPN}\n"));
        assert!(laptop.find("again.example").await.is_ok(), "it recovers without a restart");
    });
}
