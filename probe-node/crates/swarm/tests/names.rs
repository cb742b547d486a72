//! Nodes that are reached by names, looked up by a resolver that the test decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, TestClock, pair, until};
use futures::future::BoxFuture;
use sentinel_model::{Family, Millis, Reachability, Reason};
use sentinel_swarm::{ResolveNames, SwarmConfig, SwarmError};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Names and their addresses as a test sets them, and what was asked.
#[derive(Default)]
struct Names {
    known: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<(String, Family)>>,
}

impl Names {
    fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.known.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    }

    fn asked(&self) -> Vec<(String, Family)> {
        self.asked.lock().unwrap().clone()
    }
}

impl ResolveNames for Names {
    fn resolve<'a>(&'a self, name: &'a str, family: Family) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>> {
        self.asked.lock().unwrap().push((name.to_owned(), family));
        let known = self.known.lock().unwrap().get(name).cloned();
        let of_family = move |addresses: Vec<IpAddr>| {
            addresses.into_iter().filter(|address| Family::of(*address) == family).collect()
        };
        Box::pin(async move { known.map(of_family).ok_or(Reason::TimedOut) })
    }
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Returns a port that was free a moment ago, for TCP and UDP.
fn free_port() -> u16 {
    let tcp = TcpListener::bind("[::]:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    UdpSocket::bind(("::", port)).unwrap();
    port
}

/// Listens on loopback, and is known to others by a name only.
fn known_by(name: &str, protocol: &str) -> impl FnOnce(&mut SwarmConfig) {
    let port = free_port();
    let transport = if protocol == "quic" { format!("udp/{port}/quic-v1") } else { format!("tcp/{port}") };
    let listen = ["/ip4/127.0.0.1", "/ip6/::1"].map(|ip| format!("{ip}/{transport}").parse().unwrap());
    let external = format!("/{name}/{transport}").parse().unwrap();
    move |config| {
        config.listen = listen.to_vec();
        config.external = vec![external];
    }
}

/// Does not listen, and resolves by these names.
fn asks(names: &Arc<Names>) -> impl FnOnce(&mut SwarmConfig) {
    let names = Arc::clone(names);
    |config| {
        config.listen.clear();
        config.names = names;
    }
}

#[tokio::test]
async fn a_node_is_reached_by_its_name_in_every_form_over_tcp_and_quic() {
    for (form, protocol, families) in [
        ("dns4", "tcp", vec![Family::V4]),
        ("dns6", "tcp", vec![Family::V6]),
        ("dns", "tcp", Family::ALL.to_vec()),
        ("dns4", "quic", vec![Family::V4]),
        ("dns", "quic", Family::ALL.to_vec()),
    ] {
        let names = Arc::new(Names::default());
        names.set("vps.example", &[V4, V6]);
        let vps = Node::start_with("vps", known_by(&format!("{form}/vps.example"), protocol)).await;
        let laptop = Node::start_with("laptop", asks(&names)).await;
        pair(&vps, &laptop).await;
        let asked = names.asked();
        for family in families.iter().copied() {
            assert!(asked.contains(&("vps.example".into(), family)), "{form} over {protocol}: {asked:?}");
        }
        assert!(asked.iter().all(|(_, family)| families.contains(family)), "{form}: {asked:?}");
    }
}

#[tokio::test]
async fn an_address_where_nothing_answers_does_not_keep_a_node_from_its_other_addresses() {
    let names = Arc::new(Names::default());
    names.set("vps.example", &["127.0.0.2".parse().unwrap(), V4, V6]);
    let vps = Node::start_with("vps", known_by("dns/vps.example", "tcp")).await;
    let laptop = Node::start_with("laptop", asks(&names)).await;
    pair(&vps, &laptop).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_reason_and_is_tried_again() {
    let names = Arc::new(Names::default());
    names.set("vps.example", &[V4]);
    let vps = Node::start_with("vps", known_by("dns4/vps.example", "tcp")).await;
    let laptop = Node::start_with("laptop", asks(&names)).await;
    pair(&vps, &laptop).await;
    until("the log is complete", || vps.log().len() == 2).await;
    let id = vps.id();
    let stopped = vps.stop().await;
    laptop.reaches(&id, &[Reachability::Lost]).await;
    names.known.lock().unwrap().clear();
    let reason = || laptop.sees(&id).unwrap().name_error;
    until("the reason is shown", || reason().is_some()).await;
    assert_eq!(reason().unwrap(), "the name vps.example cannot be resolved: no answer in time");

    names.set("vps.example", &[]);
    until("the reason is another", || reason().is_some_and(|reason| reason.contains("no IPv4"))).await;
    let vps = stopped.start().await;
    names.set("vps.example", &[V4]);
    laptop.connected_to(&id).await;
    assert_eq!(reason(), None);
    drop(vps);
}

#[tokio::test]
async fn a_person_who_pairs_is_told_that_the_name_in_the_invitation_does_not_resolve() {
    let (names, clock) = (Arc::new(Names::default()), TestClock::default());
    let vps = Node::start_with("vps", known_by("dns4/vps.example", "tcp")).await;
    let laptop = Node::start_with("laptop", |config| {
        asks(&names)(config);
        config.clock = clock.clock();
    })
    .await;
    let (invitation, _) = vps.swarm.invite(Millis::secs(600)).await.unwrap();
    let swarm = laptop.swarm.clone();
    let accepting = tokio::spawn(async move { swarm.accept(&invitation).await });
    until("the name was looked up twice", || names.asked().len() >= 2).await;
    clock.advance(Millis::secs(60));
    let error = tokio::time::timeout(Duration::from_secs(20), accepting).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, SwarmError::UnresolvedName { .. }), "{error}");
    assert!(
        error.to_string().contains("the name vps.example cannot be resolved: no answer in time"),
        "{error}"
    );
}

#[tokio::test]
async fn addresses_that_would_need_further_lookups_are_refused_with_the_form_to_use() {
    let names = Arc::new(Names::default());
    let vps = Node::start_with("vps", |config| {
        config.external = vec!["/dnsaddr/vps.example".parse().unwrap()];
    })
    .await;
    let clock = TestClock::default();
    let laptop = Node::start_with("laptop", |config| {
        asks(&names)(config);
        config.clock = clock.clock();
    })
    .await;
    let (invitation, _) = vps.swarm.invite(Millis::secs(600)).await.unwrap();
    let swarm = laptop.swarm.clone();
    let accepting = tokio::spawn(async move { swarm.accept(&invitation).await });
    until("the person gets an answer", || {
        clock.advance(Millis(20));
        accepting.is_finished()
    })
    .await;
    let error = accepting.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("/dnsaddr") && error.contains("/dns4"), "{error}");
    assert_eq!(names.asked(), []);
}

#[tokio::test]
async fn nodes_connect_through_a_relay_that_is_known_by_name() {
    let names = Arc::new(Names::default());
    names.set("vps.example", &[V4]);
    let relay = Node::start_with("vps", |config| {
        known_by("dns4/vps.example", "tcp")(config);
        config.relay = true;
    })
    .await;
    let first = Node::start_with("laptop", asks(&names)).await;
    let second = Node::start_with("home", asks(&names)).await;
    pair(&relay, &first).await;
    pair(&relay, &second).await;
    first.reaches(&second.id(), &[Reachability::Relayed]).await;
    second.reaches(&first.id(), &[Reachability::Relayed]).await;
    first.swarm.attest(&second.id()).await.expect("members can exchange requests through the relay");
}
