//! Setups that people have, composed from parts: line, VPN client, resolver and DHCP client.

mod dhcp;
mod network_manager;
mod part;
mod resolvers;
mod system;
mod wait;

pub use dhcp::DhcpKind;
pub use part::{DhcpLink, DhcpPart, LeaseServers, ResolverPart, Task};
pub use resolvers::ResolverKind;
