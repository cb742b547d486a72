//! The macOS platform. No part needs privileges.
//!
//! - Routes come from a routing socket, and interfaces from `getifaddrs`.
//! - Resolvers come from the system configuration's dynamic store.
//! - Replies to probes come from an ICMP socket.
//!
//! The modules that make no system calls are compiled for tests on every system.

mod icmp;
mod kind;
mod routing_message;

#[cfg(target_os = "macos")]
pub(crate) mod clock;
#[cfg(target_os = "macos")]
mod interfaces;
#[cfg(target_os = "macos")]
mod probe;
#[cfg(target_os = "macos")]
mod resolvers;
#[cfg(target_os = "macos")]
mod routes;
#[cfg(target_os = "macos")]
mod system;

#[cfg(target_os = "macos")]
pub(super) use system::MacOs;
