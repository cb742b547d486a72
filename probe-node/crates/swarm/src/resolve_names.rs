//! How the swarm looks up the names in nodes' addresses.

use futures::future::BoxFuture;
use sentinel_model::{Family, Reason};
use std::net::IpAddr;

/// Looks up names, as decided outside of the swarm: by which resolver, and whether at all.
pub trait ResolveNames: Send + Sync {
    /// Returns the addresses of a name in one family; none if it has none there.
    ///
    /// The name is fully qualified, so no search domain is appended. A lookup should take a few
    /// seconds at most, since a dial waits for it.
    fn resolve<'a>(&'a self, name: &'a str, family: Family) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>>;
}
