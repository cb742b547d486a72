//! The Linux platform, for the network and mount namespaces of this process. No part needs
//! privileges.
//!
//! - Routes, interfaces and addresses come from the kernel over rtnetlink.
//! - Configured resolvers come from `resolv.conf` and, if programs ask systemd-resolved by its
//!   listener or, as `nsswitch.conf` says, by its socket, from systemd-resolved over D-Bus.
//! - Resolvers offered by DHCP come from the DHCP clients' lease files, and from NetworkManager.
//! - Connected sockets come from the kernel over sock_diag, their programs from `/proc`.
//! - Replies to probes come from the socket's error queue.

mod attributes;
mod bounded_file;
mod bus;
mod c_library;
mod changes;
mod far_ends;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod inet_aton;
mod interfaces;
mod ipsec;
mod kernel_socket;
mod leases;
mod netlink;
mod nsswitch;
mod probe;
mod resolv_conf;
mod resolved;
mod resolver_config;
mod route_candidates;
mod route_entry;
mod route_samples;
mod routes;
mod routing_rules;
mod sockets;
mod system;
#[cfg(test)]
mod test_bus;
mod uplinks;

pub(super) use system::Linux;
