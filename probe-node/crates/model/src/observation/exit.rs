//! What voices saw: the exit address, and how long the exchange took.

use super::{outcome::Outcome, route::RouteTaken, voice::Voice};
use crate::{
    net::{Attributed, Family},
    time::Micros,
};
use serde::{Deserialize, Serialize};

/// How a voice learned the exit address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitPath {
    /// An authenticated STUN exchange with one of the user's nodes.
    Beacon,
    /// A node's signed attestation of what it saw in an earlier exchange.
    Attested,
    /// A public STUN server.
    Stun,
    /// An HTTPS service that returns the caller's address.
    HttpsEcho,
}

/// The exit address, as one voice saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSeen {
    /// The IP version it was asked over.
    pub family: Family,
    /// The voice that was asked.
    pub voice: Voice,
    /// How it was asked.
    pub path: ExitPath,
    /// The address it saw.
    pub address: Outcome<Attributed>,
    /// The route by which it was asked, if the kernel reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteTaken>,
}

/// The round-trip time to a target: the minimum of several exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The IP version it was measured over.
    pub family: Family,
    /// The voice that answered.
    pub target: Voice,
    /// The round-trip time.
    pub rtt: Micros,
    /// The exit address seen in the same exchange, which identifies the path that was measured.
    pub exit: Option<Attributed>,
}
