//! The user's nodes and what they are to each other: they find one another, admit new ones, vouch for what they saw,
//! and tell all the others how they are. Only members of one swarm, listed in a log the owner signs, ever speak any of
//! it; a node that wants in is heard through an invitation and nothing else.
//!
//! ```text
//!   Swarm (handle) --Ask--> Actor --+-- libp2p: limits -> Gate -> [ members' protocols ]
//!     ^    ^                        |                  -> pairing
//!     |    +-- watch: view, witnesses
//!     +------- Event (bounded)      +-- STUN responder, canary zone (tasks; they share the credential Book)
//! ```

mod actor;
mod addresses;
mod answers;
mod attestation;
mod behaviour;
mod canary;
mod config;
mod credential;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
mod handle;
mod identity;
mod invitation;
mod limiter;
mod membership;
mod outbox;
mod pairing;
mod peer;
mod protocol;
mod sockets;
mod start;
mod stun;
mod view;
mod wire;
#[cfg(test)]
mod wire_format;

pub use answers::NameAnswer;
pub use attestation::{Attestation, AttestationError, SeenAddress};
pub use config::{Canary, Config};
pub use error::SwarmError;
pub use handle::{Event, Swarm, Witness};
pub use identity::IdentityError;
pub use invitation::{Invitation, InvitationError};
pub use libp2p::Multiaddr;
pub use membership::LogError;
