//! The messages between a node that wants to join and the inviting node, in CBOR.
//!
//! The names of variants and fields are part of the format.

use crate::membership::SwarmId;
use libp2p::{Multiaddr, StreamProtocol};
use sentinel_model::NodeRole;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;

/// The id of the pairing protocol, the only one offered to nodes that are not members.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/vpnsentinel/pairing/1");
/// The largest request in bytes.
pub(crate) const MAX_REQUEST_BYTES: u64 = 8 * 1024;
/// The largest response in bytes. It may contain a whole membership log.
pub(crate) const MAX_RESPONSE_BYTES: u64 = 16 * 1024 * 1024;

/// The request of a node that wants to join.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PairingRequest {
    /// The swarm named in the invitation.
    pub swarm: SwarmId,
    /// Proof that it holds the invitation's secret, bound to both nodes.
    pub proof: [u8; 32],
    /// Its display name.
    pub name: String,
    /// Its purpose.
    pub role: NodeRole,
    /// The addresses at which it can be reached.
    pub addresses: Vec<Multiaddr>,
    /// True if it relays traffic for members.
    pub relay: bool,
}

/// The response of the inviting node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PairingResponse {
    /// The owner has not decided yet. The node should ask again soon.
    Waiting,
    /// The node is a member, according to the enclosed log.
    Welcome(Vec<ByteBuf>),
    /// The node cannot join with this invitation.
    Refused(PairingRefusal),
}

/// Why a node cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PairingRefusal {
    /// The inviting node does not know the invitation.
    Unknown,
    /// The invitation has expired.
    Expired,
    /// Another node used the invitation.
    Used,
    /// The node was revoked.
    Revoked,
}

impl fmt::Display for PairingRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "it does not know this invitation (a restart makes it forget them); make a new one"
            }
            Self::Expired => "the invitation has expired; make a new one",
            Self::Used => {
                "the invitation was already used by another node; if you did not expect that, revoke that node, then make a new invitation"
            }
            Self::Revoked => {
                "this node was revoked, which is permanent; move its state directory away so that it gets a new identity"
            }
        })
    }
}
