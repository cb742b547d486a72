//! Announcements reach every other member, whichever nodes it is connected to and since when.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{DAY, Node, Stopped, announcement, pair, until};
use futures::StreamExt;
use libp2p::{SwarmBuilder, gossipsub, identity::Keypair, noise, swarm::SwarmEvent, tcp, yamux};
use sentinel_model::{Announcement, Millis, NodeId, Reachability, Timestamp, Verdict};
use sentinel_swarm::{Event, Invitation};
use std::time::Duration;
use tokio::time::timeout;

fn announced_verdict(node: &Node, from: &NodeId) -> Option<Verdict> {
    node.sees(from)?.announced.map(|announcement| announcement.verdict)
}

#[tokio::test]
async fn an_announcement_arrives_at_the_third_node() {
    let (owner, second, third) =
        (Node::start("vps").await, Node::start("laptop").await, Node::start("home").await);
    pair(&owner, &second).await;
    pair(&owner, &third).await;
    second.swarm.announce(announcement(Verdict::Exposed, 5)).await;
    for node in [&owner, &third] {
        until("the announcement arrives", || announced_verdict(node, &second.id()) == Some(Verdict::Exposed))
            .await;
        let event = Event::Announced { node: second.id(), announcement: announcement(Verdict::Exposed, 5) };
        until("the engine gets the event", || node.events().contains(&event)).await;
    }
    // A newer announcement replaces the old one.
    third.connected_to(&second.id()).await;
    second.swarm.announce(announcement(Verdict::Protected, 9)).await;
    until("the announcement arrives", || announced_verdict(&third, &second.id()) == Some(Verdict::Protected))
        .await;
    assert_eq!(second.sees(&second.id()).unwrap().announced, Some(announcement(Verdict::Protected, 9)));
}

#[tokio::test]
async fn a_new_connection_gets_the_last_announcement_and_a_leaving_node_is_asleep() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    owner.swarm.announce(announcement(Verdict::Off, 3)).await;
    pair(&owner, &laptop).await;
    until("the announcement arrives", || announced_verdict(&laptop, &owner.id()) == Some(Verdict::Off)).await;

    let id = laptop.id();
    let leaving = Announcement { leaving: true, ..announcement(Verdict::Protected, 7) };
    laptop.swarm.announce(leaving).await;
    let stopped = laptop.stop().await;
    owner.reaches(&id, &[Reachability::Asleep]).await;
    let laptop = stopped.start().await;
    laptop.connected_to(&owner.id()).await;
    until("the announcement arrives again", || announced_verdict(&laptop, &owner.id()) == Some(Verdict::Off))
        .await;
    assert_eq!(laptop.sees(&owner.id()).unwrap().last_heard, None, "an old announcement counts as heard");
}

#[tokio::test]
async fn a_node_is_heard_by_its_announcements_and_not_by_its_transport() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    owner.swarm.attest(&laptop.id()).await.unwrap();
    let last_heard = || owner.sees(&laptop.id()).unwrap().last_heard;
    assert_eq!(last_heard(), None, "a node whose engine has announced nothing was heard");
    laptop.swarm.announce(announcement(Verdict::Protected, 1)).await;
    until("the announcement is heard", || last_heard().is_some()).await;
    // A greeting repeats the last announcement, which says nothing about the engine now.
    let first = last_heard();
    laptop.swarm.network_changed().await;
    owner.swarm.attest(&laptop.id()).await.unwrap();
    laptop.swarm.attest(&owner.id()).await.unwrap();
    assert_eq!(last_heard(), first, "a repeated announcement counts as heard");
}

#[tokio::test]
async fn a_node_whose_wall_clock_goes_back_is_still_heard() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let verdict = || owner.sees(&laptop.id())?.announced.map(|announced| announced.verdict);
    laptop.swarm.announce(announcement(Verdict::Protected, DAY)).await;
    until("the first announcement arrives", || verdict() == Some(Verdict::Protected)).await;
    let heard = owner.sees(&laptop.id()).unwrap().last_heard;
    laptop.swarm.announce(announcement(Verdict::Exposed, 5)).await;
    until("the announcement with an earlier time arrives", || verdict() == Some(Verdict::Exposed)).await;
    assert!(owner.sees(&laptop.id()).unwrap().last_heard > heard);
}

/// An announcement as it is sent, with an order that the test chooses.
#[derive(serde::Serialize)]
struct RawAnnouncement {
    verdict: Verdict,
    since: Timestamp,
    open_incidents: u32,
    leaving: bool,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<RawOrder>,
}

#[derive(serde::Serialize)]
struct RawOrder {
    boot: u64,
    seq: u64,
}

fn raw(verdict: Verdict, at: i64, order: Option<(u64, u64)>) -> Vec<u8> {
    let announcement = RawAnnouncement {
        verdict,
        since: Timestamp(at),
        open_incidents: 0,
        leaving: false,
        at: Timestamp(at),
        order: order.map(|(boot, seq)| RawOrder { boot, seq }),
    };
    cbor4ii::serde::to_vec(Vec::new(), &announcement).unwrap()
}

fn read_key(stopped: &Stopped, file: &str) -> Keypair {
    let key = std::fs::read(stopped.config.state_dir.join(file)).unwrap();
    Keypair::from_protobuf_encoding(&key).unwrap()
}

/// A member that publishes what a test tells it to.
struct RawMember {
    swarm: libp2p::Swarm<gossipsub::Behaviour>,
    topic: gossipsub::IdentTopic,
}

impl RawMember {
    /// Connects with the key of a stopped node to a running one.
    async fn connect(key: Keypair, owner_key: &Keypair, to: &Node) -> Self {
        let (invitation, _) = to.swarm.invite(Millis::secs(600)).await.unwrap();
        let address = invitation.parse::<Invitation>().unwrap().addresses()[0].clone();
        let id: String = owner_key
            .public()
            .try_into_ed25519()
            .unwrap()
            .to_bytes()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        let topic = gossipsub::IdentTopic::new(format!("/vpnsentinel/announce/1/{id}"));
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|key| {
                let author = gossipsub::MessageAuthenticity::Signed(key.clone());
                gossipsub::Behaviour::new(author, gossipsub::Config::default()).unwrap()
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(10)))
            .build();
        swarm.behaviour_mut().subscribe(&topic).unwrap();
        swarm.dial(address).unwrap();
        let mut member = Self { swarm, topic };
        member.run_until(|event| matches!(event, gossipsub::Event::Subscribed { .. })).await;
        member
    }

    /// Runs until an event that fits, and returns the number of messages received until then.
    async fn run_until(&mut self, fits: impl Fn(&gossipsub::Event) -> bool) -> usize {
        let mut messages = 0;
        loop {
            if let SwarmEvent::Behaviour(event) = self.swarm.select_next_some().await {
                messages += usize::from(matches!(event, gossipsub::Event::Message { .. }));
                if fits(&event) {
                    return messages;
                }
            }
        }
    }

    /// Runs for a while, and returns the number of messages received.
    async fn run_for(&mut self, span: Duration) -> usize {
        let mut messages = 0;
        let counting = async {
            loop {
                if let SwarmEvent::Behaviour(gossipsub::Event::Message { .. }) =
                    self.swarm.select_next_some().await
                {
                    messages += 1;
                }
            }
        };
        let _ = timeout(span, counting).await;
        messages
    }

    /// Publishes an announcement, slowly enough for the rate that members accept.
    async fn publish(&mut self, announcement: Vec<u8>) {
        self.swarm.behaviour_mut().publish(self.topic.clone(), announcement).unwrap();
        self.run_for(Duration::from_millis(600)).await;
    }
}

#[tokio::test]
async fn old_and_repeated_announcements_are_not_heard_even_after_a_restart() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let id = laptop.id();
    let key = read_key(&laptop.stop().await, "identity.key");
    let verdict = |owner: &Node| announced_verdict(owner, &id);
    let owner = owner.stop().await;
    let owner_key = read_key(&owner, "owner.key");
    let owner = owner.start().await;
    let mut member = RawMember::connect(key.clone(), &owner_key, &owner).await;
    member.publish(raw(Verdict::Exposed, 50, Some((10, 5)))).await;
    until("the announcement arrives", || verdict(&owner) == Some(Verdict::Exposed)).await;
    let heard = owner.sees(&id).unwrap().last_heard;
    for old in [Some((10, 5)), Some((10, 4)), Some((9, 99)), None] {
        member.publish(raw(Verdict::Protected, 60, old)).await;
    }
    let seen = owner.sees(&id).unwrap();
    assert_eq!((verdict(&owner), seen.last_heard), (Some(Verdict::Exposed), heard));
    member.publish(raw(Verdict::Off, 1, Some((11, 1)))).await;
    until("a newer announcement arrives", || verdict(&owner) == Some(Verdict::Off)).await;

    drop(member);
    let owner = owner.stop().await.start().await;
    let mut member = RawMember::connect(key, &owner_key, &owner).await;
    for old in [Some((11, 1)), Some((10, 5)), None] {
        member.publish(raw(Verdict::Protected, 60, old)).await;
    }
    assert_eq!(owner.sees(&id).unwrap().last_heard, None, "an old announcement is heard after a restart");
    member.publish(raw(Verdict::Exposed, 1, Some((11, 2)))).await;
    until("a newer announcement arrives", || verdict(&owner) == Some(Verdict::Exposed)).await;
}

#[tokio::test]
async fn a_member_of_an_older_release_is_heard() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let id = laptop.id();
    let key = read_key(&laptop.stop().await, "identity.key");
    let owner = owner.stop().await;
    let owner_key = read_key(&owner, "owner.key");
    let owner = owner.start().await;
    let mut member = RawMember::connect(key, &owner_key, &owner).await;
    for (at, verdict) in [(10, Verdict::Exposed), (20, Verdict::Protected)] {
        member.publish(raw(verdict, at, None)).await;
        until("the announcement arrives", || announced_verdict(&owner, &id) == Some(verdict)).await;
    }
    member.publish(raw(Verdict::Off, 20, None)).await;
    assert_eq!(announced_verdict(&owner, &id), Some(Verdict::Protected), "an equally old one is accepted");
}

#[tokio::test]
async fn a_member_that_subscribes_again_and_again_triggers_no_announcements() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let key = read_key(&laptop.stop().await, "identity.key");
    let owner = owner.stop().await;
    let owner_key = read_key(&owner, "owner.key");
    let owner = owner.start().await;
    owner.swarm.announce(announcement(Verdict::Protected, 1)).await;
    let mut member = RawMember::connect(key, &owner_key, &owner).await;
    let topic = member.topic.clone();
    let mut received = 0;
    for _ in 0..20 {
        member.swarm.behaviour_mut().unsubscribe(&topic);
        received += member.run_for(Duration::from_millis(20)).await;
        member.swarm.behaviour_mut().subscribe(&topic).unwrap();
        received += member.run_for(Duration::from_millis(20)).await;
    }
    received += member.run_for(Duration::from_secs(2)).await;
    assert!(received <= 2, "{received} announcements");
}

#[tokio::test]
async fn a_member_that_announces_too_often_is_throttled() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let id = laptop.id();
    let key = read_key(&laptop.stop().await, "identity.key");
    let owner = owner.stop().await;
    let owner_key = read_key(&owner, "owner.key");
    let owner = owner.start().await;
    let mut member = RawMember::connect(key, &owner_key, &owner).await;
    let began = std::time::Instant::now();
    for seq in 0..100 {
        let announcement = raw(Verdict::Exposed, 1, Some((1, seq)));
        member.swarm.behaviour_mut().publish(member.topic.clone(), announcement).unwrap();
        member.run_for(Duration::from_millis(20)).await;
    }
    let announced = || owner.events().iter().filter(|event| matches!(event, Event::Announced { .. })).count();
    let allowed = 5 + 2 * usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=allowed).contains(&announced()), "{} announcements", announced());
    // Once it keeps to the rate, it is heard again.
    member.run_for(Duration::from_secs(1)).await;
    member.publish(raw(Verdict::Off, 1, Some((1, 100)))).await;
    until("it is heard again", || announced_verdict(&owner, &id) == Some(Verdict::Off)).await;
}

#[tokio::test]
async fn many_changes_in_a_row_are_announced_at_a_bounded_rate_and_the_last_arrives() {
    let (owner, laptop) = (Node::start("vps").await, Node::start("laptop").await);
    pair(&owner, &laptop).await;
    let began = std::time::Instant::now();
    for at in 1..=200 {
        laptop.swarm.announce(announcement(Verdict::Exposed, at)).await;
    }
    laptop.swarm.announce(announcement(Verdict::Protected, 201)).await;
    until("the last one arrives", || announced_verdict(&owner, &laptop.id()) == Some(Verdict::Protected))
        .await;
    let events = owner.events();
    let announced = events.iter().filter(|event| matches!(event, Event::Announced { .. })).count();
    let allowed = 4 + 2 * usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(announced <= allowed, "{announced} announcements");
}
