//! Check "resolver config": the resolvers that the system is configured to use.

use crate::{context::Context, reporter::Reporter};
use sentinel_model::{ConfiguredResolver, Fact, Outcome};

/// Reports the current configuration and returns its resolvers; none if it is undetermined.
pub(crate) async fn run(context: &Context, reporter: &Reporter) -> Vec<ConfiguredResolver> {
    let configured = context.platform.read_resolver_config().await;
    reporter.send(Fact::ResolverConfig(configured.clone())).await;
    match configured {
        Outcome::Measured(resolvers) => resolvers,
        Outcome::Unknown(_) => Vec::new(),
    }
}
