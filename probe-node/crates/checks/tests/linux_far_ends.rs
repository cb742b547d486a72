//! What says that an address is a tunnel's far end, with real tunnels in network namespaces.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use sentinel_checks::{FarEnd, platform};
use sentinel_model::{FarEndEvidence, Outcome};
use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command},
    time::{Duration, Instant},
};
use support::namespace::{in_namespace, ip, try_ip};

const SERVER: &str = "203.0.113.7";

fn far_end(address: &str, evidence: FarEndEvidence) -> FarEnd {
    FarEnd { address: address.parse().unwrap(), evidence }
}

async fn far_ends() -> Vec<FarEnd> {
    match platform().unwrap().find_far_ends().await {
        Outcome::Measured(found) => found,
        Outcome::Unknown(reason) => panic!("{reason}"),
    }
}

/// A TUN device that this process holds open, as a VPN client does.
fn tunnel() -> tun_rs::SyncDevice {
    let device = tun_rs::DeviceBuilder::new().name("tunfar0").build_sync().expect("/dev/net/tun can be used");
    ip("link set tunfar0 up");
    device
}

/// WireGuard as a program, which ends with this.
struct WireguardGo(Child);

impl WireguardGo {
    async fn start(name: &str) -> Self {
        let program = Self(Command::new("wireguard-go").args(["-f", name]).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(5);
        let is_up =
            || Command::new("ip").args(["link", "set", name, "up"]).output().unwrap().status.success();
        while !is_up() {
            assert!(Instant::now() < deadline, "wireguard-go created no interface");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        program
    }
}

impl Drop for WireguardGo {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn host_routes_are_suggestions_except_those_that_the_network_handed_out() {
    in_namespace(async || {
        assert_eq!(far_ends().await, []);
        ip("route add 203.0.113.7/32 via 192.0.2.1");
        ip("route add 203.0.113.8/32 dev eth0 proto static");
        ip("-6 route add 2001:db8:9::7/128 via 2001:db8:1::1");
        for protocol in ["dhcp", "ra", "redirect", "kernel"] {
            ip(&format!("route add 203.0.113.9/32 via 192.0.2.1 proto {protocol} metric 9"));
            ip("route del 203.0.113.9/32");
            ip(&format!("route add 203.0.113.10/32 via 192.0.2.1 proto {protocol}"));
            let found = far_ends().await;
            let suggested = [SERVER, "203.0.113.8", "2001:db8:9::7"];
            assert_eq!(
                found,
                suggested.map(|address| far_end(address, FarEndEvidence::HostRoute)),
                "{protocol}"
            );
            ip("route del 203.0.113.10/32");
        }
    });
}

#[test]
fn a_peer_of_wireguard_is_a_far_end_and_a_host_route_beside_it_is_not() {
    in_namespace(async || {
        let _program = WireguardGo::start("wgfar1").await;
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
        let set = ["set", "wgfar1", "peer", key, "endpoint", "203.0.113.7:51820", "allowed-ips", "0.0.0.0/0"];
        let status = Command::new("wg").args(set).status().expect("wg(8) is installed");
        assert!(status.success());
        ip("route add 203.0.113.99/32 via 192.0.2.1");
        let expected =
            [far_end(SERVER, FarEndEvidence::Peer), far_end("203.0.113.99", FarEndEvidence::HostRoute)];
        assert_eq!(far_ends().await, expected);
    });
}

#[test]
fn a_connected_socket_of_the_process_with_the_tunnel_names_the_far_end() {
    in_namespace(async || {
        let _tunnel = tunnel();
        // The far end of the test is this machine's neighbour.
        support::namespace::beyond("ip addr add 192.0.2.1/24 dev far0");
        ip("route add default via 192.0.2.1");
        ip("route add 203.0.113.7/32 via 192.0.2.1");
        ip("route add 203.0.113.8/32 via 192.0.2.1");
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((SERVER, 1194)).unwrap();
        let _resolver = {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("203.0.113.53:53").unwrap();
            socket
        };
        let expected =
            [far_end(SERVER, FarEndEvidence::Socket), far_end("203.0.113.8", FarEndEvidence::HostRoute)];
        assert_eq!(far_ends().await, expected);
        assert_eq!(far_ends().await, expected, "by the process remembered");
        // A connection on this machine says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _inner = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(far_ends().await, expected);
    });
}

#[test]
fn an_unconnected_socket_of_the_process_with_the_tunnel_speaks_for_a_single_host_route() {
    in_namespace(async || {
        let _tunnel = tunnel();
        ip("route add 203.0.113.7/32 via 192.0.2.1");
        assert_eq!(far_ends().await, [far_end(SERVER, FarEndEvidence::HostRoute)], "no socket at all");
        let _socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(far_ends().await, [far_end(SERVER, FarEndEvidence::UnconnectedSocket)]);
        ip("route add 203.0.113.8/32 via 192.0.2.1");
        let both = [SERVER, "203.0.113.8"].map(|address| far_end(address, FarEndEvidence::HostRoute));
        assert_eq!(far_ends().await, both);
    });
}

#[test]
fn the_remote_address_of_an_ip_tunnel_is_its_far_end() {
    in_namespace(async || {
        let kinds = ["ipip", "gre", "sit", "vti"];
        let mut tried = 0;
        for kind in kinds {
            let key = if kind == "vti" { " key 7" } else { "" };
            if try_ip(&format!("link add iptfar0 type {kind} remote 203.0.113.7 local 192.0.2.2{key}")) {
                ip("link set iptfar0 up");
                assert_eq!(far_ends().await, [far_end(SERVER, FarEndEvidence::Peer)], "{kind}");
                ip("link del iptfar0");
                tried += 1;
            }
        }
        println!("{tried} of {kinds:?} were tried; this kernel lacks the others");
    });
}
