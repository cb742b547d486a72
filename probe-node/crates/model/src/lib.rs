//! The vocabulary of VPNSentinel as types.
//!
//! Every other crate speaks these words: a *check* yields *observations*, the judge turns them into *findings* and one
//! *verdict*, a *rule* turns findings into *incidents*, and the engine publishes it all as a *snapshot*. Nothing here
//! does I/O, reads a clock or draws random numbers, and all of it compiles to wasm, so that the dashboard shares it.

mod command;
mod entity;
mod finding;
mod home;
mod id;
mod incident;
mod net;
mod node;
mod observation;
mod per_family;
mod rule;
mod snapshot;
mod time;
mod verdict;

pub use command::{Command, CommandError, Reply};
pub use entity::{Entity, Interceptor, UnknownEntity};
pub use finding::{Evidence, Finding, FindingKey, FindingKind, Severity, Weight};
pub use home::{Expectation, FamilyPolicy, Home};
pub use id::{Epoch, IncidentId, NodeId, RuleId};
pub use incident::{Incident, IncidentState, Notice, NoticeKind};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use net::{Asn, Attributed, Family, NetworkKey, Owner, is_link_local, is_within};
pub use node::{Announcement, NodeRole, NodeView, Reachability};
pub use observation::{
    AnswerPath, AnswersSeen, Certificate, ConfiguredResolver, Connectivity, DnsTransport, ExitPath, ExitSeen,
    Fact, InterceptionSeen, Interface, InterfaceKind, KillSwitchSeen, Observation, Outcome, PhysicalEgress,
    Reason, ResolvedName, ResolverPath, ResolverRole, ResolverSeen, RoundTrip, RoutePurpose, RouteSeen,
    RouteTaken, Source, TransportSeen, UnderlaySeen, Voice,
};
pub use per_family::PerFamily;
pub use rule::{Clear, Rule, Trigger};
pub use snapshot::{
    Agreement, DnsView, ExitView, KillSwitch, LatencyPoint, LatencyView, Need, Pause, PendingNode,
    ResolverView, SCHEMA, Schedule, ShownState, Snapshot, SwarmView, TunnelView, VoiceView,
};
pub use time::{Clock, Micros, Millis, Moment, Monotonic, Timestamp, UtcOffset, humanize};
pub use verdict::{Assurance, Verdict, VerdictView};
