//! macOS: routes over a routing socket, interfaces from `getifaddrs`, resolvers from the system configuration's dynamic
//! store, and probes over unprivileged ICMP sockets. What is pure is apart from what calls the system.

mod icmp;
mod kind;
mod rtmsg;

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
