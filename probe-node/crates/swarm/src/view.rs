//! What the engine sees of the swarm: every node with its reachability, and the witnesses with their credentials.

use crate::{
    handle::Witness,
    identity,
    membership::{Log, Member},
    peer::Peer,
};
use libp2p::PeerId;
use sentinel_model::{Announcement, NodeRole, NodeView, Reachability};
use std::collections::BTreeMap;

/// This node among the others.
pub(crate) struct Own<'a> {
    pub peer: &'a PeerId,
    pub name: &'a str,
    pub role: NodeRole,
    pub announced: Option<&'a Announcement>,
}

/// All nodes, this one first.
pub(crate) fn nodes(own: &Own<'_>, log: Option<&Log>, peers: &BTreeMap<PeerId, Peer>) -> Vec<NodeView> {
    let mut nodes = vec![NodeView {
        id: identity::node_id(own.peer),
        name: own.name.to_owned(),
        role: own.role,
        is_self: true,
        reachability: Reachability::Direct,
        announced: own.announced.cloned(),
        last_heard: own.announced.map(|said| said.at),
    }];
    nodes.extend(others(own.peer, log).map(|(id, member)| node(id, member, peers.get(id))));
    nodes
}

fn others<'a>(me: &'a PeerId, log: Option<&'a Log>) -> impl Iterator<Item = (&'a PeerId, &'a Member)> {
    log.into_iter().flat_map(Log::members).filter(move |(id, _)| *id != me)
}

fn node(id: &PeerId, member: &Member, peer: Option<&Peer>) -> NodeView {
    let announced = peer.and_then(|peer| peer.announced.clone());
    NodeView {
        id: identity::node_id(id),
        name: member.name.clone(),
        role: member.role,
        is_self: false,
        reachability: reachability(peer, announced.as_ref()),
        last_heard: peer.and_then(|peer| peer.last_heard),
        announced,
    }
}

fn reachability(peer: Option<&Peer>, announced: Option<&Announcement>) -> Reachability {
    match peer {
        Some(peer) if peer.is_direct() => Reachability::Direct,
        Some(peer) if peer.is_connected() => Reachability::Relayed,
        _ if announced.is_some_and(|said| said.leaving) => Reachability::Asleep,
        _ => Reachability::Lost,
    }
}

/// The members that can be asked by STUN or DNS, whether or not they are connected at this moment.
pub(crate) fn witnesses(me: &PeerId, log: Option<&Log>, peers: &BTreeMap<PeerId, Peer>) -> Vec<Witness> {
    others(me, log)
        .filter_map(|(id, member)| {
            let held = peers.get(id)?.credential.as_ref()?;
            if held.grant.stun.is_empty() && held.grant.canary_zone.is_none() {
                return None;
            }
            Some(Witness {
                node: identity::node_id(id),
                name: member.name.clone(),
                stun: held.grant.stun.clone(),
                username: held.grant.username.clone(),
                password: held.grant.password.clone(),
                canary_zone: held.grant.canary_zone.clone(),
            })
        })
        .collect()
}
