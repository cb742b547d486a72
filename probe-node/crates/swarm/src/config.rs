//! The configuration of a swarm.

use crate::resolve_names::ResolveNames;
use libp2p::Multiaddr;
use sentinel_model::{Clock, NodeRole};
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

/// Everything a swarm needs to start.
#[derive(Clone)]
pub struct SwarmConfig {
    /// The directory of the key files, created if absent.
    ///
    /// Holds `identity.key` and, on the node that founded the swarm, `owner.key`.
    pub state_dir: PathBuf,
    /// The display name of this node.
    pub name: String,
    /// The purpose of this node.
    pub role: NodeRole,
    /// Addresses to listen on. Port 0 lets the system choose a port.
    pub listen: Vec<Multiaddr>,
    /// Addresses at which other nodes reach this one from outside.
    ///
    /// Empty for a node behind a router, which is reached through a relay instead.
    pub external: Vec<Multiaddr>,
    /// Addresses the STUN responder listens on.
    pub stun: Vec<SocketAddr>,
    /// Addresses of the STUN responder as members are given them.
    ///
    /// Empty if this node is not a witness by STUN. Port 0 stands for the port to which the first
    /// responder of that family is bound.
    pub stun_external: Vec<SocketAddr>,
    /// The canary zone for which this node is authoritative, if any.
    pub canary: Option<CanaryConfig>,
    /// True if this node relays traffic between members that cannot reach each other.
    pub relay: bool,
    /// The stored entries of the membership log, oldest first.
    pub membership: Vec<Vec<u8>>,
    /// An invitation to accept at start, for a node without a screen.
    ///
    /// Ignored once the node is a member.
    pub invitation: Option<String>,
    /// Looks up the names in other nodes' addresses.
    pub names: Arc<dyn ResolveNames>,
    /// The source of the current time.
    pub clock: Clock,
}

/// A DNS zone whose answers contain the address that sent the query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// The zone delegated to this node, for example `c.probe.example`.
    pub zone: String,
    /// Addresses to serve it on, over UDP and TCP. Port 0 lets the system choose a port.
    pub listen: Vec<SocketAddr>,
}

impl fmt::Debug for SwarmConfig {
    /// Leaves out the invitation, which is a secret, and the parts that are not data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwarmConfig")
            .field("state_dir", &self.state_dir)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("listen", &self.listen)
            .field("external", &self.external)
            .field("stun", &self.stun)
            .field("stun_external", &self.stun_external)
            .field("canary", &self.canary)
            .field("relay", &self.relay)
            .field("entries", &self.membership.len())
            .finish_non_exhaustive()
    }
}
