//! What was measured outside the tunnel: the kill switch and the underlay.

use super::outcome::Outcome;
use crate::{net::Family, time::Micros};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// An attempt to send packets outside the tunnel through one physical interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitchSeen {
    /// The interface.
    pub interface: String,
    /// The IP version.
    pub family: Family,
    /// Whether they got out. Without any answer it is undetermined.
    pub egress: Outcome<PhysicalEgress>,
}

/// Whether packets that are bound to a physical interface leave the machine there.
///
/// Such packets ignore the routes that lead into the tunnel, so only a kill switch stops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhysicalEgress {
    /// They do. There is no kill switch, or it is open.
    Open {
        /// The router or server that answered, which is the proof.
        by: IpAddr,
    },
    /// This machine refuses to send them. A kill switch is closed.
    Closed,
}

/// The round-trip time to the tunnel's far end, outside the tunnel.
///
/// Nothing inside the tunnel can be faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderlaySeen {
    /// The far end.
    pub endpoint: IpAddr,
    /// The minimum of several exchanges.
    pub rtt: Outcome<Micros>,
    /// What says that this address is the far end.
    #[serde(default)]
    pub evidence: FarEndEvidence,
}

/// What says that an address is the far end of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FarEndEvidence {
    /// Only a host route outside the tunnel. Whoever runs the network may have handed it out.
    #[default]
    HostRoute,
    /// A host route, beside a process that owns a tunnel's device and whose socket names no peer.
    UnconnectedSocket,
    /// A socket of a process that owns a tunnel's device is connected to it.
    Socket,
    /// It is a peer of a WireGuard interface or of an IPsec association.
    Peer,
    /// The user stated it.
    Stated,
}
