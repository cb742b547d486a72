//! The Windows platform. No part needs privileges.
//!
//! - Routes and notifications of changes come from the IP Helper API.
//! - Interfaces and resolvers are those of each network adapter.
//! - Probes are sent by the ICMP service.
//!
//! The modules that make no system calls are compiled for tests on every system.

mod icmp;
mod kind;

#[cfg(target_os = "windows")]
mod bind;
#[cfg(target_os = "windows")]
pub(crate) mod clock;
#[cfg(target_os = "windows")]
mod interfaces;
#[cfg(target_os = "windows")]
mod notifications;
#[cfg(target_os = "windows")]
mod probe;
#[cfg(target_os = "windows")]
mod resolvers;
#[cfg(target_os = "windows")]
mod routes;
#[cfg(target_os = "windows")]
mod system;

#[cfg(target_os = "windows")]
pub(super) use system::Windows;
