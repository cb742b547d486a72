//! What only the operating system can tell, one file per system. Linux is complete; elsewhere the parts that have no
//! portable answer say `Unknown(Unsupported)`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod unsupported;

use crate::error::CheckError;
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis, Outcome, RouteTaken};
use std::{net::IpAddr, sync::Arc};
use tokio::sync::mpsc;

/// What only the operating system can tell.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Which way a packet to `destination` would take now. `Unknown(Unreachable)` if there is no way.
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken>;

    /// The network interfaces as they are now.
    async fn interfaces(&self) -> Outcome<Vec<Interface>>;

    /// The resolvers the system is configured to use now, in the order in which it asks them.
    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>>;

    /// A stream of changes from here on. Each comes within about 20 ms of the event; several events of one kind
    /// within 10 ms are one change. It ends when the receiver is dropped. Needs a running Tokio runtime.
    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError>;
}

/// Something about the network changed, so that what was measured before no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// An interface came, went, or changed its state.
    Link,
    /// An address came or went.
    Address,
    /// A route came or went.
    Route,
    /// A routing rule came or went.
    Rule,
    /// The resolver configuration changed.
    ResolverConfig,
    /// The machine slept this long and is awake again.
    Woke(Millis),
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(target_os = "linux")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(linux::Linux::new()?))
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(not(target_os = "linux"))]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(unsupported::Unsupported))
}
