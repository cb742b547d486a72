//! Nodes for the tests: real ones, each with its own state directory, talking over loopback.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use sentinel_model::{
    Announcement, Clock, Millis, Moment, Monotonic, NodeId, NodeRole, NodeView, Reachability, Timestamp,
    Verdict,
};
use sentinel_swarm::{Config, Event, Swarm};
use std::{
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// When the wall clock of the tests began.
const EPOCH: i64 = 1_700_000_000_000;
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock that a test can set forward.
#[derive(Clone, Default)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn forward(&self, span: Millis) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }

    pub fn now(&self) -> Moment {
        let elapsed = u64::try_from(START.elapsed().as_millis()).unwrap() + self.0.load(Ordering::SeqCst);
        Moment { boot: Monotonic(elapsed), wall: Timestamp(EPOCH + i64::try_from(elapsed).unwrap()) }
    }

    pub fn clock(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || this.now())
    }
}

/// What a node is started with, before a test changes it.
pub fn config(name: &str, state_dir: PathBuf) -> Config {
    Config {
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
        clock: TestClock::default().clock(),
    }
}

/// A running node, with everything it reported.
pub struct Node {
    pub swarm: Swarm,
    pub config: Config,
    events: Arc<Mutex<Vec<Event>>>,
    dir: Option<Arc<tempfile::TempDir>>,
}

impl Node {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, |_| ()).await
    }

    pub async fn start_with(name: &str, change: impl FnOnce(&mut Config)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(name, dir.path().to_owned());
        change(&mut config);
        Self::run(config, Some(dir)).await
    }

    async fn run(config: Config, dir: Option<Arc<tempfile::TempDir>>) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // The second node of a test finds it installed.
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

    /// The log as a store would have it.
    pub fn log(&self) -> Vec<Vec<u8>> {
        let new = self.events().into_iter().filter_map(|event| match event {
            Event::Membership(entry) => Some(entry),
            _ => None,
        });
        self.config.membership.iter().cloned().chain(new).collect()
    }

    /// Ends the node; what is left is what a restart begins with.
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

    pub async fn reaches(&self, other: &NodeId, how: &[Reachability]) {
        let name = &self.config.name;
        until(&format!("{name} reaches {other} by {how:?}"), || {
            self.sees(other).is_some_and(|node| how.contains(&node.reachability))
        })
        .await;
    }
}

/// A node that is not running.
pub struct Stopped {
    pub config: Config,
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

/// Waits until a condition holds, with a deadline far beyond what it should take.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pairs a node with the one that invites it, and waits until they are connected as members.
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
