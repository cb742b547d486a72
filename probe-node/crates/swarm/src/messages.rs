//! The messages between the engine, the handle and the actor.

use crate::{attestation::Attestation, error::SwarmError, invitation::Invitation, name_answers::NameAnswer};
use sentinel_model::{Announcement, Millis, NodeId, Timestamp};
use std::{fmt, net::SocketAddr};
use tokio::sync::oneshot;

/// A command from the handle to the actor.
pub(crate) enum Command {
    Invite { ttl: Millis, reply: Reply<(String, Timestamp)> },
    Accept { invitation: Invitation, reply: Reply<String> },
    Confirm { fingerprint: String, reply: Reply<NodeId> },
    Revoke { node: NodeId, reply: Reply<()> },
    Announce { announcement: Announcement, reply: oneshot::Sender<()> },
    RequestAttestation { node: NodeId, reply: Reply<Attestation> },
    ShareAnswers { answers: Vec<NameAnswer> },
    NetworkChanged,
    Shutdown { reply: oneshot::Sender<()> },
}

/// The channel on which the actor sends the result of a command.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SwarmError>>;

/// Sends the result of a command. Does nothing if the caller no longer waits for it.
pub(crate) fn send_reply<T>(reply: Reply<T>, result: Result<T, SwarmError>) {
    let _ = reply.send(result);
}

/// An event in the swarm, for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The membership log has a new entry. Entries must be stored in the order in which they come.
    MembershipEntry(Vec<u8>),
    /// A node asks to join. The owner should compare its fingerprint and confirm it.
    PairingRequested {
        /// The id of the node.
        node: NodeId,
        /// The display name of the node.
        name: String,
        /// The fingerprint that the node shows.
        fingerprint: String,
    },
    /// A node was admitted: on the inviting node the new one, on the new node itself.
    Admitted {
        /// The id of the node.
        node: NodeId,
        /// The display name of the node.
        name: String,
    },
    /// A node made an announcement.
    Announced {
        /// The id of the node.
        node: NodeId,
        /// The content of the announcement.
        announcement: Announcement,
    },
    /// This node asked to join and waits for the owner, who should compare this fingerprint.
    AwaitingConfirmation {
        /// The fingerprint to show.
        fingerprint: String,
    },
    /// This node could not join with the invitation it was given.
    PairingFailed {
        /// A sentence with the cause and the remedy.
        reason: String,
    },
}

/// A member that serves this node as a witness: by STUN, by its canary zone, or both.
#[derive(Clone, PartialEq, Eq)]
pub struct Witness {
    /// The id of the node.
    pub node: NodeId,
    /// The display name of the node.
    pub name: String,
    /// The addresses of its STUN responder.
    pub stun: Vec<SocketAddr>,
    /// The STUN user name that it issued to this node.
    pub username: String,
    /// The STUN password for that user name.
    pub password: String,
    /// The canary zone for which it is authoritative, if any.
    pub canary_zone: Option<String>,
}

impl fmt::Debug for Witness {
    /// Leaves out the credential, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("stun", &self.stun)
            .field("canary_zone", &self.canary_zone)
            .finish_non_exhaustive()
    }
}
