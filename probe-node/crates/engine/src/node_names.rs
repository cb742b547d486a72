//! Resolves the names of nodes for the swarm, by the resolver of all lookups of the program.

use futures::future::BoxFuture;
use sentinel_checks::OwnResolver;
use sentinel_model::{Family, Reason};
use sentinel_swarm::ResolveNames;
use std::net::IpAddr;

/// The resolver as the swarm uses it.
pub(crate) struct NodeNames(pub(crate) OwnResolver);

impl ResolveNames for NodeNames {
    fn resolve<'a>(&'a self, name: &'a str, family: Family) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>> {
        Box::pin(self.0.find_node(name, family))
    }
}
