//! Connected sockets that may be outside the tunnel.

use super::outcome::Outcome;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// The connected sockets whose source address belongs to another interface than the tunnel, as one
/// look at the system's socket table found them.
///
/// Only sockets with a public peer are listed. Not listed are the sockets of this program and of a
/// VPN client that owns a tunnel's device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketTable {
    /// The sockets.
    pub sockets: Vec<OutsideSocket>,
    /// Whether these are all; false if there were more than are listed.
    pub is_complete: bool,
}

/// A connected socket whose source address belongs to another interface than the tunnel.
///
/// The source address alone does not prove that its packets leave there: the routes decide, and a
/// connection from before the tunnel may be stalled inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideSocket {
    /// Identifies the socket while it exists.
    pub id: u64,
    /// Its protocol.
    pub protocol: TransportProtocol,
    /// The address it is connected to, never IPv4-mapped.
    pub peer: SocketAddr,
    /// The interface that has its source address.
    pub interface: String,
    /// The program that has it open.
    pub program: Outcome<Program>,
    /// The name of the user that opened it, or the number of a user without a name.
    pub user: String,
    /// Whether that user is the system or one of its services.
    pub is_system_user: bool,
    /// The interface by which the system sends a packet of this socket now.
    pub leaves_by: Outcome<String>,
    /// How long ago the peer's last packet arrived. `None` if the system does not say.
    pub heard_ago: Option<Millis>,
    /// Whether it moved more data since the last look than the tunnel carried.
    pub exceeds_tunnel: bool,
}

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name of its process, which may be that of a script: `zoom`.
    pub name: String,
    /// The name of its file, if that can be read.
    pub executable: Option<String>,
}

impl Program {
    /// Returns true if this is the program's name, or that of its file.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.executable.as_deref() == Some(name)
    }
}

impl OutsideSocket {
    /// Returns what the program is called: by its name, else by its user, as `user alice`.
    pub fn program_label(&self) -> String {
        match &self.program {
            Outcome::Measured(program) => program.name.clone(),
            Outcome::Unknown(_) => format!("user {}", self.user),
        }
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for TransportProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}
