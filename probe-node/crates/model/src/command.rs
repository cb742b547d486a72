//! What a person or a program may ask of a node.

use crate::{
    home::Home,
    id::{IncidentId, NodeId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// What a person or a program may ask of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Run every check now. The reply comes when the round is done.
    CheckNow,
    /// Stop judging until then, or until told.
    Pause {
        /// When to go on by itself; never, if absent.
        until: Option<Timestamp>,
    },
    /// Go on after a pause.
    Resume,
    /// The person knows of this incident.
    Acknowledge {
        /// Which.
        incident: IncidentId,
    },
    /// What the exits are now is the home line. Only sensible while the VPN is off.
    LearnHome,
    /// Tell which line is home. The answer goes to whoever asks on this machine and to nobody else.
    ShowHome,
    /// These addresses are the home line, in place of what was learned before.
    SetHome {
        /// The addresses the world sees without the VPN.
        addresses: Vec<IpAddr>,
    },
    /// Make an invitation for a new node.
    Invite,
    /// Join another node's swarm with its invitation.
    AcceptInvitation {
        /// The pasted string.
        invitation: String,
    },
    /// Admit a node that is waiting, by the fingerprint it shows.
    Confirm {
        /// The fingerprint: `7QK2-M9XD`.
        fingerprint: String,
    },
    /// Revoke a node, for ever.
    Revoke {
        /// Which.
        node: NodeId,
    },
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// Done; the snapshot shows the effect.
    Done,
    /// What identifies the home line: what the user wrote, what was learned, and what nodes of the role `home` say.
    Home {
        /// All of it.
        home: Home,
    },
    /// An invitation to hand to the new node.
    Invitation {
        /// The string to paste.
        text: String,
        /// When it stops working.
        expires: Timestamp,
    },
    /// The invitation was taken up; the owner must now confirm this fingerprint.
    Waiting {
        /// What this node shows and the owner compares.
        fingerprint: String,
    },
}

/// Why a command was not carried out: the thing, the cause and the way out, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// The sentence.
    pub message: String,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}
