//! Measures this machine's own path.
//!
//! Every check answers "measured" or "could not tell, because ..", never a guess, and keeps IPv4 and IPv6 apart. Each
//! is bounded in time by its own budget and in memory by fixed limits, and whatever it establishes about the path it
//! establishes on a socket opened for that purpose: a long-lived connection would go on telling of the old path.
//!
//! [`Checks`] runs them and sends each observation the moment it exists. What the operating system itself must be
//! asked hides behind [`Platform`], one file per system. Nothing public is contacted unless [`Services::consent`]
//! says so.

mod answers;
mod cached;
mod certificate;
mod checks;
mod clock;
mod connectivity;
mod courtesy;
mod error;
mod exit;
#[cfg(fuzzing)]
pub mod fuzz;
mod https_echo;
mod interception;
mod link_local;
mod local_resolvers;
mod names;
mod ownership;
mod plan;
mod platform;
mod portal;
mod public_resolver;
mod reason;
mod report;
mod resolver_config;
mod resolver_identity;
mod routes;
mod self_leak;
mod settings;
mod stun;
mod tls;
mod udp;
mod underlay;
mod volley;
mod whoami;

pub use checks::Checks;
pub use clock::{clock, now};
pub use error::CheckError;
pub use ownership::Ownership;
pub use plan::{RoundPlan, StunCredential, WitnessTarget};
pub use platform::{Change, Echo, Platform, Probe, platform};
pub use settings::{
    ListedService, PastTunnel, PortalService, ResolverService, Service, Services, Settings, WhoamiKind,
    WhoamiZone, default_panel, default_spread,
};
