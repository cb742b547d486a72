//! From a configuration to a running node: keys, log, sockets, then the actor.

use crate::{
    actor::{Actor, Me},
    addresses, behaviour, canary,
    config::Config,
    credential::Book,
    error::SwarmError,
    handle::{Event, Swarm},
    identity::{self, IDENTITY_FILE, OWNER_FILE},
    invitation::Invitation,
    membership::{Log, SwarmId},
    sockets, stun, wire,
};
use libp2p::identity::Keypair;
use sentinel_model::{Clock, SwarmView};
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

/// Questions that may wait for the actor.
const INBOX: usize = 32;
/// Events that may wait for the engine before they wait inside.
const EVENTS: usize = 64;

/// Starts a node.
pub(crate) async fn start(config: Config) -> Result<(Swarm, mpsc::Receiver<Event>), SwarmError> {
    let (key, owner) = keys(config.state_dir.clone()).await?;
    let peer = key.public().to_peer_id();
    let log = Log::restore(&config.membership)?;
    if log.as_ref().is_some_and(|log| !log.is_member(&peer) && !log.is_revoked(&peer)) {
        return Err(SwarmError::UnknownSelf(identity::node_id(&peer)));
    }
    // A key that signed for another swarm signs nothing here.
    let owner =
        owner.filter(|key| log.as_ref().is_none_or(|log| SwarmId::of(&key.public()) == Some(log.swarm())));
    let invitation = invitation(&config, log.as_ref())?;
    let mut tasks = JoinSet::new();
    let book = Arc::new(Mutex::new(Book::default()));
    let stun = start_stun(&config, &book, &config.clock, &mut tasks)?;
    if let Some(zone) = &config.canary {
        canary::start(zone, own_addresses(&config, &stun), &config.clock, &mut tasks)?;
    }
    let mut network = behaviour::build(&key, config.relay).map_err(SwarmError::Transport)?;
    for address in &config.listen {
        network
            .listen_on(address.clone())
            .map_err(|cause| SwarmError::Listen { address: address.clone(), cause: cause.to_string() })?;
    }
    for address in &config.external {
        network.add_external_address(address.clone());
    }
    let (inbox_sender, inbox) = mpsc::channel(INBOX);
    let (events, event_receiver) = mpsc::channel(EVENTS);
    let (view_sender, view) = watch::channel(SwarmView::default());
    let (witness_sender, witnesses) = watch::channel(Vec::new());
    let me = Me::new(key, &config, stun)?;
    let mut actor = Actor::new(
        network,
        me,
        config.clock,
        Arc::clone(&book),
        tasks,
        inbox,
        events,
        view_sender,
        witness_sender,
    );
    actor.begin(log, owner, invitation);
    let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(actor.run())));
    let swarm = Swarm { id: identity::node_id(&peer), inbox: inbox_sender, view, witnesses, book, task };
    Ok((swarm, event_receiver))
}

/// The node's key, made if absent, and the owner's, if it is here. Files are read where waiting for a disk holds up nobody.
async fn keys(state_dir: PathBuf) -> Result<(Keypair, Option<Keypair>), SwarmError> {
    let read = spawn_blocking(move || {
        let key = identity::load_or_create(&state_dir, IDENTITY_FILE)?;
        Ok((key, identity::load(&state_dir.join(OWNER_FILE))?))
    });
    read.await.map_err(|_| SwarmError::Stopped)?
}

/// The invitation to take up, unless this node is a member already.
fn invitation(config: &Config, log: Option<&Log>) -> Result<Option<Invitation>, SwarmError> {
    match &config.invitation {
        Some(text) if log.is_none() => {
            let invitation: Invitation = text.parse()?;
            invitation.check((config.clock)().wall)?;
            Ok(Some(invitation))
        }
        _ => Ok(None),
    }
}

/// Binds the STUN responders and says where members find them.
fn start_stun(
    config: &Config,
    book: &Arc<Mutex<Book>>,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SocketAddr>, SwarmError> {
    let mut bound = Vec::new();
    for address in &config.stun {
        let socket = sockets::udp(*address, "the STUN responder")?;
        bound.extend(socket.local_addr().ok());
        tasks.spawn(stun::serve(socket, Arc::clone(book), clock.clone()));
    }
    let port_of = |told: &SocketAddr| {
        bound.iter().find(|bound| bound.is_ipv4() == told.is_ipv4()).map_or(told.port(), SocketAddr::port)
    };
    let told = config.stun_external.iter().map(|told| match told.port() {
        0 => SocketAddr::new(told.ip(), port_of(told)),
        _ => *told,
    });
    Ok(told.take(wire::MAX_ADDRESSES).collect())
}

/// What the canary's name server name resolves to.
fn own_addresses(config: &Config, stun: &[SocketAddr]) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = stun.iter().map(SocketAddr::ip).collect();
    own.extend(config.external.iter().filter_map(addresses::ip_of));
    own.sort_unstable();
    own.dedup();
    own
}
