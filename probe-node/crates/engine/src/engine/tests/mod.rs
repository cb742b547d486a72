//! Tests that drive the whole loop: a scripted platform, a clock that stands still until it is
//! moved, and the real store and swarm.

mod harness;
mod pauses;
mod platform;
mod storage;

use crate::{config::Config, node_names::NodeNames, part_settings};
use harness::{TestNode, TestTime, alarms, until};
use platform::ScriptedPlatform;
use sentinel_checks::OwnResolver;
use sentinel_model::{
    Command, Epoch, FindingKind, Millis, NodeRole, NoticeKind, Outcome, OutsideSocket, Program, Reply,
    Snapshot, Timestamp, TransportProtocol,
};
use sentinel_store::Store;
use sentinel_swarm as swarm;
use sentinel_swarm::{Event, Swarm};
use std::{sync::Arc, time::Duration};

/// Longer than the interval of rounds with its jitter.
const ONE_ROUND: Millis = Millis::secs(34);

/// A node whose round waits for an answer of the system that says that the tunnel is gone.
///
/// For every later question the tunnel is up. The token lets the answer through.
async fn node_with_a_late_answer() -> (TestNode, tokio_util::sync::CancellationToken) {
    let node = TestNode::start().await;
    node.platform.set_tunnel(false);
    let answer = node.platform.hold_answers();
    node.advance(ONE_ROUND).await;
    until("a round asks for the interfaces", || node.platform.held() >= 1).await;
    node.platform.answer_at_once();
    node.platform.set_tunnel(true);
    (node, answer)
}

#[tokio::test]
async fn an_observation_of_a_check_that_started_before_a_network_change_is_discarded() {
    let (node, answer) = node_with_a_late_answer().await;
    node.platform.report_change().await;
    node.until("the tunnel is seen in the new epoch", |now| {
        now.epoch == Epoch(1) && now.shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up)
    })
    .await;
    answer.cancel();
    until("the late answer is given", || node.platform.released() >= 1).await;
    node.catch_up().await;
    let now = node.snapshot();
    assert!(!alarms(&now) && now.shown.findings.is_empty(), "{:?}", now.shown.findings);
    assert!(now.shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up));
}

#[tokio::test]
async fn the_same_observation_counts_while_the_network_is_the_same() {
    let (node, answer) = node_with_a_late_answer().await;
    answer.cancel();
    node.until("the loss of the tunnel alarms", alarms).await;
    assert_eq!(node.snapshot().epoch, Epoch(0));
}

#[tokio::test]
async fn an_alarm_is_stored_before_its_notice_is_offered() {
    let node = TestNode::start().await;
    node.platform.set_tunnel(false);
    node.platform.report_change().await;
    let (id, notice) = node.engine.next_notice("test").await.unwrap();
    assert_eq!(notice.kind, NoticeKind::Alarm);
    let stored = node.engine.incidents(Timestamp(0), 10).await.unwrap();
    assert_eq!(stored.iter().map(|incident| &incident.id).collect::<Vec<_>>(), [&notice.incident]);
    assert_eq!(node.engine.next_notice("test").await.unwrap().0, id, "it is offered until it is delivered");
}

#[tokio::test]
async fn a_snapshot_is_published_every_second_when_nothing_changes() {
    let node = TestNode::start().await;
    node.catch_up().await;
    let before = node.snapshot();
    node.catch_up().await;
    assert_eq!(node.snapshot().sequence, before.sequence, "no time has passed");
    for second in 1..=3 {
        node.advance(Millis::secs(1)).await;
        node.until("the heartbeat is published", |now| now.sequence == before.sequence + second).await;
    }
    assert!(node.snapshot().at.0 >= before.at.0 + 3_000);
}

#[tokio::test]
async fn check_now_is_answered_when_a_round_that_started_later_has_ended() {
    let (node, answer) = node_with_a_late_answer().await;
    let engine = node.engine.clone();
    let check = tokio::spawn(async move { engine.command(Command::CheckNow).await });
    let asked = node.platform.calls();
    until("the local checks run", || node.platform.calls() > asked).await;
    answer.cancel();
    until("the late answer is given", || node.platform.released() >= 1).await;
    node.catch_up().await;
    assert!(!check.is_finished(), "that round had started before the command");
    node.advance(Millis::secs(1)).await;
    assert_eq!(check.await.unwrap(), Ok(Reply::Done));
}

#[tokio::test]
async fn the_loop_goes_on_when_the_system_no_longer_reports_changes() {
    let node = TestNode::start().await;
    node.platform.stop_reporting();
    let before = node.snapshot();
    node.platform.set_tunnel(false);
    node.advance(ONE_ROUND).await;
    node.until("the next round sees that the tunnel is gone", alarms).await;
    assert_eq!(node.snapshot().epoch, before.epoch);
}

#[tokio::test]
async fn a_program_past_the_tunnel_is_found_between_two_rounds() {
    let node = TestNode::start().await;
    let socket = OutsideSocket {
        id: 1,
        protocol: TransportProtocol::Udp,
        peer: "9.9.9.9:443".parse().unwrap(),
        interface: "eth0".to_owned(),
        program: Outcome::Measured(Program { name: "zoom".to_owned(), executable: None }),
        user: "alice".to_owned(),
        is_system_user: false,
        leaves_by: Outcome::Measured("eth0".to_owned()),
        heard_ago: None,
        exceeds_tunnel: false,
    };
    let is_found = |now: &Snapshot| {
        now.shown.findings.iter().any(|found| found.kind == FindingKind::ApplicationOutsideTunnel)
    };
    let rounds = node.snapshot().schedule.last_round;
    node.platform.set_outside_sockets(vec![socket]);
    let let_look = async |after: Millis| {
        let looks = node.platform.looks();
        node.advance(after).await;
        until("the sockets are looked at", || node.platform.looks() > looks).await;
        node.catch_up().await;
    };
    let_look(Millis::secs(5)).await;
    // A second look decides, and does not wait for the interval.
    let_look(Millis::secs(1)).await;
    node.until("the program is found", is_found).await;
    assert_eq!(node.snapshot().schedule.last_round, rounds, "no round was needed");
    node.platform.set_outside_sockets(Vec::new());
    let_look(Millis::secs(5)).await;
    let_look(Millis::secs(5)).await;
    node.until("it is over", |now| !is_found(now)).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_loop() {
    let node = TestNode::start_with(TestTime::running(), |_| ()).await;
    let mut snapshots = node.engine.snapshot();
    let task = node.engine.shared.task.lock().unwrap().take().unwrap();
    let TestNode { engine, dir, .. } = node;
    let last = engine.clone();
    drop(engine);
    last.command(Command::ShowHome).await.unwrap();
    drop(last);
    tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
    while snapshots.changed().await.is_ok() {}
    drop(dir);
}

/// Names that lead nowhere, for a peer that is reached by address.
fn node_names() -> Arc<dyn swarm::ResolveNames> {
    let config = Config::default();
    let platform = Arc::new(ScriptedPlatform::new());
    Arc::new(NodeNames(OwnResolver::new(&part_settings::check_settings(&config), Vec::new(), platform)))
}

/// A second node of the same swarm, which reports what it hears.
struct Peer {
    swarm: Swarm,
    events: tokio::sync::mpsc::Receiver<Event>,
    _dir: tempfile::TempDir,
}

impl Peer {
    async fn pair_with(node: &TestNode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = swarm::SwarmConfig {
            state_dir: dir.path().to_owned(),
            name: "vps".to_owned(),
            role: NodeRole::Probe,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            external: Vec::new(),
            stun: Vec::new(),
            stun_external: Vec::new(),
            canary: None,
            relay: false,
            membership: Vec::new(),
            invitation: None,
            names: node_names(),
            clock: node.time.clock(),
        };
        let (swarm, events) = Swarm::start(config).await.unwrap();
        let Ok(Reply::Invitation { text, .. }) = node.engine.command(Command::Invite).await else {
            panic!("the node makes no invitation")
        };
        let fingerprint = swarm.accept(&text).await.unwrap();
        assert_eq!(node.engine.command(Command::Confirm { fingerprint }).await, Ok(Reply::Done));
        Self { swarm, events, _dir: dir }
    }

    /// Waits until this node hears an announcement like that.
    async fn hears_an_announcement(&mut self, leaving: bool) {
        let heard = async {
            while let Some(event) = self.events.recv().await {
                if matches!(&event, Event::Announced { announcement, .. } if announcement.leaving == leaving)
                {
                    return;
                }
            }
            panic!("the peer has stopped");
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_while_a_round_is_under_way_is_quick_and_says_goodbye() {
    let node = TestNode::start_with(TestTime::running(), |config| {
        config.swarm.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    })
    .await;
    let mut peer = Peer::pair_with(&node).await;
    peer.hears_an_announcement(false).await;
    let _never = node.platform.hold_answers();
    let engine = node.engine.clone();
    let check = tokio::spawn(async move { engine.command(Command::CheckNow).await });
    until("a round waits for an answer that never comes", || node.platform.held() >= 2).await;

    let started = std::time::Instant::now();
    node.engine.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(5), "the shutdown took {:?}", started.elapsed());
    peer.hears_an_announcement(true).await;
    assert!(check.await.unwrap().is_err(), "the command is answered");
    let reopened = Store::open(node.dir.path(), node.time.clock()).await.unwrap();
    assert!(reopened.notes.is_empty(), "the store was closed cleanly");
    peer.swarm.shutdown().await;
}
