//! The lookups of the program itself: its nodes' names, and the names of public services.
//!
//! They follow the system's current configuration and never leave past a tunnel that is expected.
//! The checks that measure a resolver ask it directly instead.

mod cache;
mod guard;
mod resolver;
mod service_names;

pub use guard::ExpectedTunnel;
pub use resolver::OwnResolver;
pub(crate) use service_names::ServiceNames;
