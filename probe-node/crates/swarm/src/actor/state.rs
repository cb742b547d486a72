//! The state of the actor, and the queries that all its parts use.

use crate::{
    addresses,
    announcement_order::{AnnouncementMarks, OrderedAnnouncement},
    attestation::{Attestation, Challenge},
    behaviour::{MemberProtocols, Network},
    config::SwarmConfig,
    error::SwarmError,
    event_queue::EventQueue,
    identity,
    membership::MembershipLog,
    messages::{Command, Event, Reply, Witness},
    name_answers::SharedAnswers,
    pairing::{desk::PairingDesk, join_attempt::JoinAttempt},
    peer::PeerState,
    rate_limiter::TokenBucket,
    responder_state::ResponderState,
    stored_log::LogDamage,
    wire,
};
use libp2p::{
    Multiaddr, PeerId, core::transport::ListenerId, identity::Keypair, request_response::OutboundRequestId,
    swarm::ConnectionId,
};
use sentinel_model::{Clock, Moment, Monotonic, NodeRole, SwarmView};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// This node's identity and configuration.
pub(crate) struct LocalNode {
    pub(super) key: Keypair,
    pub(super) peer: PeerId,
    pub(super) name: String,
    pub(super) role: NodeRole,
    pub(super) relay: bool,
    pub(super) external: Vec<Multiaddr>,
    /// The addresses of the STUN responder that members are given.
    pub(super) stun: Vec<SocketAddr>,
    pub(super) canary_zone: Option<String>,
    pub(super) state_dir: PathBuf,
    /// The number of configured addresses to listen on.
    pub(super) listener_count: usize,
    /// The number of this run, in announcements and attestations.
    pub(super) boot: u64,
}

impl LocalNode {
    /// Makes the local node. `stun` are the addresses of the STUN responder that members are given.
    pub(crate) fn new(key: Keypair, config: &SwarmConfig, stun: Vec<SocketAddr>, boot: u64) -> Self {
        Self {
            peer: key.public().to_peer_id(),
            key,
            name: wire::sanitize_name(&config.name),
            role: config.role,
            relay: config.relay,
            external: config.external.clone(),
            stun,
            canary_zone: config.canary.as_ref().map(|canary| canary.zone.clone()),
            state_dir: config.state_dir.clone(),
            listener_count: config.listen.len(),
            boot,
        }
    }
}

/// The actor's ends of its channels.
pub(crate) struct Channels {
    pub inbox: mpsc::Receiver<Command>,
    pub events: mpsc::Sender<Event>,
    pub view: watch::Sender<SwarmView>,
    pub witnesses: watch::Sender<Vec<Witness>>,
}

/// A connection of a node that is not a member, for pairing only.
pub(super) struct PairingConnection {
    pub peer: PeerId,
    pub since: Monotonic,
}

/// A request to a member that is not answered yet.
#[derive(Debug)]
pub(super) enum InFlightRequest {
    Hello,
    Entries,
    Credential,
    Attestation { challenge: Challenge, requested_at: Monotonic, reply: Reply<Attestation> },
}

/// Counts since the start.
#[derive(Default)]
pub(super) struct Counters {
    /// Announcements that this node made. The count is the sequence number of the last one.
    pub announcements: u64,
    /// Attestations that this node signed. The count is the sequence number of the last one.
    pub attestations_signed: u64,
    pub attestations_rejected: u64,
    /// Connections refused because the peer is not a member.
    pub peers_refused: u64,
}

/// The actor: it owns the node's network and all of its state.
pub(crate) struct Actor {
    pub(super) local: LocalNode,
    pub(super) clock: Clock,
    pub(super) network: Network,
    pub(super) channels: Channels,
    /// The events that do not fit into the channel yet.
    pub(super) events: EventQueue,

    /// The tasks of the STUN responder and the canary zone.
    pub(super) responders: JoinSet<()>,
    responder_state: Arc<Mutex<ResponderState>>,

    /// The membership log, if this node belongs to a swarm.
    pub(super) log: Option<MembershipLog>,
    /// The loss of entries of the log before this run, if there was one.
    pub(super) log_damage: Option<LogDamage>,
    /// The owner's key, if it is on this node.
    pub(super) owner: Option<Keypair>,

    pub(super) pairing_desk: PairingDesk,
    pub(super) pairing_connections: HashMap<ConnectionId, PairingConnection>,
    pub(super) join_attempt: Option<JoinAttempt>,

    /// The other members.
    pub(super) peers: BTreeMap<PeerId, PeerState>,
    pub(super) requests: HashMap<OutboundRequestId, InFlightRequest>,
    /// The listeners at relays, with the relay of each.
    pub(super) reservations: HashMap<ListenerId, PeerId>,

    /// This node's last announcement.
    pub(super) announcement: Option<OrderedAnnouncement>,
    /// When to publish it, if it waits because there were too many.
    pub(super) announce_at: Option<Instant>,
    pub(super) own_announcements: TokenBucket,
    /// The highest order of each member's announcements.
    pub(super) marks: AnnouncementMarks,
    /// The task that stores them.
    pub(super) storing_marks: Option<JoinHandle<()>>,
    pub(super) shared_answers: SharedAnswers,
    pub(super) counters: Counters,
}

impl Actor {
    /// Makes an actor without a membership log.
    pub(crate) fn new(
        local: LocalNode,
        clock: Clock,
        network: Network,
        responder_state: Arc<Mutex<ResponderState>>,
        responders: JoinSet<()>,
        marks: AnnouncementMarks,
        channels: Channels,
    ) -> Self {
        Self {
            local,
            clock,
            network,
            channels,
            events: EventQueue::default(),
            responders,
            responder_state,
            log: None,
            log_damage: None,
            owner: None,
            pairing_desk: PairingDesk::default(),
            pairing_connections: HashMap::new(),
            join_attempt: None,
            peers: BTreeMap::new(),
            requests: HashMap::new(),
            reservations: HashMap::new(),
            announcement: None,
            announce_at: None,
            own_announcements: TokenBucket::default(),
            marks,
            storing_marks: None,
            shared_answers: SharedAnswers::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        (self.clock)()
    }

    pub(super) fn responder_state(&self) -> MutexGuard<'_, ResponderState> {
        self.responder_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn member_protocols(&mut self) -> &mut MemberProtocols {
        self.network.behaviour_mut().gate.member_protocols_mut()
    }

    /// Returns the addresses that members are given for this node.
    pub(super) fn own_addresses(&self) -> Vec<Multiaddr> {
        let listening: Vec<_> = self.network.listeners().cloned().collect();
        addresses::for_members(&self.local.external, &listening, self.local.role)
    }

    /// Returns true if a node is a member of this node's swarm.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_member(peer))
    }

    /// Returns an error while this node lacks entries that it once had, so that it must not sign.
    pub(super) fn check_log_is_complete(&self) -> Result<(), SwarmError> {
        let have = self.log.as_ref().map_or(0, MembershipLog::generation);
        match &self.log_damage {
            Some(damage) if have < damage.last_generation => {
                Err(SwarmError::IncompleteLog { have, last: damage.last_generation })
            }
            _ => Ok(()),
        }
    }

    /// Returns the display name of a node: its name if it is a member, otherwise its id.
    pub(super) fn name_of(&self, peer: &PeerId) -> String {
        let member = self.log.as_ref().and_then(|log| log.members().get(peer));
        member.map_or_else(|| identity::node_id(peer).0, |member| member.name.clone())
    }
}
