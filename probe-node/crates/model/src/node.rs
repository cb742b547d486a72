//! The user's nodes, as they see one another.

use crate::{id::NodeId, time::Timestamp, verdict::Verdict};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// The purpose of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// A person's machine behind a VPN.
    Desktop,
    /// A headless node.
    Probe,
    /// A headless node on the home line, which keeps the addresses of home current.
    Home,
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Desktop => "desktop",
            Self::Probe => "probe",
            Self::Home => "home",
        })
    }
}

/// How a node can be reached at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reachability {
    /// By a direct connection.
    Direct,
    /// Through a relay.
    Relayed,
    /// Not connected.
    Lost,
    /// Not connected, after it announced that it goes to sleep.
    Asleep,
}

/// What a node reports about itself to all others.
///
/// It contains no addresses, except those of the home line from a node of the role `home`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its verdict.
    pub verdict: Verdict,
    /// Since when it has had this verdict.
    pub since: Timestamp,
    /// The number of its open incidents.
    pub open_incidents: u32,
    /// Whether it is about to sleep or stop, so that its silence raises no alarm.
    pub leaving: bool,
    /// The exit addresses of a node of the role `home`, which are those of the home line.
    ///
    /// At most one per family; empty for nodes of any other role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub home_exit: Vec<IpAddr>,
    /// When it was sent, by the sender's clock.
    pub at: Timestamp,
}

/// One of the user's nodes, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its identity.
    pub id: NodeId,
    /// Its name for people.
    pub name: String,
    /// Its purpose.
    pub role: NodeRole,
    /// Whether it is this node.
    pub is_self: bool,
    /// How it can be reached at the moment.
    pub reachability: Reachability,
    /// Why the name in its addresses cannot be resolved, if that keeps this node from connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_error: Option<String>,
    /// Its last announcement, if any arrived.
    pub announced: Option<Announcement>,
    /// When anything last arrived from it, by this node's clock.
    pub last_heard: Option<Timestamp>,
}
