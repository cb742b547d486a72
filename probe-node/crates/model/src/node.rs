//! The user's nodes as they know one another.

use crate::{id::NodeId, time::Timestamp, verdict::Verdict};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// A person's machine behind a VPN.
    Desktop,
    /// A headless node.
    Probe,
    /// A headless node that sits on the home line and keeps `home` current.
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

/// How a node is reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reachability {
    /// A direct connection.
    Direct,
    /// Through a relay.
    Relayed,
    /// Not connected.
    Lost,
    /// It said it was going to sleep.
    Asleep,
}

/// What a node tells all the others of itself. It carries no address but that of the home line, and that only from a node
/// whose role it is to say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// How many incidents it has open.
    pub open_incidents: u32,
    /// Whether it is about to sleep or stop: its silence is no alarm.
    pub leaving: bool,
    /// Where the world sees a node of the role `home`, at most one address per family: that is the home line. Empty from
    /// any other node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub home_exit: Vec<IpAddr>,
    /// When it said so, by its own clock.
    pub at: Timestamp,
}

/// One of the user's nodes, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its identity.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub role: NodeRole,
    /// Whether it is this node.
    pub is_self: bool,
    /// How it is reached now.
    pub reachability: Reachability,
    /// What it last announced.
    pub announced: Option<Announcement>,
    /// When anything was last heard from it, by this node's clock.
    pub last_heard: Option<Timestamp>,
}
