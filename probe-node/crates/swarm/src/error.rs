//! What can go wrong between the user's nodes, in sentences a person can act on.

use crate::{
    attestation::AttestationError, identity::IdentityError, invitation::InvitationError, membership::LogError,
};
use libp2p::Multiaddr;
use sentinel_model::NodeId;
use std::{io, net::SocketAddr};

/// Why a swarm could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// A key file could not be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An invitation could not be used.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The stored list of members could not be used.
    #[error(
        "the stored list of members cannot be used: {0}; restore the ledger from a copy, or remove the list and pair this node again"
    )]
    Membership(#[from] LogError),
    /// The stored list of members does not know this node.
    #[error(
        "node {0} is not in the stored list of members; put the identity.key that belongs to this state directory back, or pair the node again"
    )]
    UnknownSelf(NodeId),
    /// An address to listen on could not be had.
    #[error("cannot listen on {address}: {cause}; free the port or choose another in the configuration")]
    Listen {
        /// The address asked for.
        address: Multiaddr,
        /// What the system said.
        cause: String,
    },
    /// A socket for the STUN responder or the canary zone could not be had.
    #[error(
        "cannot bind {address} for {purpose}: {cause}; free the port or choose another in the configuration"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What it was for.
        purpose: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The canary zone's name is no domain name.
    #[error("`{zone}` is not a domain name a canary can serve: {cause}; write it like `c.example.net`")]
    Zone {
        /// The name as configured.
        zone: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The transports could not be set up.
    #[error("cannot set up the network transports: {0}")]
    Transport(String),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// This node cannot sign membership.
    #[error("this node does not hold the owner's key; do it on {owner}, where the swarm was founded")]
    NotOwner {
        /// The node that founded the swarm.
        owner: String,
    },
    /// This node belongs to a swarm already.
    #[error(
        "this node already belongs to a swarm with {others} other nodes; revoke it there, or start it with an empty state directory, before it joins another"
    )]
    AlreadyMember {
        /// How many others there are.
        others: usize,
    },
    /// Another invitation is being taken up.
    #[error("another invitation is being taken up; wait until it is confirmed or has expired")]
    AlreadyJoining,
    /// Too many invitations are open.
    #[error("{0} invitations are open already; wait until one is used or expires")]
    TooManyInvitations(usize),
    /// The inviting node has no address.
    #[error(
        "this node listens on no address another node could reach; set `listen` and, behind a router, `external` in the configuration"
    )]
    NoAddress,
    /// The inviting node could not be reached.
    #[error(
        "the node that made the invitation cannot be reached at {addresses}; check that it runs and that its port is open"
    )]
    Unreachable {
        /// Where it was looked for.
        addresses: String,
    },
    /// The inviting node refused.
    #[error("the node that made the invitation refused: {0}")]
    Refused(String),
    /// Nobody waits with that fingerprint.
    #[error(
        "no node is waiting with the fingerprint {0}; compare it with what the new node shows, and mind that a request ends with its invitation"
    )]
    NobodyWaiting(String),
    /// A node is not, or no longer, a member.
    #[error("{0} is not a member of this swarm")]
    NotMember(NodeId),
    /// A node cannot revoke itself.
    #[error("a node cannot revoke itself; do it on another node that holds the owner's key")]
    RevokesItself,
    /// A node is not connected.
    #[error("{0} is not connected")]
    NotConnected(String),
    /// A node did not answer a request.
    #[error("{node} did not answer: {cause}")]
    NoAnswer {
        /// Which node.
        node: String,
        /// What happened instead.
        cause: String,
    },
    /// A node's attestation was refused.
    #[error("the attestation of {node} was rejected: {cause}")]
    Attestation {
        /// Which node.
        node: String,
        /// What was wrong with it.
        cause: AttestationError,
    },
    /// The swarm has been shut down.
    #[error("the swarm has been shut down")]
    Stopped,
}
