//! What the engine runs on: everything that reaches outside the process.

use crate::{config::Config, error::EngineError, expected_tunnel, node_names::NodeNames, part_settings};
use sentinel_checks::{OwnResolver, Platform};
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
    /// Looks up the names of nodes and services.
    pub resolver: OwnResolver,
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
        let store = opened.store;
        let resolver = OwnResolver::new(
            &part_settings::check_settings(config),
            config.expectation.resolvers.clone(),
            Arc::clone(&platform),
        );
        // The nodes are dialed before the first check has looked for a tunnel.
        let was_in_use = store.tunnel_known().await?;
        resolver.expect_tunnel(expected_tunnel::derive(&config.expectation, was_in_use, None));
        let names = Arc::new(NodeNames(resolver.clone()));
        let membership = store.membership().await?;
        let swarm_config = part_settings::swarm_config(config, membership, names, clock.clone())?;
        let (swarm, swarm_events) = Swarm::start(swarm_config).await?;
        Ok(Self { clock, platform, store, store_notes: opened.notes, resolver, swarm, swarm_events })
    }
}
