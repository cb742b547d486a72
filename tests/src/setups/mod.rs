//! Setups that people have, composed from parts: line, VPN client, resolver and DHCP client.
//!
//! [`Setup`] is one composition, and [`choose_setups`] the ones that are played. A world of a setup
//! settles, stays calm, and then leaks in every way that applies to it: [`play_setup`].

mod advice;
mod client;
mod clients;
mod dhcp;
mod dhcp_part;
mod dhcp_server;
mod inject;
mod leak;
mod line;
mod lines;
mod matrix;
mod network_manager;
mod page;
mod pairwise;
mod part;
mod play;
mod program;
mod report;
mod resolvers;
mod setgroups;
mod setup;
mod site;
mod system;
mod tun_pair;
mod uplink;
mod wait;
mod world;

pub use dhcp::DhcpKind;
pub use dhcp_part::{DhcpLink, DhcpPart, LeaseServers};
pub use matrix::{list_worlds, play_worlds, render_table};
pub use page::render_setup_page;
pub use part::ResolverPart;
pub use play::play_setup;
pub use report::{LeakResult, WorldReport};
pub use resolvers::ResolverKind;
pub use setup::Setup;
