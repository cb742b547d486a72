//! The messages between members: requests and responses in CBOR over one libp2p protocol, and the
//! topic of their announcements.
//!
//! Only members can send any of it. The names of variants and fields are part of the format.

use crate::{
    announcement_order::OrderedAnnouncement,
    attestation::{Challenge, SignedStatement},
    membership::SwarmId,
};
use libp2p::{Multiaddr, StreamProtocol, gossipsub::IdentTopic};
use sentinel_model::Millis;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::{fmt, net::SocketAddr};

/// The id of the protocol between members.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/vpnsentinel/witness/1");
/// The largest request in bytes. The longest is a greeting.
pub(crate) const MAX_REQUEST_BYTES: u64 = 16 * 1024;
/// The largest response in bytes. The longest is a page of log entries.
pub(crate) const MAX_RESPONSE_BYTES: u64 = 256 * 1024;
/// The largest announcement in bytes, with its envelope.
pub(crate) const MAX_GOSSIP_BYTES: usize = 2048;
/// The most log entries in one response.
pub(crate) const MAX_ENTRIES_PER_RESPONSE: usize = 64;

/// The beginning of the topic of every swarm.
pub(crate) const TOPIC_PREFIX: &str = "/vpnsentinel/announce/1/";

/// A request from one member to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MemberRequest {
    /// Sends the state of this node, and asks for the other's.
    Hello(Hello),
    /// Asks for entries of the membership log.
    Entries {
        /// The last generation that the requesting node has.
        after: u64,
    },
    /// Asks for a credential for the STUN responder.
    Credential,
    /// Asks for an attestation of what the other node saw of this one.
    Attest {
        /// Repeated inside the signed statement.
        challenge: Challenge,
    },
}

/// The response to the request of the same name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MemberResponse {
    /// The state of the responding node.
    Hello(Hello),
    /// A page of log entries, empty if there are none.
    Entries(Vec<ByteBuf>),
    /// A credential, or `None` if this node is not a witness.
    Credential(Option<WitnessGrant>),
    /// The signed statement.
    #[serde(rename = "Attested")]
    Attestation(SignedStatement),
}

/// The state that a node reports to other members.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The generation of its membership log.
    pub generation: u64,
    /// The addresses at which it can be reached from outside.
    pub addresses: Vec<Multiaddr>,
    /// True if it relays traffic for members.
    pub relay: bool,
    /// Its last announcement.
    pub announcement: Option<OrderedAnnouncement>,
}

/// What a member needs to use this node as a witness: a STUN credential, and where to ask.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WitnessGrant {
    /// The STUN user name.
    pub username: String,
    /// The STUN password.
    pub password: String,
    /// The remaining validity of both.
    pub valid_for: Millis,
    /// The addresses of the STUN responder, empty if this node has none.
    pub stun: Vec<SocketAddr>,
    /// The canary zone for which this node is authoritative, if any.
    pub canary_zone: Option<String>,
}

impl fmt::Debug for WitnessGrant {
    /// Leaves out the credential, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitnessGrant").field("stun", &self.stun).finish_non_exhaustive()
    }
}

/// Returns the topic on which all members of a swarm announce.
pub(crate) fn topic(swarm: SwarmId) -> IdentTopic {
    IdentTopic::new(format!("{TOPIC_PREFIX}{swarm}"))
}
