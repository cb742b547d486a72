//! What the engine runs on: everything that reaches outside the process.

use crate::{config::Config, error::EngineError, part_settings};
use sentinel_checks::Platform;
use sentinel_model::Clock;
use sentinel_store::Store;
use sentinel_swarm::{Event, Swarm};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The parts that an engine is made of.
///
/// [`EngineParts::open`] opens the real ones. A test passes its own clock and platform to
/// [`Engine::start_with`](crate::Engine::start_with) and so drives the loop.
pub struct EngineParts {
    /// Where the time comes from.
    pub clock: Clock,
    /// The operating system's view of the network.
    pub platform: Arc<dyn Platform>,
    /// History, incidents and outbox.
    pub store: Store,
    /// Sentences for the user about opening the store, such as that a damaged file was set aside.
    pub store_notes: Vec<String>,
    /// The user's other nodes.
    pub swarm: Swarm,
    /// What happens in the swarm.
    pub swarm_events: mpsc::Receiver<Event>,
}

impl EngineParts {
    /// Opens the parts of a real node: this system, the store in the state directory, the swarm.
    ///
    /// Needs a running Tokio runtime.
    pub async fn open(config: &Config) -> Result<Self, EngineError> {
        Self::open_with(config, sentinel_checks::clock(), sentinel_checks::platform()?).await
    }

    /// Opens the store and the swarm that a configuration describes, beside a given clock and
    /// platform.
    pub async fn open_with(
        config: &Config,
        clock: Clock,
        platform: Arc<dyn Platform>,
    ) -> Result<Self, EngineError> {
        let opened = Store::open(&config.state_dir, clock.clone()).await?;
        let membership = opened.store.membership().await?;
        let (swarm, swarm_events) =
            Swarm::start(part_settings::swarm_config(config, membership, clock.clone())?).await?;
        Ok(Self { clock, platform, store: opened.store, store_notes: opened.notes, swarm, swarm_events })
    }
}
