//! Real nodes for the tests, each with its own state directory, connected over loopback.
#![allow(dead_code, reason = "each test file uses only some of this")]

use futures::future::BoxFuture;
use sentinel_model::{
    Announcement, Clock, Family, Millis, Moment, Monotonic, NodeId, NodeRole, NodeView, Reachability, Reason,
    Timestamp, Verdict,
};
use sentinel_swarm::{Event, ResolveNames, Swarm, SwarmConfig};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// The start of the tests' wall clock.
const EPOCH: i64 = 1_700_000_000_000;
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One day, by which a wall clock may be wrong.
pub const DAY: i64 = 24 * 3600 * 1000;

/// A clock that a test can advance, and whose wall clock it can set wrong.
#[derive(Clone, Default)]
pub struct TestClock {
    advanced: Arc<AtomicU64>,
    wall_error: Arc<AtomicI64>,
}

impl TestClock {
    pub fn advance(&self, span: Millis) {
        self.advanced.fetch_add(span.0, Ordering::SeqCst);
    }

    /// Sets how far the wall clock is ahead, in milliseconds. The monotonic clock is unaffected.
    pub fn set_wall_error(&self, millis: i64) {
        self.wall_error.store(millis, Ordering::SeqCst);
    }

    pub fn now(&self) -> Moment {
        let elapsed =
            u64::try_from(START.elapsed().as_millis()).unwrap() + self.advanced.load(Ordering::SeqCst);
        let wall = EPOCH + i64::try_from(elapsed).unwrap() + self.wall_error.load(Ordering::SeqCst);
        Moment { boot: Monotonic(elapsed), wall: Timestamp(wall) }
    }

    pub fn clock(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || this.now())
    }
}

/// For nodes that are reached by address only.
pub struct NoNames;

impl ResolveNames for NoNames {
    fn resolve<'a>(&'a self, _: &'a str, _: Family) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>> {
        Box::pin(async { Err(Reason::Unsupported) })
    }
}

/// Returns the configuration of a node, for a test to change.
pub fn config(name: &str, state_dir: PathBuf) -> SwarmConfig {
    SwarmConfig {
        state_dir,
        name: name.to_owned(),
        role: NodeRole::Probe,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: Vec::new(),
        stun: Vec::new(),
        stun_external: Vec::new(),
        canary: None,
        relay: false,
        membership: Vec::new(),
        invitation: None,
        names: Arc::new(NoNames),
        clock: TestClock::default().clock(),
    }
}

/// A running node, with its events so far.
pub struct Node {
    pub swarm: Swarm,
    pub config: SwarmConfig,
    events: Arc<Mutex<Vec<Event>>>,
    dir: Option<Arc<tempfile::TempDir>>,
}

impl Node {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, |_| ()).await
    }

    pub async fn start_with(name: &str, change: impl FnOnce(&mut SwarmConfig)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(name, dir.path().to_owned());
        change(&mut config);
        Self::run(config, Some(dir)).await
    }

    async fn run(config: SwarmConfig, dir: Option<Arc<tempfile::TempDir>>) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // Fails for the second node of a test, since the subscriber is already set.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let (swarm, receiver) = Swarm::start(config.clone()).await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(collect(receiver, Arc::clone(&events)));
        Self { swarm, config, events, dir }
    }

    pub fn id(&self) -> NodeId {
        self.swarm.id()
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Returns the entries of the membership log, as a store would hold them.
    pub fn log(&self) -> Vec<Vec<u8>> {
        let new = self.events().into_iter().filter_map(|event| match event {
            Event::MembershipEntry(entry) => Some(entry),
            _ => None,
        });
        self.config.membership.iter().cloned().chain(new).collect()
    }

    /// Stops the node, and returns what is needed to restart it.
    pub async fn stop(self) -> Stopped {
        let (mut config, dir) = (self.config.clone(), self.dir.clone());
        config.membership = self.log();
        self.swarm.shutdown().await;
        Stopped { config, dir }
    }

    pub fn sees(&self, other: &NodeId) -> Option<NodeView> {
        self.swarm.view().borrow().nodes.iter().find(|node| node.id == *other).cloned()
    }

    pub async fn connected_to(&self, other: &NodeId) {
        self.reaches(other, &[Reachability::Direct, Reachability::Relayed]).await;
    }

    pub async fn reaches(&self, other: &NodeId, expected: &[Reachability]) {
        let name = &self.config.name;
        until(&format!("{name} reaches {other} by {expected:?}"), || {
            self.sees(other).is_some_and(|node| expected.contains(&node.reachability))
        })
        .await;
    }
}

/// A stopped node.
pub struct Stopped {
    pub config: SwarmConfig,
    dir: Option<Arc<tempfile::TempDir>>,
}

impl Stopped {
    pub async fn start(self) -> Node {
        Node::run(self.config, self.dir).await
    }
}

async fn collect(mut receiver: mpsc::Receiver<Event>, events: Arc<Mutex<Vec<Event>>>) {
    while let Some(event) = receiver.recv().await {
        events.lock().unwrap().push(event);
    }
}

/// Waits until a condition holds. The deadline is far beyond the time it should take.
pub async fn until(awaited: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out before {awaited}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pairs two nodes, and waits until they are connected as members.
pub async fn pair(inviter: &Node, joiner: &Node) {
    let (invitation, _) = inviter.swarm.invite(Millis::secs(600)).await.unwrap();
    let fingerprint = joiner.swarm.accept(&invitation).await.unwrap();
    assert_eq!(inviter.swarm.confirm(&fingerprint).await.unwrap(), joiner.id());
    inviter.connected_to(&joiner.id()).await;
    joiner.connected_to(&inviter.id()).await;
}

pub fn announcement(verdict: Verdict, at: i64) -> Announcement {
    Announcement {
        verdict,
        since: Timestamp(at),
        open_incidents: 0,
        leaving: false,
        home_exit: Vec::new(),
        at: Timestamp(at),
    }
}
