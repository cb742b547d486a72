//! The handle the engine holds: a cheap clone that sends questions to the actor and watches what it publishes.

use crate::{
    answers::NameAnswer, attestation::Attestation, config::Config, credential::Book, error::SwarmError,
    invitation::Invitation, start,
};
use sentinel_model::{Announcement, Millis, NodeId, SwarmView, Timestamp};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long a shutdown may take before the actor is simply stopped.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A member that can be asked by STUN, and whose canary zone can be asked through a resolver.
#[derive(Clone, PartialEq, Eq)]
pub struct Witness {
    /// Which node.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
    /// Where its STUN responder is.
    pub stun: Vec<SocketAddr>,
    /// The STUN user name it gave this node.
    pub username: String,
    /// The password that belongs to it.
    pub password: String,
    /// The canary zone it answers for, if any.
    pub canary_zone: Option<String>,
}

impl fmt::Debug for Witness {
    /// Without the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("stun", &self.stun)
            .field("canary_zone", &self.canary_zone)
            .finish_non_exhaustive()
    }
}

/// What happened in the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new entry of the membership log, to be persisted in the order in which they come.
    Membership(Vec<u8>),
    /// A node wants in; the owner compares its fingerprint and confirms it.
    Pending {
        /// Its identity.
        node: NodeId,
        /// What it calls itself.
        name: String,
        /// What it shows.
        fingerprint: String,
    },
    /// A node was admitted: on the inviting node the new one, on the new node itself.
    Confirmed {
        /// Its identity.
        node: NodeId,
        /// What people call it.
        name: String,
    },
    /// A node told how it is.
    Announced {
        /// Which.
        node: NodeId,
        /// What it said.
        announcement: Announcement,
    },
    /// This node took up an invitation and waits for the owner, who must see this fingerprint.
    Waiting {
        /// What to show.
        fingerprint: String,
    },
    /// An invitation this node took up came to nothing.
    PairingFailed {
        /// Why, and what to do, in a sentence.
        reason: String,
    },
}

/// A question to the actor.
pub(crate) enum Ask {
    Invite { ttl: Millis, reply: Reply<(String, Timestamp)> },
    Accept { invitation: Invitation, reply: Reply<String> },
    Confirm { fingerprint: String, reply: Reply<NodeId> },
    Revoke { node: NodeId, reply: Reply<()> },
    Announce { announcement: Announcement, reply: oneshot::Sender<()> },
    Attest { node: NodeId, reply: Reply<Attestation> },
    Answers { answers: Vec<NameAnswer> },
    NetworkChanged,
    Shutdown { reply: oneshot::Sender<()> },
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SwarmError>>;

/// The swarm as the engine holds it. Clones are cheap; the swarm ends with the last of them.
#[derive(Clone)]
pub struct Swarm {
    pub(crate) id: NodeId,
    pub(crate) inbox: mpsc::Sender<Ask>,
    pub(crate) view: watch::Receiver<SwarmView>,
    pub(crate) witnesses: watch::Receiver<Vec<Witness>>,
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) task: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm")
            .field("id", &self.id)
            .field("running", &!self.task.is_finished())
            .finish_non_exhaustive()
    }
}

impl Swarm {
    /// Starts this node. It goes on finding the other members, and answering them, until the last handle is gone. The
    /// receiver gets what happens; entries of the membership log wait for it, so it should be read.
    pub async fn start(config: Config) -> Result<(Self, mpsc::Receiver<Event>), SwarmError> {
        start::start(config).await
    }

    /// This node's identity.
    pub fn id(&self) -> NodeId {
        self.id.clone()
    }

    /// The swarm as this node sees it.
    pub fn view(&self) -> watch::Receiver<SwarmView> {
        self.view.clone()
    }

    /// The members that can be asked by STUN or DNS. They stay listed while they are not connected: after a network
    /// change STUN is what works first.
    pub fn witnesses(&self) -> watch::Receiver<Vec<Witness>> {
        self.witnesses.clone()
    }

    /// Makes an invitation that works for `ttl`; founds the swarm if this node belongs to none.
    pub async fn invite(&self, ttl: Millis) -> Result<(String, Timestamp), SwarmError> {
        self.ask(|reply| Ask::Invite { ttl, reply }).await
    }

    /// Takes up an invitation. Comes back with the fingerprint to show once the inviting node has heard this one;
    /// [`Event::Confirmed`] follows when the owner has confirmed it.
    pub async fn accept(&self, text: &str) -> Result<String, SwarmError> {
        let invitation: Invitation = text.parse()?;
        self.ask(|reply| Ask::Accept { invitation, reply }).await
    }

    /// Admits the waiting node that shows this fingerprint.
    pub async fn confirm(&self, fingerprint: &str) -> Result<NodeId, SwarmError> {
        let fingerprint = fingerprint.to_owned();
        self.ask(|reply| Ask::Confirm { fingerprint, reply }).await
    }

    /// Expels a node for ever.
    pub async fn revoke(&self, node: &NodeId) -> Result<(), SwarmError> {
        let node = node.clone();
        self.ask(|reply| Ask::Revoke { node, reply }).await
    }

    /// Tells all other nodes how this one is. Those that are not connected hear it when they next are.
    pub async fn announce(&self, announcement: Announcement) {
        let (reply, answer) = oneshot::channel();
        if self.inbox.send(Ask::Announce { announcement, reply }).await.is_ok() {
            // An actor that stopped has nobody to tell.
            let _ = answer.await;
        }
    }

    /// Says what names of this node's panel resolve to here, in place of what was said before. Members that ask for an
    /// attestation are told, with the ages grown by the time that has passed since; at most 16 names with 16 addresses
    /// each.
    pub async fn set_answers(&self, answers: Vec<NameAnswer>) {
        // An actor that stopped has nobody to tell.
        let _ = self.inbox.send(Ask::Answers { answers }).await;
    }

    /// Asks a witness what it saw of this node, and what names resolve to there; the answer is verified.
    pub async fn attest(&self, node: &NodeId) -> Result<Attestation, SwarmError> {
        let node = node.clone();
        self.ask(|reply| Ask::Attest { node, reply }).await
    }

    /// How many packets the STUN responder dropped: over their source's rate, malformed, or without a member's credential.
    pub fn dropped_stun_packets(&self) -> u64 {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).dropped()
    }

    /// Says that the local network changed or the machine woke: connections are probed and missing ones dialed at once,
    /// whatever the wait was.
    pub async fn network_changed(&self) {
        // An actor that stopped has no connections.
        let _ = self.inbox.send(Ask::NetworkChanged).await;
    }

    /// Ends the swarm: what was announced is still sent, then every connection is closed. Takes two seconds at most.
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        let finish = async {
            if self.inbox.send(Ask::Shutdown { reply }).await.is_ok() {
                let _ = done.await;
            }
        };
        if timeout(SHUTDOWN, finish).await.is_err() {
            tracing::warn!("the swarm did not end in time and is stopped");
        }
        self.task.abort();
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, SwarmError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(ask(reply)).await.map_err(|_| SwarmError::Stopped)?;
        answer.await.map_err(|_| SwarmError::Stopped)?
    }
}
