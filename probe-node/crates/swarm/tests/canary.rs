//! The canary zone over UDP and TCP, queried with a real DNS client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::Node;
use hickory_resolver::{
    Resolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RecordType,
};
use sentinel_swarm::CanaryConfig;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Returns an address whose port was just free on both transports.
fn free_port() -> SocketAddr {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    std::net::UdpSocket::bind(address).unwrap();
    address
}

async fn query(
    server: SocketAddr,
    mut transport: ConnectionConfig,
    name: &str,
    kind: RecordType,
) -> Vec<String> {
    transport.port = server.port();
    let config =
        ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, vec![transport])]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    let resolver = builder.build().unwrap();
    let found = resolver.lookup(name, kind).await.unwrap();
    found.answers().iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn every_name_in_the_zone_resolves_to_the_client_over_both_transports() {
    let address = free_port();
    let _node = Node::start_with("vps", |config| {
        config.canary = Some(CanaryConfig { zone: "c.probe.example".into(), listen: vec![address] });
        config.stun_external = vec!["192.0.2.10:3478".parse().unwrap()];
    })
    .await;
    for transport in [ConnectionConfig::udp(), ConnectionConfig::tcp()] {
        let text =
            query(address, transport.clone(), "0123456789abcdef.c.probe.example.", RecordType::TXT).await;
        assert_eq!(text.len(), 1);
        assert_eq!(text[0].trim_matches('"'), "127.0.0.1");
        assert_eq!(
            query(address, transport.clone(), "x.c.probe.example.", RecordType::A).await,
            ["127.0.0.1"]
        );
        assert_eq!(
            query(address, transport.clone(), "ns.c.probe.example.", RecordType::A).await,
            ["192.0.2.10"]
        );
        assert_eq!(
            query(address, transport, "c.probe.example.", RecordType::NS).await,
            ["ns.c.probe.example."]
        );
    }
}

/// Returns a query without EDNS.
fn plain_query(name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&1_u16.to_be_bytes());
    query
}

async fn response_over_udp(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(query, server).await.unwrap();
    let mut buffer = [0; 4096];
    let received = tokio::time::timeout(Duration::from_millis(700), socket.recv_from(&mut buffer)).await;
    Some(buffer[..received.ok()?.unwrap().0].to_vec())
}

#[tokio::test]
async fn no_response_over_udp_is_longer_than_three_times_its_query() {
    let address = free_port();
    let _node = Node::start_with("vps", |config| {
        config.canary = Some(CanaryConfig { zone: "c.ab".into(), listen: vec![address] });
        let one_family = (1..=8).map(|last| format!("192.0.2.{last}:3478").parse().unwrap());
        config.stun_external = one_family.collect();
        let other = (1..=8).map(|last| format!("/ip6/2001:db8::{last}/tcp/1").parse().unwrap());
        config.external = other.collect();
    })
    .await;
    for name in ["c.ab", "ns.c.ab", "x.c.ab", "x.y.c.ab", "ab", "other.example"] {
        // A, NS, SOA, MX, TXT, AAAA, ANY
        for kind in [1, 2, 6, 15, 16, 28, 255] {
            let query = plain_query(name, kind);
            let response = response_over_udp(address, &query).await.unwrap();
            assert!(
                response.len() <= 3 * query.len(),
                "{} bytes for a query of {} ({name}, type {kind})",
                response.len(),
                query.len()
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn resolvers_are_answered_during_a_flood_from_many_sources() {
    let address = free_port();
    let _node = Node::start_with("vps", |config| {
        config.canary = Some(CanaryConfig { zone: "c.probe.example".into(), listen: vec![address] });
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let flooding = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || {
            let query = plain_query("x.c.probe.example", 16);
            while !stop.load(Ordering::SeqCst) {
                for number in 0..6000_u32 {
                    let source = std::net::Ipv4Addr::from(0x7f01_0001 + number);
                    std::net::UdpSocket::bind((source, 0)).unwrap().send_to(&query, address).unwrap();
                }
                // More sources than a table should hold, but not more packets than the machine
                // handles.
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut answered = 0;
    for _ in 0..10 {
        let response = response_over_udp(address, &plain_query("y.c.probe.example", 16)).await;
        answered += u32::from(response.is_some());
    }
    stop.store(true, Ordering::SeqCst);
    flooding.await.unwrap();
    assert!(answered >= 9, "only {answered} of 10 queries were answered");
}

#[tokio::test]
async fn silent_tcp_clients_of_one_network_do_not_stop_others() {
    let address = free_port();
    let _node = Node::start_with("vps", |config| {
        config.canary = Some(CanaryConfig { zone: "c.probe.example".into(), listen: vec![address] });
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.1.1:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(address).await.unwrap());
    }
    let began = std::time::Instant::now();
    let text = query(address, ConnectionConfig::tcp(), "x.c.probe.example.", RecordType::TXT).await;
    assert_eq!(text.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "took {:?}", began.elapsed());
    drop(silent);
}
