//! Announcements reach every other member, whichever nodes it is connected to and since when.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that fails"
)]

mod common;

use common::{Node, announcement, pair, until};
use sentinel_model::{Announcement, NodeId, Reachability, Verdict};
use sentinel_swarm::Event;

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
}
