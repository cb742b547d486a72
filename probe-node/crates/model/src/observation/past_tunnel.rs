//! What was measured outside the tunnel: the kill switch and the underlay.

use super::outcome::Outcome;
use crate::{
    net::{Family, Owner},
    time::Micros,
};
use ipnet::IpNet;
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
    /// The far end's operator, if this machine's own tables know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
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

/// An IPsec policy for packets that leave this machine.
///
/// The kernel encrypts the packets it applies to, whichever interface their route names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IpsecPolicy {
    /// The sources of the packets it applies to.
    pub source: IpNet,
    /// The destinations of the packets it applies to.
    pub destination: IpNet,
    /// What it does with them.
    pub action: IpsecAction,
}

/// What an IPsec policy does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpsecAction {
    /// They are sent to this gateway, encrypted, in tunnel mode.
    Tunnel {
        /// The far end, unless only a key exchange decides it.
        far_end: Option<IpAddr>,
    },
    /// They are encrypted and keep their destination: transport mode.
    Transport,
    /// They are sent as they are.
    Bypass,
    /// They are dropped.
    Block,
}

impl IpsecPolicy {
    /// Returns the IP version of the packets it applies to.
    pub fn family(&self) -> Family {
        Family::of(self.destination.addr())
    }

    /// Returns the far end that the packets are sent to, if the policy names one.
    pub fn far_end(&self) -> Option<IpAddr> {
        match self.action {
            IpsecAction::Tunnel { far_end } => far_end,
            IpsecAction::Transport | IpsecAction::Bypass | IpsecAction::Block => None,
        }
    }
}
