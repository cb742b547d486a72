//! What members say to each other: request and response in CBOR over one libp2p protocol, and the topic they announce
//! on. Strangers never reach any of it.

use crate::{
    attestation::{Challenge, Signed},
    credential::Grant,
    membership::SwarmId,
};
use libp2p::{Multiaddr, StreamProtocol, gossipsub::IdentTopic};
use sentinel_model::Announcement;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The protocol between members.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/vpnsentinel/witness/1");
/// A request is a greeting at most.
pub(crate) const MAX_REQUEST_BYTES: u64 = 16 * 1024;
/// A response is a page of the log at most.
pub(crate) const MAX_RESPONSE_BYTES: u64 = 256 * 1024;
/// An announcement and its envelope.
pub(crate) const MAX_GOSSIP_BYTES: usize = 2048;
/// How many entries of the log travel in one response.
pub(crate) const PAGE: usize = 64;

/// What one member asks another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Says how things are here; the answer says how they are there.
    Hello(Hello),
    /// Entries of the membership log after this generation, please.
    Entries {
        /// The last generation the asker has.
        after: u64,
    },
    /// A credential for the STUN responder, please.
    Credential,
    /// What have you seen of me?
    Attest {
        /// To be answered inside the signature.
        challenge: Challenge,
    },
}

/// The answer to the request of the same name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// To `Hello`.
    Hello(Hello),
    /// To `Entries`: a page of them, empty at the end.
    Entries(Vec<ByteBuf>),
    /// To `Credential`; none if this node is no witness.
    Credential(Option<Grant>),
    /// To `Attest`.
    Attested(Signed),
}

/// How things are with a node. The channel proves whose words these are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The generation of its membership log.
    pub generation: u64,
    /// Where it can be reached from outside.
    pub addresses: Vec<Multiaddr>,
    /// Whether it passes traffic on for members.
    pub relay: bool,
    /// What it last announced.
    pub announcement: Option<Announcement>,
}

/// The topic all members of a swarm announce on.
pub(crate) fn topic(swarm: SwarmId) -> IdentTopic {
    IdentTopic::new(format!("/vpnsentinel/announce/1/{swarm}"))
}
