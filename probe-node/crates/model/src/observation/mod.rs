//! What the checks measure.

mod dns;
mod exit;
mod fact;
mod outcome;
mod past_tunnel;
mod route;
mod socket;
mod voice;

pub use dns::{
    AnswerPath, AnswersSeen, Certificate, ConfiguredResolver, DnsTransport, InterceptionSeen, ResolvedName,
    ResolverPath, ResolverRole, ResolverSeen, TransportSeen,
};
pub use exit::{ExitPath, ExitSeen, RoundTrip};
pub use fact::{Connectivity, Fact, Observation};
pub use outcome::{Outcome, Reason};
pub use past_tunnel::{
    FarEndEvidence, IpsecAction, IpsecPolicy, KillSwitchSeen, PhysicalEgress, UnderlaySeen,
};
pub use route::{
    Interface, InterfaceKind, RouteOrigin, RoutePurpose, RouteSeen, RouteTaken, Traffic, Transport, Uplink,
};
pub use socket::{OutsideSocket, Program, SocketTable, TransportProtocol};
pub use voice::{Source, Voice};
