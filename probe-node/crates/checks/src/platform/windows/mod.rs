//! Windows: routes and their changes through the IP Helper, interfaces and resolvers by adapter, and probes by its ICMP
//! service, none of which needs privileges. What is pure is apart from what calls the system.

mod echo;
mod kind;

#[cfg(target_os = "windows")]
mod bind;
#[cfg(target_os = "windows")]
mod changes;
#[cfg(target_os = "windows")]
pub(crate) mod clock;
#[cfg(target_os = "windows")]
mod interfaces;
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
