//! What a swarm needs to know to start.

use libp2p::Multiaddr;
use sentinel_model::{Clock, NodeRole};
use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a swarm needs to know to start.
#[derive(Clone)]
pub struct Config {
    /// Where the keys live: `identity.key` and, on the node that founded the swarm, `owner.key`. Made if absent.
    pub state_dir: PathBuf,
    /// What people call this node.
    pub name: String,
    /// What this node is for.
    pub role: NodeRole,
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Where other nodes reach this one from outside. Empty for a node behind a router: it is then reached through a
    /// relay.
    pub external: Vec<Multiaddr>,
    /// Where the STUN responder listens.
    pub stun: Vec<SocketAddr>,
    /// Where members are told to find the STUN responder; empty if this node is no witness by STUN. Port 0 stands for
    /// the port the first responder of that family is bound to.
    pub stun_external: Vec<SocketAddr>,
    /// The canary zone this node is authoritative for, if any.
    pub canary: Option<Canary>,
    /// Whether this node passes traffic on between members that cannot reach each other.
    pub relay: bool,
    /// The membership log as the store has it, oldest entry first.
    pub membership: Vec<Vec<u8>>,
    /// An invitation to take up, for a node without a screen. Ignored once the node is a member.
    pub invitation: Option<String>,
    /// Where the time comes from.
    pub clock: Clock,
}

/// A DNS zone whose answers tell which address asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The zone delegated to this node: `c.probe.example`.
    pub zone: String,
    /// Where to answer, over UDP and TCP; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
}

impl fmt::Debug for Config {
    /// Without the invitation, which is a secret, and the clock, which is a function.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
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
