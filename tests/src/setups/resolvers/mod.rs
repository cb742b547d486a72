//! The ways in which the laptop resolves names.

mod dnsmasq;
mod file;
mod network_manager;
mod openresolv;
mod resolved;
mod servers;
mod unbound;

use super::part::{PartInfo, ResolverPart};

/// The software between programs and the DNS servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResolverKind {
    /// `/etc/resolv.conf`, rewritten by scripts.
    File,
    /// systemd-resolved, with nss-resolve.
    SystemdResolved,
    /// NetworkManager, which writes `/etc/resolv.conf`.
    NetworkManager,
    /// openresolv, which writes `/etc/resolv.conf`.
    Openresolv,
    /// dnsmasq as a local forwarder.
    Dnsmasq,
    /// Unbound as a local forwarder.
    Unbound,
}

impl ResolverKind {
    /// All of them, the most common first.
    pub const ALL: &'static [Self] = &[
        Self::File,
        Self::SystemdResolved,
        Self::NetworkManager,
        Self::Openresolv,
        Self::Dnsmasq,
        Self::Unbound,
    ];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::File => file::INFO,
            Self::SystemdResolved => resolved::INFO,
            Self::NetworkManager => network_manager::INFO,
            Self::Openresolv => openresolv::INFO,
            Self::Dnsmasq => dnsmasq::INFO,
            Self::Unbound => unbound::INFO,
        }
    }

    /// Returns true if programs ask a forwarder on this machine, whose servers no file of the
    /// system names.
    pub(crate) fn is_forwarder(self) -> bool {
        matches!(self, Self::Dnsmasq | Self::Unbound)
    }

    /// Creates the part, which is not started.
    pub fn create(self) -> Box<dyn ResolverPart> {
        match self {
            Self::File => Box::new(file::FileResolver::default()),
            Self::SystemdResolved => Box::new(resolved::Resolved::default()),
            Self::NetworkManager => Box::new(network_manager::NetworkManagerResolver::default()),
            Self::Openresolv => Box::new(openresolv::Openresolv::default()),
            Self::Dnsmasq => Box::new(dnsmasq::Dnsmasq::default()),
            Self::Unbound => Box::new(unbound::Unbound::default()),
        }
    }
}
