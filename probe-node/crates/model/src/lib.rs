//! The vocabulary of VPNSentinel as types.
//!
//! Every other crate speaks these words: a *check* yields *observations*, the judge turns them into *findings* and one
//! *verdict*, a *rule* turns findings into *incidents*, and the engine publishes it all as a *snapshot*. Nothing here
//! does I/O, reads a clock or draws random numbers, and all of it compiles to wasm, so that the dashboard shares it.

mod command;
mod finding;
mod home;
mod id;
mod incident;
mod net;
mod node;
mod observation;
mod rule;
mod snapshot;
mod time;
mod verdict;

pub use command::{Command, CommandError, Reply};
pub use finding::{Evidence, Finding, FindingKind, Severity, Weight};
pub use home::{Expectation, FamilyPolicy, Home};
pub use id::{Epoch, IncidentId, NodeId, RuleId};
pub use incident::{Incident, IncidentState, Notice, NoticeKind};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use net::{Asn, Attributed, Family, NetworkKey, Owner};
pub use node::{Announcement, NodeRole, NodeView, Reachability};
pub use observation::{
    Answer, AnswerPath, AnswersSeen, Certificate, ConfiguredResolver, Connectivity, DnsTransport, ExitPath,
    ExitSeen, Fact, InterceptionSeen, Interface, InterfaceKind, Observation, Outcome, Reason, ResolverPath,
    ResolverRole, ResolverSeen, RoundTrip, RoutePurpose, RouteSeen, RouteTaken, SelfLeakSeen, Source,
    UnderlaySeen, Voice, WayOut, WaySeen,
};
pub use rule::{Clear, Rule, Trigger};
pub use snapshot::{
    Agreement, DnsView, ExitView, KillSwitch, LatencyPoint, LatencyView, Need, Pause, PendingNode,
    ResolverView, SCHEMA, Schedule, Snapshot, SwarmView, TunnelView, VoiceView,
};
pub use time::{Clock, Micros, Millis, Moment, Monotonic, Timestamp, UtcOffset, humanize};
pub use verdict::{Assurance, Verdict, VerdictView};
