//! Strangers that hold connections open stop neither members nor new nodes.
#![cfg(target_os = "linux")] // other systems have only one loopback address of each family
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, pair};
use futures::StreamExt;
use libp2p::{Multiaddr, SwarmBuilder, multiaddr::Protocol, noise, ping, tcp, yamux};
use sentinel_model::{Millis, Reachability};
use sentinel_swarm::Invitation;
use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

/// How long a member or a new node may take to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the first address of a node, as its port on loopback.
async fn socket_address(node: &Node) -> SocketAddr {
    let (text, _) = node.swarm.invite(Millis::secs(600)).await.unwrap();
    let address = text.parse::<Invitation>().unwrap().addresses()[0].clone();
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap()))
}

async fn connect_from(source: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(to).await
}

/// Keeps `count` silent connections to a node open, from addresses in one /24.
async fn hold_silent_connections(to: SocketAddr, count: usize) {
    let mut held = Vec::new();
    loop {
        for number in 0..count {
            let source = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number % 200).unwrap());
            held.extend(connect_from(source, to).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The node closes them after a while, and then they are opened again.
        held.retain(|stream| !matches!(stream.try_read(&mut [0; 1]), Ok(0)));
        held.truncate(2000);
    }
}

/// Pairs two nodes, and returns how long it took.
async fn time_to_pair(owner: &Node, joiner: &Node) -> Duration {
    let began = Instant::now();
    pair(owner, joiner).await;
    began.elapsed()
}

#[tokio::test]
async fn silent_tcp_connections_from_one_network_do_not_stop_others() {
    let owner = Node::start("vps").await;
    let address = socket_address(&owner).await;
    let silent = tokio::spawn(hold_silent_connections(address, 100));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let joiner = Node::start_with("laptop", |config| config.listen.clear()).await;
    let took = time_to_pair(&owner, &joiner).await;
    assert!(took < PATIENCE, "took {took:?}");
    silent.abort();
}

/// Returns the first packets of QUIC handshakes that are never continued.
async fn quic_initial_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: Multiaddr =
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", sink.local_addr().unwrap().port()).parse().unwrap();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| ping::Behaviour::default())
        .unwrap()
        .build();
    for _ in 0..count {
        swarm.dial(address.clone()).unwrap();
    }
    let dialing = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let (mut packets, mut ids) = (Vec::new(), HashSet::new());
    let mut buffer = [0; 2048];
    while packets.len() < count {
        let length = timeout(PATIENCE, sink.recv(&mut buffer)).await.unwrap().unwrap();
        // The connection id of the destination follows its length in the sixth byte.
        let id = buffer[6..6 + usize::from(buffer[5])].to_vec();
        if ids.insert(id) {
            packets.push(buffer[..length].to_vec());
        }
    }
    dialing.abort();
    packets
}

#[tokio::test]
async fn unfinished_quic_handshakes_from_one_network_do_not_stop_others() {
    let owner = Node::start_with("vps", |config| {
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    })
    .await;
    let address = socket_address(&owner).await;
    let packets = quic_initial_packets(60).await;
    let socket = UdpSocket::bind("127.0.1.1:0").await.unwrap();
    for packet in &packets {
        socket.send_to(packet, address).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let joiner = Node::start_with("laptop", |config| config.listen.clear()).await;
    let began = Instant::now();
    pair(&owner, &joiner).await;
    assert!(began.elapsed() < Duration::from_secs(3), "took {:?}", began.elapsed());
}

/// Forwards connections to a node, so that they reach it from another loopback address.
async fn forward_from(source: Ipv4Addr, to: SocketAddr) -> Multiaddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut incoming, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut outgoing) = connect_from(source, to).await {
                    let _ = copy_bidirectional(&mut incoming, &mut outgoing).await;
                }
            });
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

/// Connects as a stranger again and again, and never proves that it holds an invitation's secret.
async fn connect_as_guest(address: Multiaddr) {
    loop {
        let mut guest = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| ping::Behaviour::default())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(1)))
            .build();
        guest.dial(address.clone()).unwrap();
        let closed = async {
            while !matches!(
                guest.select_next_some().await,
                libp2p::swarm::SwarmEvent::ConnectionClosed { .. }
                    | libp2p::swarm::SwarmEvent::OutgoingConnectionError { .. }
            ) {}
        };
        let _ = timeout(Duration::from_secs(30), closed).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn guests_without_a_proof_do_not_stop_a_new_node() {
    let owner = Node::start("vps").await;
    let target = socket_address(&owner).await;
    let address = forward_from(Ipv4Addr::new(127, 0, 1, 1), target).await;
    let guests: Vec<_> = (0..12).map(|_| tokio::spawn(connect_as_guest(address.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let joiner = Node::start_with("laptop", |config| config.listen.clear()).await;
    let took = time_to_pair(&owner, &joiner).await;
    assert!(took < PATIENCE, "took {took:?}");
    for guest in guests {
        guest.abort();
    }
}

#[tokio::test]
async fn a_member_returns_while_strangers_hold_connections() {
    let owner = Node::start("vps").await;
    let address = socket_address(&owner).await;
    let joiner = Node::start_with("laptop", |config| config.listen.clear()).await;
    pair(&owner, &joiner).await;
    let id = owner.id();
    let stopped = joiner.stop().await;
    let silent = tokio::spawn(hold_silent_connections(address, 100));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let joiner = stopped.start().await;
    joiner.reaches(&id, &[Reachability::Direct]).await;
    assert!(began.elapsed() < PATIENCE, "took {:?}", began.elapsed());
    silent.abort();
}
