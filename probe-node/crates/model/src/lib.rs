//! The vocabulary of VPNSentinel as types.
//!
//! Every other crate uses these types. A *check* yields an [`Observation`]. The judge concludes
//! [`Finding`]s and one [`Verdict`] from the observations. A [`Rule`] turns findings into
//! [`Incident`]s, and each change of an incident that the person should know of is a [`Notice`].
//! The engine publishes all of it as a [`Snapshot`].
//!
//! Nothing here does I/O, reads a clock or uses randomness, and everything compiles to wasm,
//! because the dashboard uses it too.

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
pub use net::{Asn, Attributed, Family, NetworkKey, NetworkName, Owner, is_link_local, is_within};
pub use node::{Announcement, NodeRole, NodeView, Reachability};
pub use observation::{
    AnswerPath, AnswersSeen, Certificate, ConfiguredResolver, Connectivity, DnsTransport, ExitPath, ExitSeen,
    Fact, FarEndEvidence, InterceptionSeen, Interface, InterfaceKind, IpsecAction, IpsecPolicy,
    KillSwitchSeen, Observation, Outcome, OutsideSocket, PhysicalEgress, Program, Reason, ResolvedName,
    ResolverPath, ResolverRole, ResolverSeen, RoundTrip, RouteOrigin, RoutePurpose, RouteSeen, RouteTaken,
    SocketTable, Source, Traffic, Transport, TransportProtocol, TransportSeen, UnderlaySeen, Uplink, Voice,
};
pub use per_family::PerFamily;
pub use rule::{Clear, Rule, Trigger};
pub use snapshot::{
    Agreement, DnsView, ExitView, KillSwitch, LatencyPoint, LatencyView, Need, Pause, PendingNode,
    ResolverView, SCHEMA, Schedule, ShownState, Snapshot, StorageView, SwarmView, TunnelView, VoiceView,
};
pub use time::{Clock, Micros, Millis, Moment, Monotonic, Timestamp, UtcOffset, humanize};
pub use verdict::{Assurance, Verdict, VerdictView};
