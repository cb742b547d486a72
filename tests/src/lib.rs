//! The network lab: a small Internet on one machine, in which VPNs really fail.
//!
//! A [`World`] is fourteen hosts, each a network namespace with its own `/etc/resolv.conf`: a laptop behind a home router,
//! two VPN providers with real WireGuard servers, an ISP, resolvers, an authoritative server, STUN and HTTPS services, a
//! VPS and a home server on other networks. [`plan`] has the map. A [`Fault`] is one thing that goes wrong, and a
//! scenario file is a story of faults with what must be found, how fast, and what must never be said.
//!
//! ```no_run
//! use vpnsentinel_tests::{Fault, World, WorldSpec};
//!
//! fn main() -> anyhow::Result<()> {
//!     vpnsentinel_tests::enter()?; // first of all, before any thread exists
//!     vpnsentinel_tests::block_on(async {
//!         let mut world = World::start(WorldSpec::default()).await?;
//!         let mut browser = world.laptop()?.spawn(std::process::Command::new("chromium"))?;
//!         world.inject(&Fault::TunnelRemoved {}).await?;
//!         browser.stop().await
//!     })
//! }
//! ```
//!
//! Namespaces are used directly, through `ip`, `nft` and system calls, and not through the patchbay crate, because every
//! host here needs a resolver configuration of its own that can be rewritten under running programs, because each fault
//! is then the very `ip` or `nft` command it would be outside, and because link conditions cannot rest on netem, which
//! many kernels lack: they are made in user space, see [`Internet`].
//!
//! Root is not needed: the lab lives in user, mount, network and process namespaces of its own, see [`enter`]. It reaches no real
//! network, and when its process ends, however it ends, nothing of it is left.
//!
//! On systems other than Linux this library is empty.

#![cfg(target_os = "linux")]

mod api;
mod app;
mod catalogue;
pub mod demo;
mod faults;
mod host;
mod internet;
mod meter;
mod nodes;
mod place;
pub mod plan;
pub mod probe;
mod process;
mod relay;
mod runner;
mod sandbox;
mod scenario;
mod screen;
mod services;
mod tunnel;
mod wiring;
mod world;

pub use api::{Arrived, NodeApi};
pub use app::{APP_PROGRAM, App};
pub use catalogue::page as scenario_page;
pub use faults::{
    AnswersOf, Babble, Change, Exit, Fault, Forwarding, Interceptor, Lie, Port53, ProviderName, Resolver,
    Whereabouts,
};
pub use host::{Host, Transport};
pub use internet::{Conditions, Direction, Internet};
pub use nodes::{NODE_PROGRAM, Node, program as node_program};
pub use place::Ipv6;
pub use plan::{Extra, Extras};
pub use process::Process;
pub use relay::Relay;
pub use runner::{Outcome, must_pass, run};
pub use sandbox::{DIRECTORY, enter, enter_with, is_inside, sandboxed};
pub use scenario::{Expect, Never, PlannedFault, Repeat, Scenario, Settle};
pub use screen::Screen;
pub use tunnel::INTERFACE as TUNNEL_INTERFACE;
pub use world::{LinkSpec, World, WorldSpec};

/// Runs asynchronous code to its end on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
