//! What the system is configured to resolve with.

use crate::{checks::Inner, report::Report};
use sentinel_model::{ConfiguredResolver, Fact, Outcome};

/// Reads the configuration as it is now and reports it; the servers are also handed back, none if they are unknown.
pub(crate) async fn run(inner: &Inner, report: &Report) -> Vec<ConfiguredResolver> {
    let configured = inner.platform.resolver_config().await;
    report.fact(Fact::ResolverConfig(configured.clone())).await;
    match configured {
        Outcome::Measured(resolvers) => resolvers,
        Outcome::Unknown(_) => Vec::new(),
    }
}
