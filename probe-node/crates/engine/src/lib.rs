//! One loop that joins checks, judge, swarm and store; what both programs embed.
//!
//! A trigger (timer, network change, wake, user) starts checks bound to the current epoch; their observations go to the
//! judge; what changed is stored in one transaction; then the snapshot is published and the outbox delivered. The
//! [`Engine`] handle is cheap to clone; the loop ends with its last handle.

mod actor;
mod answers;
mod cadence;
mod config;
mod engine;
mod error;
mod home;
mod publish;
mod settings;
mod sightings;
mod witnesses;

pub use config::{
    AddressService, Api, Bogons, Cadence, Canary, Config, Interval, Network, Ownership, Percent,
    PortalService, ResolverService, Services, Swarm, Thresholds, UrlService, ZoneService,
};
pub use engine::Engine;
pub use error::{ConfigError, EngineError};
pub use sentinel_checks::{ListedService, PastTunnel};
pub use settings::{PublicService, public_services, remarks};
