//! Measures this machine's own network path.
//!
//! Every check reports "measured" or "undetermined, because ..", never a guess, and keeps IPv4 and
//! IPv6 separate. Each check is bounded in time by its own budget and in memory by fixed limits.
//! Anything a check learns about the path, it learns on a socket opened for that purpose: a
//! long-lived connection would keep reporting the old path after a change.
//!
//! [`Checks`] runs the checks and sends each observation as soon as it exists. Questions to the
//! operating system go through [`Platform`], which has one folder per system. No public service is
//! contacted unless [`Services::consent`] is true.
//!
//! The folders, each importing only from those below it:
//!
//! | module | holds |
//! |---|---|
//! | `runner` | [`Checks`]: which checks run in a beacon, a round, or a look at local facts |
//! | `checks` | the checks, one module each |
//! | `context` | what every check may use: parsed settings, clients, caches |
//! | `services` | public services in parsed form |
//! | `ownership` | who operates an address |
//! | `own_lookups` | the program's own lookups: nodes and services by name |
//! | `dns`, `protocols` | DNS questions; STUN, HTTP and TLS |
//! | `platform` | questions to the operating system |
//! | `settings`, `plan` | what the caller configures once, and for each round |

mod checks;
mod clock;
mod context;
mod dns;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod own_lookups;
mod ownership;
mod plan;
mod platform;
mod protocols;
mod rate_limit;
mod reason;
mod redundant;
mod reporter;
mod runner;
mod services;
mod settings;

pub use clock::{clock, now};
pub use error::CheckError;
pub use own_lookups::{ExpectedTunnel, OwnResolver};
pub use ownership::Ownership;
pub use plan::{RoundPlan, StunCredential, WitnessTarget};
pub use platform::{
    Change, FarEnd, NameService, NameServiceError, PacketKind, Platform, Probe, ProbeReply, RouteSample,
    SocketQuery, platform,
};
pub use runner::Checks;
pub use settings::{
    ListedService, PastTunnel, PortalService, ResolverService, Service, Services, Settings, WhoamiKind,
    WhoamiZone, default_panel, default_spread,
};
