//! The errors of the swarm, as sentences that a person can act on.

use crate::{
    attestation::AttestationError, identity::IdentityError, invitation::InvitationError,
    membership::MembershipError,
};
use libp2p::Multiaddr;
use sentinel_model::NodeId;
use std::{io, net::SocketAddr};

/// Why a swarm could not start or carry out a command.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// A key file could not be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An invitation could not be used.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The membership log could not be used.
    #[error(
        "The stored list of members cannot be used: {0}. Restore the ledger from a backup, or remove the list and pair this node again."
    )]
    Membership(#[from] MembershipError),
    /// This node has lost entries of the membership log and cannot sign the next one.
    #[error(
        "This node has {have} of {last} entries of the list of members: a crash or a full disk lost the others. Connect it to another node of the swarm, which sends them, or restore the ledger from a backup."
    )]
    IncompleteLog {
        /// The entries that it has.
        have: u64,
        /// The entries that it had.
        last: u64,
    },
    /// This node is not in its own membership log.
    #[error(
        "Node {0} is not in the stored list of members. Restore the identity.key that belongs to this state directory, or pair the node again."
    )]
    UnknownSelf(NodeId),
    /// The node cannot listen on an address.
    #[error("Cannot listen on {address}: {cause}. Free the port, or choose another in the configuration.")]
    Listen {
        /// The configured address.
        address: Multiaddr,
        /// The error of the transport.
        cause: String,
    },
    /// A socket of the STUN responder or the canary zone could not be bound.
    #[error(
        "Cannot bind {address} for {purpose}: {cause}. Free the port, or choose another in the configuration."
    )]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The service that needs the socket.
        purpose: &'static str,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The name of the canary zone is not usable.
    #[error(
        "`{zone}` is not a domain name for a canary zone: {cause}. Write it in the form `c.example.net`."
    )]
    Zone {
        /// The configured name.
        zone: String,
        /// The reason in short.
        cause: String,
    },
    /// The transports could not be set up.
    #[error(
        "Cannot set up encrypted connections to other nodes: {0}. Restart the program; if that does not help, report this message."
    )]
    Transport(String),
    /// The operating system returned no random numbers.
    #[error("The operating system returned no random numbers: {0}.")]
    Random(#[from] getrandom::Error),
    /// This node cannot sign membership entries.
    #[error("This node does not hold the owner's key. Do this on {owner}, where the swarm was founded.")]
    NotOwner {
        /// The display name of the node that founded the swarm.
        owner: String,
    },
    /// This node is already a member of a swarm.
    #[error(
        "This node already belongs to a swarm with {others} other nodes. Revoke it there, or start it with an empty state directory, before it joins another swarm."
    )]
    AlreadyMember {
        /// The number of other members.
        others: usize,
    },
    /// This node is already using another invitation.
    #[error("This node is already using another invitation. Wait until it is confirmed or has expired.")]
    AlreadyJoining,
    /// Too many invitations are open.
    #[error("{0} invitations are open already. Wait until one is used or expires.")]
    TooManyInvitations(usize),
    /// This node has no address that an invitation could name.
    #[error(
        "This node listens on no address that another node could reach. Set `listen` and, behind a router, `external` in the configuration."
    )]
    NoAddress,
    /// The inviting node could not be reached.
    #[error(
        "The node that made the invitation cannot be reached at {addresses}. Check that it runs and that its port is open."
    )]
    Unreachable {
        /// The addresses in the invitation.
        addresses: String,
    },
    /// The name of the inviting node could not be resolved.
    #[error(
        "The node that made the invitation cannot be reached at {addresses}: {cause}. Check the name, and that names are resolved here, inside the tunnel if a VPN is in use."
    )]
    UnresolvedName {
        /// The addresses in the invitation.
        addresses: String,
        /// What is wrong with the name in them.
        cause: String,
    },
    /// The inviting node refused the pairing request.
    #[error("The node that made the invitation refused: {0}.")]
    Refused(String),
    /// No node with this fingerprint is waiting for confirmation.
    #[error(
        "No node with the fingerprint {0} is waiting. Compare it with the one that the new node shows; a request ends when its invitation expires."
    )]
    UnknownFingerprint(String),
    /// A node is not a member, or no longer one.
    #[error("{0} is not a member of this swarm.")]
    NotMember(NodeId),
    /// A node was asked to revoke itself.
    #[error("A node cannot revoke itself. Do this on another node that holds the owner's key.")]
    CannotRevokeSelf,
    /// A node is not connected.
    #[error("{0} is not connected.")]
    NotConnected(String),
    /// A node did not answer a request.
    #[error("{node} did not answer: {cause}.")]
    NoAnswer {
        /// The display name of the node.
        node: String,
        /// The reason in short.
        cause: String,
    },
    /// The attestation of a node was rejected.
    #[error("The attestation of {node} was rejected: {cause}.")]
    Attestation {
        /// The display name of the node.
        node: String,
        /// What was wrong with the attestation.
        cause: AttestationError,
    },
    /// The swarm was shut down.
    #[error("The swarm was shut down.")]
    Stopped,
}
