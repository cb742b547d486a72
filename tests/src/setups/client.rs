//! The VPN clients.

use super::{
    clients::{openvpn, wg_quick},
    leak::{Applicability, LeakKind},
    line::{LineIpv6, LineKind, Uplink},
    part::{PartInfo, Task},
};
use crate::{host::Host, plan, world::World};
use std::net::IpAddr;

/// A VPN client, or another way in which the laptop's traffic gets into a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClientKind {
    /// The real `wg-quick`.
    WgQuick,
    /// OpenVPN with `redirect-gateway def1`.
    OpenVpn,
}

/// Where the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the machine that has the line.
    Machine,
    /// In a network namespace of that machine.
    Namespace,
}

/// What a client needs to know to connect.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) world: &'a World,
    /// The host that has the line.
    pub(crate) machine: &'a Host,
    /// The host on which the node runs.
    pub(crate) laptop: &'a Host,
    pub(crate) uplink: &'a Uplink,
}

impl Site<'_> {
    /// Returns true if the tunnel must carry IPv6, because the line has it from the beginning.
    pub(crate) fn has_ipv6(&self) -> bool {
        matches!(self.uplink.ipv6, LineIpv6::Native(_))
    }
}

/// A VPN client of one world.
pub(crate) trait VpnClient: Send {
    /// Starts the server where it is not running yet, and connects. Returns once traffic flows.
    ///
    /// After [`Self::crash`] it also clears away what the client left, as a restart does.
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a>;

    /// Ends the client as a crash does: its device goes, other things it changed may stay.
    fn crash<'a>(&'a mut self, site: Site<'a>) -> Task<'a>;

    /// Takes IPv6 out of the tunnel, while IPv4 stays in it; or puts it back.
    ///
    /// Only called where the tunnel carries IPv6.
    fn set_ipv6<'a>(&'a mut self, site: Site<'a>, carried: bool) -> Task<'a>;

    /// Returns the tunnel's device, which resolver software needs to know; `None` if there is none.
    fn device(&self) -> Option<&'static str>;

    /// Returns the resolvers that the VPN provides; none if the laptop's stay.
    fn resolvers(&self) -> Vec<IpAddr> {
        vec![plan::VPN_RESOLVER.into()]
    }
}

impl ClientKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[Self::WgQuick, Self::OpenVpn];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::WgQuick => wg_quick::INFO,
            Self::OpenVpn => openvpn::INFO,
        }
    }

    /// Creates the client, which is not connected.
    pub(crate) fn create(self) -> Box<dyn VpnClient> {
        match self {
            Self::WgQuick => Box::new(wg_quick::WgQuick::default()),
            Self::OpenVpn => Box::new(openvpn::OpenVpn::default()),
        }
    }

    /// Returns where the node runs.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::WgQuick | Self::OpenVpn => Place::Machine,
        }
    }

    /// Returns why the client cannot be combined with a line, if so.
    pub(crate) fn excludes(self, _line: LineKind) -> Option<&'static str> {
        None
    }

    /// Returns whether the client holds a leak back, or cannot have it; `None` if it leaks.
    pub(crate) fn holds(self, _leak: LeakKind) -> Option<Applicability> {
        match self {
            Self::WgQuick | Self::OpenVpn => None,
        }
    }

    /// Returns what a user of this client writes under `[expectation]`, with the reason.
    pub(crate) fn expectation(self) -> (&'static str, &'static str) {
        match self {
            Self::WgQuick => ("interface = \"wg0\"\n", "the interface of the configuration file"),
            Self::OpenVpn => ("", "nothing: the tunnel is recognised by itself"),
        }
    }
}
