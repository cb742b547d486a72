//! One loop that joins checks, judge, swarm and store; what both programs embed.
//!
//! A trigger (timer, network change, wake, user) starts checks bound to the current epoch. Their
//! observations go to the judge. What changed is handed over for storing, the snapshot is published
//! and the outbox delivered.
//!
//! The [`Engine`] handle is cheap to clone; the loop ends with its last handle. [`Config`] is the
//! configuration file, [`EngineParts`] what the loop runs on.

mod actor;
mod attestations;
mod cadence;
mod config;
mod engine;
mod error;
mod expected_tunnel;
mod home;
mod local_time;
mod moments;
mod node_names;
mod part_settings;
mod parts;
mod peer_answers;
mod services;
mod storage;
mod system_answers;
mod voice_log;
mod witnesses;

pub use config::{
    AddressService, ApiConfig, BogonsConfig, CadenceConfig, Config, Interval, NetworkConfig, OwnershipConfig,
    Percent, ServicesConfig, SwarmConfig, ThresholdsConfig, UrlService, ZoneService,
};
pub use engine::Engine;
pub use error::{ConfigError, EngineError};
pub use parts::EngineParts;
pub use sentinel_checks::{ListedService, PastTunnel, PortalService, ResolverService};
pub use sentinel_judge::ExitChange;
pub use sentinel_swarm::CanaryConfig;
pub use services::{PublicService, config_warnings, public_services};
pub use storage::NoticeId;
