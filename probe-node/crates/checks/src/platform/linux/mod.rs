//! The Linux platform, for the network and mount namespaces of this process. No part needs
//! privileges.
//!
//! - Routes, interfaces and addresses come from the kernel over rtnetlink.
//! - Configured resolvers come from `resolv.conf` and, if that names systemd-resolved's listener,
//!   from systemd-resolved over D-Bus.
//! - Resolvers offered by DHCP come from the DHCP clients' lease files.
//! - Replies to probes come from the socket's error queue.

mod attributes;
mod changes;
mod far_ends;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod interfaces;
mod ipsec;
mod kernel_socket;
mod leases;
mod netlink;
mod probe;
mod resolv_conf;
mod resolved;
mod route_candidates;
mod route_entry;
mod route_samples;
mod routes;
mod routing_rules;
mod system;

pub(super) use system::Linux;
