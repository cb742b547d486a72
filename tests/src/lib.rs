//! The network lab: a small Internet on one machine, with real VPNs that can fail.
//!
//! A [`World`] consists of fourteen hosts, each a network namespace with its own
//! `/etc/resolv.conf`: a laptop behind a home router, two VPN providers with real WireGuard
//! servers, an ISP, resolvers, an authoritative server, STUN and HTTPS services, a VPS, and a home
//! server in another network. [`plan`] contains the map. A [`Fault`] is one thing that goes wrong.
//! A [`Scenario`] file lists faults, and what must be reported in which time and what must not.
//!
//! ```no_run
//! use vpnsentinel_tests::{Fault, World, WorldSpec};
//!
//! fn main() -> anyhow::Result<()> {
//!     vpnsentinel_tests::enter()?; // before any thread exists
//!     vpnsentinel_tests::block_on(async {
//!         let mut world = World::start(WorldSpec::default()).await?;
//!         let mut browser = world.laptop()?.spawn(std::process::Command::new("chromium"))?;
//!         world.inject(&Fault::TunnelRemoved {}).await?;
//!         browser.stop().await
//!     })
//! }
//! ```
//!
//! The lab uses namespaces directly, through `ip`, `nft` and system calls, rather than through the
//! patchbay crate, for three reasons:
//!
//! - Every host needs its own resolver configuration, which changes under running programs.
//! - Each fault is the same `ip` or `nft` command that would cause it outside the lab.
//! - Link conditions cannot depend on netem, which many kernels lack, so the [`Internet`]
//!   implements them in user space.
//!
//! Root is not needed: the lab runs in its own user, mount, network and process namespaces, see
//! [`enter`]. It has no access to a real network, and when its process ends, for whatever reason,
//! nothing of it is left.
//!
//! On systems other than Linux this library is empty.

#![cfg(target_os = "linux")]

mod access_network;
mod app;
pub mod demo;
mod faults;
mod host;
mod internet;
mod ip_commands;
mod node_api;
mod nodes;
mod packet_counters;
pub mod plan;
pub mod probe;
mod process;
mod relay;
mod runner;
mod runtime;
mod sandbox;
mod scenario;
mod scenario_page;
mod screen;
mod services;
mod setups;
mod vpn;
mod wiring;
mod world;

pub use access_network::Ipv6;
pub use app::{APP_PROGRAM, App};
pub use faults::{
    Change, DnsTransport, Falsification, FalsifiedNames, Fault, ForwardTarget, Interceptor, MalformedBody,
    NetworkName, ProgramTransport, ProviderName, Resolver, VpnExit,
};
pub use host::{Host, Transport};
pub use internet::{Conditions, Direction, Internet};
pub use node_api::{NodeApi, ReceivedSnapshot};
pub use nodes::{NODE_PROGRAM, Node, find_node_program};
pub use plan::{Extra, Extras};
pub use process::Process;
pub use relay::Relay;
pub use runner::{Outcome, require_pass, run_scenario};
pub use runtime::block_on;
pub use sandbox::{DIRECTORY, enter, enter_with, is_inside, run_sandboxed_test};
pub use scenario::{ExpectedSnapshot, Forbidden, PlannedFault, Repeat, Scenario, SettleCondition};
pub use scenario_page::render_scenario_page;
pub use screen::Screen;
pub use setups::{
    DhcpKind, DhcpLink, DhcpPart, LeakResult, LeaseServers, ResolverKind, ResolverPart, Setup, WorldReport,
    list_worlds, play_setup, play_worlds, render_setup_page, render_table,
};
pub use vpn::INTERFACE as TUNNEL_INTERFACE;
pub use world::{LinkSpec, World, WorldSpec};
