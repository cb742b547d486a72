//! The swarm as the engine sees it: all nodes with their reachability, and the witnesses.

use crate::{
    identity,
    membership::{Member, MembershipLog},
    messages::Witness,
    peer::PeerState,
};
use libp2p::PeerId;
use sentinel_model::{Announcement, NodeRole, NodeView, Reachability};
use std::collections::BTreeMap;

/// This node's own entry in the view.
pub(crate) struct LocalView<'a> {
    pub peer: &'a PeerId,
    pub name: &'a str,
    pub role: NodeRole,
    pub announcement: Option<Announcement>,
}

/// Returns the views of all nodes, this one first.
pub(crate) fn node_views(
    local: &LocalView<'_>,
    log: Option<&MembershipLog>,
    peers: &BTreeMap<PeerId, PeerState>,
) -> Vec<NodeView> {
    let mut views = vec![NodeView {
        id: identity::node_id(local.peer),
        name: local.name.to_owned(),
        role: local.role,
        is_self: true,
        reachability: Reachability::Direct,
        name_error: None,
        announced: local.announcement.clone(),
        last_heard: local.announcement.as_ref().map(|announcement| announcement.at),
    }];
    views.extend(other_members(local.peer, log).map(|(id, member)| peer_view(id, member, peers.get(id))));
    views
}

fn other_members<'a>(
    me: &'a PeerId,
    log: Option<&'a MembershipLog>,
) -> impl Iterator<Item = (&'a PeerId, &'a Member)> {
    log.into_iter().flat_map(MembershipLog::members).filter(move |(id, _)| *id != me)
}

fn peer_view(id: &PeerId, member: &Member, peer: Option<&PeerState>) -> NodeView {
    let announced = peer.and_then(|peer| peer.announcement.clone());
    NodeView {
        id: identity::node_id(id),
        name: member.name.clone(),
        role: member.role,
        is_self: false,
        reachability: reachability(peer, announced.as_ref()),
        name_error: peer.filter(|peer| !peer.is_connected()).and_then(|peer| peer.name_error.clone()),
        last_heard: peer.and_then(|peer| peer.last_heard),
        announced,
    }
}

fn reachability(peer: Option<&PeerState>, announced: Option<&Announcement>) -> Reachability {
    match peer {
        Some(peer) if peer.is_direct() => Reachability::Direct,
        Some(peer) if peer.is_connected() => Reachability::Relayed,
        _ if announced.is_some_and(|announcement| announcement.leaving) => Reachability::Asleep,
        _ => Reachability::Lost,
    }
}

/// Returns the members usable as witnesses by STUN or DNS, connected or not.
pub(crate) fn witnesses(
    me: &PeerId,
    log: Option<&MembershipLog>,
    peers: &BTreeMap<PeerId, PeerState>,
) -> Vec<Witness> {
    other_members(me, log)
        .filter_map(|(id, member)| {
            let grant = &peers.get(id)?.witness_grant.as_ref()?.grant;
            if grant.stun.is_empty() && grant.canary_zone.is_none() {
                return None;
            }
            Some(Witness {
                node: identity::node_id(id),
                name: member.name.clone(),
                stun: grant.stun.clone(),
                username: grant.username.clone(),
                password: grant.password.clone(),
                canary_zone: grant.canary_zone.clone(),
            })
        })
        .collect()
}
