//! One file per page of the rail.

mod exit_dns;
mod incidents;
mod latency;
mod nodes;
mod overview;
mod pairing;

pub use exit_dns::ExitDns;
pub use incidents::Incidents;
pub use latency::Latency;
pub use nodes::Nodes;
pub use overview::Overview;
