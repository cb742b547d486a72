//! The ways in which the laptop gets its addresses on an Ethernet line.

mod dhclient;
mod dhcpcd;
mod fixed;
mod lease;
mod network_manager;
mod networkd;
mod udhcpc;

use super::{dhcp_part::DhcpPart, part::PartInfo, resolvers::ResolverKind};

/// The DHCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DhcpKind {
    /// None: addresses by hand, or by the line itself.
    Fixed,
    /// NetworkManager's own.
    NetworkManager,
    /// systemd-networkd.
    SystemdNetworkd,
    /// ISC's dhclient.
    Dhclient,
    /// dhcpcd.
    Dhcpcd,
    /// udhcpc, of BusyBox.
    Udhcpc,
}

impl DhcpKind {
    /// All of them, the most common first.
    pub const ALL: &'static [Self] = &[
        Self::Fixed,
        Self::NetworkManager,
        Self::SystemdNetworkd,
        Self::Dhclient,
        Self::Dhcpcd,
        Self::Udhcpc,
    ];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::Fixed => fixed::INFO,
            Self::NetworkManager => network_manager::INFO,
            Self::SystemdNetworkd => networkd::INFO,
            Self::Dhclient => dhclient::INFO,
            Self::Dhcpcd => dhcpcd::INFO,
            Self::Udhcpc => udhcpc::INFO,
        }
    }

    /// Creates the part, which is not started; `None` where no client runs.
    pub fn create(self) -> Option<Box<dyn DhcpPart>> {
        match self {
            Self::Fixed => None,
            Self::NetworkManager => Some(Box::new(network_manager::NetworkManagerClient::default())),
            Self::SystemdNetworkd => Some(Box::new(networkd::Networkd::default())),
            Self::Dhclient => Some(Box::new(dhclient::Dhclient::default())),
            Self::Dhcpcd => Some(Box::new(dhcpcd::Dhcpcd::default())),
            Self::Udhcpc => Some(Box::new(udhcpc::Udhcpc::default())),
        }
    }

    /// Returns why the client cannot be combined with a resolver, if so, in a few words.
    pub fn excludes(self, resolver: ResolverKind) -> Option<&'static str> {
        use ResolverKind::{NetworkManager, SystemdResolved};
        match (self, resolver) {
            (Self::Fixed, _) | (Self::NetworkManager, NetworkManager | SystemdResolved) => None,
            (Self::NetworkManager, _) => {
                Some("NetworkManager writes the file itself, or tells systemd-resolved")
            }
            (_, NetworkManager) => Some("NetworkManager has a DHCP client of its own"),
            _ => None,
        }
    }
}
