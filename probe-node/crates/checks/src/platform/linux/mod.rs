//! The Linux platform, for the network and mount namespaces of this process. No part needs
//! privileges.
//!
//! - Routes, interfaces and addresses come from the kernel over rtnetlink.
//! - Configured resolvers come from `resolv.conf` and, if that names systemd-resolved's listener,
//!   from systemd-resolved over D-Bus.
//! - Resolvers offered by DHCP come from the DHCP clients' lease files.
//! - Replies to probes come from the socket's error queue.

mod changes;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod interfaces;
mod leases;
mod netlink;
mod outside_routes;
mod probe;
mod resolv_conf;
mod resolved;
mod routes;
mod system;
mod uplinks;

pub(super) use system::Linux;
