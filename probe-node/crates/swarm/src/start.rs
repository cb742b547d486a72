//! From a configuration to a running node: keys, log, sockets, then the actor.

use crate::{
    actor::state::{Actor, Channels, LocalNode},
    addresses,
    announcement_order::{self, AnnouncementMarks},
    behaviour, canary,
    config::SwarmConfig,
    error::SwarmError,
    handle::Swarm,
    identity::{self, IDENTITY_FILE, OWNER_FILE},
    membership::{MembershipLog, SwarmId},
    messages::Event,
    responder_state::ResponderState,
    sockets,
    stored_log::{self, LogDamage, RestoredLog},
    stun_responder, wire,
};
use libp2p::{PeerId, identity::Keypair};
use sentinel_model::{Clock, SwarmView, Timestamp};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
};
use tokio_util::task::AbortOnDropHandle;

/// The most commands that wait for the actor.
const INBOX_CAPACITY: usize = 32;
/// The most events in the channel to the engine. Further ones wait in the actor's queue.
const EVENT_CAPACITY: usize = 64;

impl Swarm {
    /// Starts this node.
    ///
    /// It connects to the other members, and serves them, until the last handle is gone. The
    /// receiver gets the events. It should be read, since entries of the membership log wait in it
    /// to be stored.
    pub async fn start(config: SwarmConfig) -> Result<(Self, mpsc::Receiver<Event>), SwarmError> {
        let (key, owner) = load_keys(config.state_dir.clone()).await?;
        let peer = key.public().to_peer_id();
        let RestoredLog { log, damage } = stored_log::restore(&config.membership);
        report_damage(&peer, log.as_ref(), damage.as_ref());
        // The owner key of another swarm cannot sign for this one.
        let owner = owner
            .filter(|key| log.as_ref().is_none_or(|log| SwarmId::of(&key.public()) == Some(log.swarm())));
        let is_member = log.as_ref().is_some_and(|log| log.is_member(&peer));
        // A member may keep the invitation that it once used in its configuration.
        let invitation = config.invitation.as_ref().filter(|_| !is_member).map(|text| text.parse());
        let mut responders = JoinSet::new();
        let responder_state = Arc::new(Mutex::new(ResponderState::default()));
        let stun = start_stun_responders(&config, &responder_state, &config.clock, &mut responders)?;
        if let Some(zone) = &config.canary {
            canary::start(zone, own_addresses(&config, &stun), &config.clock, &mut responders)?;
        }
        let mut network = behaviour::build_network(&key, config.relay, Arc::clone(&config.names))
            .map_err(SwarmError::Transport)?;
        for address in &config.listen {
            network
                .listen_on(address.clone())
                .map_err(|cause| SwarmError::Listen { address: address.clone(), cause: cause.to_string() })?;
        }
        for address in &config.external {
            network.add_external_address(address.clone());
        }
        let (inbox_sender, inbox) = mpsc::channel(INBOX_CAPACITY);
        let (events, event_receiver) = mpsc::channel(EVENT_CAPACITY);
        let (view_sender, view) = watch::channel(SwarmView::default());
        let (witness_sender, witnesses) = watch::channel(Vec::new());
        let channels = Channels { inbox, events, view: view_sender, witnesses: witness_sender };
        let (boot, marks) = load_order(config.state_dir.clone(), (config.clock)().wall).await?;
        let local = LocalNode::new(key, &config, stun, boot);
        let state = Arc::clone(&responder_state);
        let mut actor = Actor::new(local, config.clock, network, state, responders, marks, channels);
        actor.restore(log, damage, owner);
        if let Some(invitation) = invitation {
            actor.use_configured_invitation(invitation);
        }
        let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(actor.run())));
        let id = identity::node_id(&peer);
        Ok((Self { id, inbox: inbox_sender, view, witnesses, responder_state, task }, event_receiver))
    }
}

/// Loads this node's key, creating it if absent, and the owner's key if it is here.
///
/// Runs where blocking on the disk delays no other task.
async fn load_keys(state_dir: PathBuf) -> Result<(Keypair, Option<Keypair>), SwarmError> {
    let load = spawn_blocking(move || {
        let key = identity::load_or_create(&state_dir, IDENTITY_FILE)?;
        Ok((key, identity::load(&state_dir.join(OWNER_FILE))?))
    });
    load.await.map_err(|_| SwarmError::Stopped)?
}

/// Returns the number of this run, and the order of the other nodes' announcements before it.
async fn load_order(state_dir: PathBuf, now: Timestamp) -> Result<(u64, AnnouncementMarks), SwarmError> {
    let load = spawn_blocking(move || {
        (announcement_order::next_boot(&state_dir, now), AnnouncementMarks::load(&state_dir))
    });
    load.await.map_err(|_| SwarmError::Stopped)
}

/// Logs what is wrong with the stored log. The node starts all the same.
fn report_damage(me: &PeerId, log: Option<&MembershipLog>, damage: Option<&LogDamage>) {
    if let Some(LogDamage { cause, last_generation }) = damage {
        let restored = log.map_or(0, MembershipLog::generation);
        tracing::error!(
            %cause,
            "Only {restored} of {last_generation} entries of the stored list of members can be used; the others are fetched from the other nodes. If that takes long, restore the ledger from a backup, or pair this node again"
        );
    } else if log.is_some_and(|log| !log.is_member(me) && !log.is_revoked(me)) {
        let error = SwarmError::UnknownSelf(identity::node_id(me));
        tracing::error!(%error, "The other nodes will refuse this one");
    }
}

/// Binds the STUN responders, and returns the addresses that members are given.
fn start_stun_responders(
    config: &SwarmConfig,
    state: &Arc<Mutex<ResponderState>>,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SocketAddr>, SwarmError> {
    let mut bound = Vec::new();
    for address in &config.stun {
        let socket = sockets::bind_udp(*address, "the STUN responder")?;
        bound.extend(socket.local_addr().ok());
        tasks.spawn(stun_responder::serve(socket, Arc::clone(state), clock.clone()));
    }
    let bound_port = |external: &SocketAddr| {
        bound
            .iter()
            .find(|bound| bound.is_ipv4() == external.is_ipv4())
            .map_or(external.port(), SocketAddr::port)
    };
    let external = config.stun_external.iter().map(|external| match external.port() {
        0 => SocketAddr::new(external.ip(), bound_port(external)),
        _ => *external,
    });
    Ok(external.take(wire::MAX_ADDRESSES).collect())
}

/// Returns the addresses of this node for the canary zone's name server.
fn own_addresses(config: &SwarmConfig, stun: &[SocketAddr]) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = stun.iter().map(SocketAddr::ip).collect();
    own.extend(config.external.iter().filter_map(addresses::ip_of));
    own.sort_unstable();
    own.dedup();
    own
}
