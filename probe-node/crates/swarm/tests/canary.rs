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
use std::net::SocketAddr;

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
