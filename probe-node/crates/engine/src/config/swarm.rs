//! How this node is reached: by the user's other nodes, and by HTTP.

use sentinel_swarm::{CanaryConfig, Multiaddr};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// `[swarm]`: the user's other nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwarmConfig {
    /// The addresses on which this node listens for the others.
    pub listen: Vec<Multiaddr>,
    /// The addresses at which the others reach this node, if it is reachable.
    pub external: Vec<Multiaddr>,
    /// The addresses on which the STUN responder listens.
    pub stun: Vec<SocketAddr>,
    /// The addresses at which the others reach the STUN responder; empty if they cannot.
    pub stun_external: Vec<SocketAddr>,
    /// True if this node relays between members that cannot reach each other.
    pub relay: bool,
    /// A DNS zone served by this node, whose answers report who asked.
    pub canary: Option<CanaryConfig>,
    /// A file with an invitation to accept at start, for containers.
    pub invitation_file: Option<PathBuf>,
}

/// `[api]`: the HTTP API and dashboard.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// The address on which it listens.
    pub listen: SocketAddr,
    /// The file with the token that every request must carry; required beyond loopback.
    pub token_file: Option<PathBuf>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7466)), token_file: None }
    }
}
