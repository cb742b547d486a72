//! What a VPN client is given, and what is asked of it.

use super::{
    part::Task,
    uplink::{LineIpv6, Uplink},
};
use crate::{host::Host, plan, world::World};
use std::net::IpAddr;

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

    /// Returns the address of the VPN's server.
    ///
    /// Where IPv4 is translated to IPv6, names have IPv6 addresses (DNS64), and clients use them.
    /// An IPv4 endpoint would send the translator's packets into the tunnel that they carry.
    pub(crate) fn endpoint(&self) -> IpAddr {
        if self.uplink.is_translated { plan::VPN_ENDPOINT_V6.into() } else { plan::VPN_ENDPOINT.into() }
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

    /// Makes names be asked past the tunnel by a change that is not on the laptop, or mends it.
    ///
    /// `None` if the laptop's own resolver software does that.
    fn set_names_past<'a>(&'a mut self, _site: Site<'a>, _past: bool) -> Option<Task<'a>> {
        None
    }

    /// Returns the connection past the tunnel as the node's own namespace has it.
    ///
    /// `None` if that is the machine's line, or if there is none.
    fn inner_uplink(&self, _outer: &Uplink) -> Option<Uplink> {
        None
    }

    /// Returns the tunnel's device, which resolver software needs to know; `None` if there is none.
    fn device(&self) -> Option<&'static str>;

    /// Returns the resolvers that the VPN provides; none if the laptop's stay.
    fn resolvers(&self) -> Vec<IpAddr> {
        vec![plan::VPN_RESOLVER.into()]
    }
}
