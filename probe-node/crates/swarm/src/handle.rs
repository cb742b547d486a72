//! The handle that the engine holds: it sends commands to the actor and watches its state.

use crate::{
    attestation::Attestation,
    error::SwarmError,
    invitation::Invitation,
    messages::{Command, Reply, Witness},
    name_answers::NameAnswer,
    responder_state::ResponderState,
};
use sentinel_model::{Announcement, Millis, NodeId, SwarmView, Timestamp};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long a shutdown may take before the actor's task is aborted.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A handle to the swarm. Clones are cheap; the swarm ends with the last of them.
#[derive(Clone)]
pub struct Swarm {
    pub(crate) id: NodeId,
    pub(crate) inbox: mpsc::Sender<Command>,
    pub(crate) view: watch::Receiver<SwarmView>,
    pub(crate) witnesses: watch::Receiver<Vec<Witness>>,
    pub(crate) responder_state: Arc<Mutex<ResponderState>>,
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
    /// Returns the id of this node.
    pub fn id(&self) -> NodeId {
        self.id.clone()
    }

    /// Returns a receiver of the swarm's state as this node sees it.
    pub fn view(&self) -> watch::Receiver<SwarmView> {
        self.view.clone()
    }

    /// Returns a receiver of the members usable as witnesses by STUN or DNS.
    ///
    /// They stay listed while they are not connected: after a network change, STUN is what works
    /// first.
    pub fn witnesses(&self) -> watch::Receiver<Vec<Witness>> {
        self.witnesses.clone()
    }

    /// Makes an invitation that is valid for `ttl`, and returns its text and expiry.
    ///
    /// Founds a swarm if this node belongs to none.
    pub async fn invite(&self, ttl: Millis) -> Result<(String, Timestamp), SwarmError> {
        self.call(|reply| Command::Invite { ttl, reply }).await
    }

    /// Asks to join with an invitation, and returns the fingerprint to show.
    ///
    /// Returns once the inviting node has responded. `Event::Admitted`
    /// follows when the owner has confirmed this node.
    pub async fn accept(&self, text: &str) -> Result<String, SwarmError> {
        let invitation: Invitation = text.parse()?;
        self.call(|reply| Command::Accept { invitation, reply }).await
    }

    /// Admits the waiting node with this fingerprint, and returns its id.
    pub async fn confirm(&self, fingerprint: &str) -> Result<NodeId, SwarmError> {
        let fingerprint = fingerprint.to_owned();
        self.call(|reply| Command::Confirm { fingerprint, reply }).await
    }

    /// Expels a node for ever.
    pub async fn revoke(&self, node: &NodeId) -> Result<(), SwarmError> {
        let node = node.clone();
        self.call(|reply| Command::Revoke { node, reply }).await
    }

    /// Announces the state of this node to all others.
    ///
    /// Members that are not connected get the announcement when they next are.
    pub async fn announce(&self, announcement: Announcement) {
        let (reply, done) = oneshot::channel();
        if self.inbox.send(Command::Announce { announcement, reply }).await.is_ok() {
            // Fails only if the actor stopped, and then there is nothing to announce to.
            let _ = done.await;
        }
    }

    /// Sets the answers that this node's attestations contain, in place of the previous ones.
    ///
    /// Their ages grow until they are sent. At most 16 names with 16 addresses each are kept.
    pub async fn set_answers(&self, answers: Vec<NameAnswer>) {
        // Fails only if the actor stopped, and then nobody asks for the answers.
        let _ = self.inbox.send(Command::ShareAnswers { answers }).await;
    }

    /// Requests an attestation from a witness, and verifies it.
    ///
    /// It contains the addresses at which the witness saw this node, and how names resolve there.
    pub async fn attest(&self, node: &NodeId) -> Result<Attestation, SwarmError> {
        let node = node.clone();
        self.call(|reply| Command::RequestAttestation { node, reply }).await
    }

    /// Returns the number of packets that the STUN responder dropped.
    ///
    /// They were over their source's rate, malformed, or without a member's credential.
    pub fn dropped_stun_packets(&self) -> u64 {
        self.responder_state.lock().unwrap_or_else(PoisonError::into_inner).dropped_packets()
    }

    /// Reports that the local network changed or the machine woke.
    ///
    /// Connections are then tested and missing ones dialed at once, without a backoff delay.
    pub async fn network_changed(&self) {
        // Fails only if the actor stopped, and then there are no connections.
        let _ = self.inbox.send(Command::NetworkChanged).await;
    }

    /// Lets pending announcements go out, closes every connection, and stops the swarm.
    ///
    /// Takes at most two seconds.
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        let finish = async {
            if self.inbox.send(Command::Shutdown { reply }).await.is_ok() {
                let _ = done.await;
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, finish).await.is_err() {
            tracing::warn!("The swarm did not stop in time and is aborted");
        }
        self.task.abort();
    }

    async fn call<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SwarmError> {
        let (reply, result) = oneshot::channel();
        self.inbox.send(command(reply)).await.map_err(|_| SwarmError::Stopped)?;
        result.await.map_err(|_| SwarmError::Stopped)?
    }
}
