//! Files as people leave them, read by this platform and by the C library itself: whom does it ask?
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use sentinel_checks::platform;
use sentinel_model::ResolverRole;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};
use tokio::net::UdpSocket;

const VPN: &str = "203.0.113.53";
const ROUTER: &str = "198.51.100.1";
/// The addresses of all servers in the files, each of which answers that there is no such name.
const SERVERS: [&str; 5] = [VPN, ROUTER, "192.0.2.200", "203.0.113.54", "127.0.0.1"];
/// How often the C library is asked where it chooses a server at random.
const ROTATIONS: usize = 12;

type Asked = Arc<Mutex<BTreeSet<IpAddr>>>;

/// Runs a test with network, `resolv.conf` and `nsswitch.conf` of its own, if this process may.
fn in_namespaces<F: Future<Output = ()>>(file: &Path, test: impl FnOnce() -> F + Send + 'static) {
    let file = file.to_owned();
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            println!("skipped: this process may not create namespaces ({error})");
            return;
        }
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some(&file), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).unwrap();
        run("ip link set lo up");
        for server in SERVERS.iter().filter(|server| !server.starts_with("127.")) {
            run(&format!("ip addr add {server}/32 dev lo"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
    thread.join().unwrap();
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.expect("ip(8) is installed").success(), "{command}");
}

/// Answers every question at this address, and notes that it was asked.
async fn serve(address: &str, asked: Asked) {
    let address: IpAddr = address.parse().unwrap();
    let socket = UdpSocket::bind((address, 53)).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            asked.lock().unwrap().insert(address);
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            message.metadata.response_code = ResponseCode::NXDomain;
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
}

/// Returns whom the C library asks for a name.
async fn ask_c_library(asked: &Asked) -> BTreeSet<IpAddr> {
    asked.lock().unwrap().clear();
    let getent = || Command::new("getent").args(["-s", "dns", "ahosts", "who-is-asked.example"]).output();
    let output = tokio::task::spawn_blocking(getent).await.unwrap();
    output.expect("getent(1) is installed");
    asked.lock().unwrap().clone()
}

#[test]
fn the_c_library_asks_whom_this_platform_lists_as_first() {
    let all = ["203.0.113.53", "192.0.2.200", "203.0.113.54", "198.51.100.1"];
    let four: String = all.into_iter().flat_map(|server| ["nameserver ", server, "\n"]).collect();
    let before_router = |line: &str| format!("{line}nameserver {ROUTER}\n").into_bytes();
    let before_vpn = |line: &str| format!("{line}nameserver {VPN}\n").into_bytes();
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("indented", before_router("    nameserver 203.0.113.53\n")),
        ("a tab before the keyword", before_router("\tnameserver 203.0.113.53\n")),
        ("a port after a hash", before_vpn("nameserver 198.51.100.1#53\n")),
        ("a comment without a space", before_vpn("nameserver 198.51.100.1;router\n")),
        ("CRLF", before_router("nameserver 203.0.113.53\r\n")),
        ("two parts less", before_vpn("nameserver 198.3367937\n")),
        ("one part less", before_vpn("nameserver 198.51.25601\n")),
        ("one number", before_vpn("nameserver 3325256705\n")),
        ("hexadecimal", before_vpn("nameserver 0xc6.0x33.0x64.0x1\n")),
        ("octal", before_vpn("nameserver 0306.063.0144.01\n")),
        ("no octal digit", before_vpn("nameserver 198.51.100.08\n")),
        ("five parts", before_vpn("nameserver 198.51.100.1.1\n")),
        ("a sign", before_vpn("nameserver +198.51.100.1\n")),
        ("a link for IPv4", before_vpn("nameserver 198.51.100.1%lo\n")),
        ("IPv4 in IPv6", before_vpn("nameserver ::ffff:198.51.100.1\n")),
        ("a remark", before_router("nameserver 203.0.113.53 # the VPN\n")),
        ("a blank behind", before_router("nameserver 203.0.113.53 \n")),
        ("a tab behind", before_router("nameserver 203.0.113.53\t\n")),
        ("a tab before the address", before_vpn("nameserver\t198.51.100.1\n")),
        ("a vertical tab", before_vpn("nameserver\u{b}198.51.100.1\n")),
        ("two on one line", b"nameserver 203.0.113.53 198.51.100.1\n".to_vec()),
        ("a byte order mark", before_router("\u{feff}nameserver 203.0.113.53\n")),
        ("capitals", before_router("Nameserver 203.0.113.53\n")),
        ("no line end", b"nameserver 198.51.100.1\nnameserver 203.0.113.53".to_vec()),
        ("a NUL behind", before_vpn("nameserver 198.51.100.1\0x\n")),
        ("a NUL before", before_vpn("\0nameserver 198.51.100.1\n")),
        ("a NUL within", before_vpn("nameserver 198.51.100.1\0\nx")),
        ("a long line", before_vpn(&format!("nameserver 198.51.100.1 {}\n", "x".repeat(9_000)))),
        ("a long comment", before_vpn(&format!("#{}\nnameserver 198.51.100.1\n", "x".repeat(9_000)))),
        ("no text", [&[0xff, 0xfe, 0x80, b'\n'][..], &before_vpn("")].concat()),
        ("a name", before_vpn("nameserver router.example\n")),
        ("nothing", b"# empty\n".to_vec()),
        ("the unspecified address", b"nameserver 0.0.0.0\n".to_vec()),
        ("in turns, four", format!("options rotate\n{four}").into_bytes()),
        ("in turns, CRLF", format!("options rotate\r\n{four}").into_bytes()),
        ("in turns, by a prefix", format!("options rotated\n{four}").into_bytes()),
        ("not in turns", format!(" options rotate\n{four}").into_bytes()),
        ("in turns, repeated", b"options rotate\nnameserver 203.0.113.53\nnameserver 203.0.113.53\nnameserver 203.0.113.53\nnameserver 198.51.100.1\n".to_vec()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("resolv.conf");
    std::fs::write(&file, "").unwrap();
    in_namespaces(&file.clone(), async move || {
        let asked = Asked::default();
        for server in SERVERS {
            serve(server, Arc::clone(&asked)).await;
        }
        let platform = platform().unwrap();
        for (name, content) in files {
            std::fs::write(&file, &content).unwrap();
            let listed = platform.read_resolver_config().await;
            let listed = listed.measured().unwrap_or_else(|| panic!("{name}: {listed:?}"));
            let first = listed.iter().filter(|resolver| resolver.role == ResolverRole::First);
            let first: BTreeSet<IpAddr> = first.map(|resolver| resolver.address).collect();
            let mut by_c_library = BTreeSet::new();
            for _ in 0..if first.len() > 1 { ROTATIONS } else { 1 } {
                by_c_library.extend(ask_c_library(&asked).await);
            }
            assert!(!by_c_library.is_empty(), "{name}: nobody was asked");
            if first.len() == 1 {
                assert_eq!(by_c_library, first, "{name}");
            } else {
                assert!(by_c_library.is_subset(&first), "{name}: {by_c_library:?} {first:?}");
                assert!(by_c_library.len() > 1, "{name}: always {by_c_library:?}");
            }
        }
    });
}
