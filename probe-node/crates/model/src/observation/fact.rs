//! Observations: what the checks measured.

use super::{
    dns::{AnswersSeen, ConfiguredResolver, InterceptionSeen, ResolverSeen},
    exit::{ExitSeen, RoundTrip},
    outcome::Outcome,
    past_tunnel::{IpsecPolicy, KillSwitchSeen, UnderlaySeen},
    route::{Interface, RouteSeen, Uplink},
    socket::SocketTable,
};
use crate::{id::Epoch, time::Moment};
use serde::{Deserialize, Serialize};

/// One measured fact, with its time and epoch.
///
/// It belongs to the epoch in which its check *started*. If the epoch has moved on by the time it
/// arrives, it is discarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When the measurement was complete.
    pub at: Moment,
    /// The epoch in which the check started.
    pub epoch: Epoch,
    /// The measured fact.
    pub fact: Fact,
}

/// A measured fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "fact")]
pub enum Fact {
    /// The exit address, as one voice saw it.
    Exit(ExitSeen),
    /// The round-trip time to a target.
    RoundTrip(RoundTrip),
    /// The resolvers that queried an authoritative server for this node.
    Resolver(ResolverSeen),
    /// The addresses of a name.
    Answers(AnswersSeen),
    /// The route the kernel chooses for a destination.
    Route(RouteSeen),
    /// The resolvers the system is configured to use.
    ResolverConfig(Outcome<Vec<ConfiguredResolver>>),
    /// The machine's network interfaces.
    Interfaces(Outcome<Vec<Interface>>),
    /// The interfaces by which the machine can reach the internet.
    Uplinks(Outcome<Vec<Uplink>>),
    /// Whether there is a network.
    Connectivity(Connectivity),
    /// Whether the server that answers for a public resolver is that resolver.
    Interception(InterceptionSeen),
    /// Whether packets get out outside the tunnel.
    KillSwitch(KillSwitchSeen),
    /// The round-trip time to the tunnel's far end, outside the tunnel.
    Underlay(UnderlaySeen),
    /// The IPsec policies for packets that leave this machine.
    IpsecPolicies(Outcome<Vec<IpsecPolicy>>),
    /// The connected sockets of this machine's programs that may be outside the tunnel.
    Sockets(Outcome<SocketTable>),
}

/// Whether there is a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Something outside this machine answered.
    Online,
    /// There is a route to the internet. Whether anything answers there is not known: a captive
    /// portal may be in the way.
    Routed,
    /// No interface is up, or there is no route. Nothing can leak.
    Offline,
    /// A captive portal answers in place of the network.
    Portal,
}
