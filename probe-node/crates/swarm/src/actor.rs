//! The one task that owns the node's network and everything it knows. It waits for four things at once: questions from
//! the handle, events of the network, room in the engine's event channel, and the clock's tick; each is handled without
//! waiting for anything else.

mod commands;
mod connections;
mod joining;
mod members;
mod testimony;

use crate::{
    addresses,
    answers::OwnAnswers,
    behaviour::Network,
    config::Config,
    credential::Book,
    error::SwarmError,
    handle::{Ask, Event, Witness},
    identity,
    invitation::Invitation,
    membership::Log,
    outbox::Outbox,
    pairing::Door,
    peer::Peer,
    view, wire,
};
use futures::StreamExt;
use joining::Joining;
use libp2p::{
    Multiaddr, PeerId, core::transport::ListenerId, identity::Keypair, request_response::OutboundRequestId,
    swarm::ConnectionId,
};
use sentinel_model::{Announcement, Clock, Moment, Monotonic, NodeRole, SwarmView};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use testimony::Asked;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// How often due dials, renewals and expiries are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait at the start for the system to name the addresses listened on.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a last announcement has to get out at shutdown, and connections to close after it.
const FAREWELL: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(500));

/// This node itself.
pub(crate) struct Me {
    key: Keypair,
    peer: PeerId,
    name: String,
    role: NodeRole,
    relay: bool,
    external: Vec<Multiaddr>,
    stun: Vec<SocketAddr>,
    canary_zone: Option<String>,
    state_dir: PathBuf,
    /// On how many addresses it was told to listen.
    listens: usize,
    /// Tells this run from earlier ones in attestations.
    boot: u64,
}

impl Me {
    /// This node by its key and configuration; `stun` is where members find its responder.
    pub(crate) fn new(key: Keypair, config: &Config, stun: Vec<SocketAddr>) -> Result<Self, SwarmError> {
        Ok(Self {
            peer: key.public().to_peer_id(),
            key,
            name: wire::presentable_name(&config.name),
            role: config.role,
            relay: config.relay,
            external: config.external.clone(),
            stun,
            canary_zone: config.canary.as_ref().map(|canary| canary.zone.clone()),
            state_dir: config.state_dir.clone(),
            listens: config.listen.len(),
            boot: getrandom::u64()?,
        })
    }
}

/// The actor.
pub(crate) struct Actor {
    network: Network,
    me: Me,
    clock: Clock,
    book: Arc<Mutex<Book>>,
    tasks: JoinSet<()>,
    inbox: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
    outbox: Outbox,
    view: watch::Sender<SwarmView>,
    witnesses: watch::Sender<Vec<Witness>>,
    log: Option<Log>,
    owner: Option<Keypair>,
    door: Door,
    joining: Option<Joining>,
    peers: BTreeMap<PeerId, Peer>,
    guests: HashMap<ConnectionId, (PeerId, Monotonic)>,
    asked: HashMap<OutboundRequestId, Asked>,
    reservations: HashMap<ListenerId, PeerId>,
    announcement: Option<Announcement>,
    own_answers: OwnAnswers,
    attested: u64,
    rejected_attestations: u64,
    refused_peers: u64,
}

impl Actor {
    /// An actor that has not begun.
    #[allow(clippy::too_many_arguments, reason = "the one place where all its parts come together")]
    pub(crate) fn new(
        network: Network,
        me: Me,
        clock: Clock,
        book: Arc<Mutex<Book>>,
        tasks: JoinSet<()>,
        inbox: mpsc::Receiver<Ask>,
        events: mpsc::Sender<Event>,
        view: watch::Sender<SwarmView>,
        witnesses: watch::Sender<Vec<Witness>>,
    ) -> Self {
        Self {
            network,
            me,
            clock,
            book,
            tasks,
            inbox,
            events,
            outbox: Outbox::default(),
            view,
            witnesses,
            log: None,
            owner: None,
            door: Door::default(),
            joining: None,
            peers: BTreeMap::new(),
            guests: HashMap::new(),
            asked: HashMap::new(),
            reservations: HashMap::new(),
            announcement: None,
            own_answers: OwnAnswers::default(),
            attested: 0,
            rejected_attestations: 0,
            refused_peers: 0,
        }
    }

    /// Takes in what was known before this run.
    pub(crate) fn begin(&mut self, log: Option<Log>, owner: Option<Keypair>, invitation: Option<Invitation>) {
        self.owner = owner;
        self.log = log;
        if let Some(invitation) = invitation {
            self.joining = Some(Joining::new(invitation, &self.me.peer, None, self.now().boot));
        }
        self.membership_changed();
        self.publish();
    }

    /// Runs until every handle is gone or one asks for the end.
    pub(crate) async fn run(mut self) {
        self.settle().await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.events.clone();
        loop {
            tokio::select! {
                ask = self.inbox.recv() => match ask {
                    Some(Ask::Shutdown { reply }) => {
                        self.farewell().await;
                        // Whoever asked may have stopped waiting.
                        let _ = reply.send(());
                        return;
                    }
                    Some(ask) => self.on_ask(ask),
                    None => return,
                },
                event = self.network.select_next_some() => self.on_network(event),
                permit = events.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    // Nobody reads events any more.
                    _ => self.outbox.clear(),
                },
                _ = tick.tick() => self.on_tick(),
                Some(ended) = self.tasks.join_next() => {
                    tracing::error!(?ended, "a responder ended; this node serves less until it is restarted");
                }
            }
            self.publish();
        }
    }

    /// Waits until every listener has an address, so that an invitation made at once has one to name.
    async fn settle(&mut self) {
        let wanted = self.me.listens;
        let named = async {
            while self.network.listeners().count() < wanted {
                let event = self.network.select_next_some().await;
                self.on_network(event);
            }
        };
        // A node whose network is down must start all the same.
        if timeout(SETTLE, named).await.is_err() {
            tracing::warn!("not every address to listen on is there yet");
        }
    }

    /// Lets the last announcement out, then closes every connection.
    async fn farewell(&mut self) {
        let drain = async {
            loop {
                let event = self.network.select_next_some().await;
                self.on_network(event);
            }
        };
        // This always times out; the connections are flushed meanwhile.
        let _ = timeout(FAREWELL.0, drain).await;
        let connected: Vec<_> = self.network.connected_peers().copied().collect();
        for peer in connected {
            // One that closed in between needs no closing.
            let _ = self.network.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.network.network_info().num_peers() > 0 {
                self.network.select_next_some().await;
            }
        };
        if timeout(FAREWELL.1, closing).await.is_err() {
            tracing::debug!("some connections were not closed in time");
        }
    }

    fn on_tick(&mut self) {
        self.tend_door();
        self.tend_joining();
        self.tend_connections();
        self.tend_credentials();
    }

    fn now(&self) -> Moment {
        (self.clock)()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where members are told to find this node.
    fn told_addresses(&self) -> Vec<Multiaddr> {
        let listening: Vec<_> = self.network.listeners().cloned().collect();
        addresses::for_members(&self.me.external, &listening, self.me.role)
    }

    /// What people call a member.
    fn name_of(&self, peer: &PeerId) -> String {
        let member = self.log.as_ref().and_then(|log| log.members().get(peer));
        member.map_or_else(|| identity::node_id(peer).0, |member| member.name.clone())
    }

    /// Publishes what changed, and nothing if nothing did.
    fn publish(&mut self) {
        let now = self.now();
        let own = view::Own {
            peer: &self.me.peer,
            name: &self.me.name,
            role: self.me.role,
            announced: self.announcement.as_ref(),
        };
        let seen = SwarmView {
            nodes: view::nodes(&own, self.log.as_ref(), &self.peers),
            pending: self.door.pending(now.wall),
            rejected_attestations: self.rejected_attestations,
            refused_peers: self.refused_peers,
        };
        self.view.send_if_modified(|published| replace(published, seen));
        let witnesses = view::witnesses(&self.me.peer, self.log.as_ref(), &self.peers);
        self.witnesses.send_if_modified(|published| replace(published, witnesses));
    }
}

fn replace<T: PartialEq>(published: &mut T, new: T) -> bool {
    let changed = *published != new;
    if changed {
        *published = new;
    }
    changed
}
