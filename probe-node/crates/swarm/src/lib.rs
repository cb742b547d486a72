//! The user's nodes: identity, pairing, membership and witnessing over libp2p.
//!
//! The nodes of a swarm find each other, admit new nodes, attest what they saw of each other, and
//! announce their verdicts. Only the members listed in the signed membership log get access to
//! these protocols. A node that wants to join gets the pairing protocol, and only while it holds
//! an open invitation.
//!
//! ```text
//!   Swarm (handle) --Command--> Actor --+-- libp2p: limits -> MembershipGate -> member protocols
//!     ^    ^                            |                  -> pairing protocol
//!     |    +-- watch: view, witnesses   |
//!     +------- Event (bounded)          +-- STUN responder, canary zone (tasks; the actor and the
//!                                           STUN responder share the ResponderState)
//! ```
//!
//! Where to find what, from the bottom up:
//!
//! - formats and rules without I/O: `wire`, `addresses`, `membership`, `stored_log`,
//!   `attestation`, `invitation`, `pairing`, `member_protocol`;
//! - the order of announcements, which it keeps in two files: `announcement_order`;
//! - what is served to members and resolvers: `stun_responder`, `canary`;
//! - the libp2p stack: `muxer`, `inbound_limits`, `gate`, `resolve_names`, `naming_transport`,
//!   `behaviour`;
//! - the task that owns all of it: `messages`, `actor`, and on top `start`.

mod actor;
mod addresses;
mod announcement_order;
mod attestation;
mod behaviour;
mod canary;
mod config;
mod error;
mod event_queue;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
mod handle;
mod identity;
mod inbound_limits;
mod invitation;
mod member_protocol;
mod membership;
mod messages;
mod muxer;
mod name_answers;
mod naming_transport;
mod pairing;
mod peer;
mod private_file;
mod rate_limiter;
mod resolve_names;
mod responder_state;
mod sockets;
mod start;
mod stored_log;
mod stun_responder;
mod subnet;
mod view;
mod wire;
#[cfg(test)]
mod wire_format_tests;

pub use attestation::{Attestation, AttestationError, SeenAddress};
pub use config::{CanaryConfig, SwarmConfig};
pub use error::SwarmError;
pub use handle::Swarm;
pub use identity::IdentityError;
pub use invitation::{Invitation, InvitationError};
pub use libp2p::Multiaddr;
pub use membership::MembershipError;
pub use messages::{Event, Witness};
pub use name_answers::NameAnswer;
pub use resolve_names::ResolveNames;
