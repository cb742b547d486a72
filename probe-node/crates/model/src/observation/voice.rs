//! Who reports what it saw of this node.

use crate::{id::NodeId, net::NetworkKey};
use serde::{Deserialize, Serialize};

/// The origin of a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One of the user's own nodes.
    Node(NodeId),
    /// A public service, by its name in the configuration.
    Service(String),
}

/// A witness as the judge counts it.
///
/// Several voices in the same network count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voice {
    /// The node or service.
    pub source: Source,
    /// Its name for people: `vps-fra`, `stun.example.net`.
    pub name: String,
    /// The network it is in.
    pub network: NetworkKey,
}
