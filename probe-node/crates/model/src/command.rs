//! Commands to a node, and the replies to them.

use crate::{
    home::Home,
    id::{IncidentId, NodeId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// A command from a person or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Run every check now. The reply arrives when the round has ended.
    CheckNow,
    /// Stop judging until the given time, or until [`Command::Resume`].
    Pause {
        /// When judging resumes by itself. `None` means never.
        until: Option<Timestamp>,
    },
    /// End a pause.
    Resume,
    /// Mark an incident as seen by the person.
    Acknowledge {
        /// The incident.
        incident: IncidentId,
    },
    /// Take the current exits as the home line. Only sensible while the VPN is off.
    LearnHome {
        /// Whether the person confirmed it although a tunnel seems to be up.
        ///
        /// Without this, the command is refused then, with a warning: an access line may look like
        /// a tunnel, but mostly it is the VPN.
        #[serde(default)]
        confirmed: bool,
    },
    /// Return what identifies the home line.
    ///
    /// The reply is given to callers on this machine only.
    ShowHome,
    /// Replace the learned home line by these addresses.
    SetHome {
        /// The exit addresses without the VPN.
        addresses: Vec<IpAddr>,
    },
    /// Create an invitation for a new node.
    Invite,
    /// Join another node's swarm with its invitation.
    AcceptInvitation {
        /// The invitation, as pasted by the person.
        invitation: String,
    },
    /// Admit the pending node with this fingerprint.
    Confirm {
        /// The fingerprint the node shows: `7QK2-M9XD`.
        fingerprint: String,
    },
    /// Revoke a node permanently.
    Revoke {
        /// The node.
        node: NodeId,
    },
}

/// The result of a successful command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// The command was carried out. The next snapshot shows its effect.
    Done,
    /// What identifies the home line.
    Home {
        /// The configured, learned and announced parts together.
        home: Home,
    },
    /// An invitation for the new node.
    Invitation {
        /// The string to paste there.
        text: String,
        /// When it expires.
        expires: Timestamp,
    },
    /// The invitation was accepted. The owner has to confirm this fingerprint next.
    Waiting {
        /// The fingerprint that this node shows and the owner compares.
        fingerprint: String,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// One sentence with the thing, the cause and the way out.
    pub message: String,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}
