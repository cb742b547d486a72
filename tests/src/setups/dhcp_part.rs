//! What is asked of a DHCP client.

use super::{part::Task, resolvers::ResolverKind};
use crate::host::Host;
use std::net::IpAddr;

/// The link that a DHCP client configures.
#[derive(Clone, Debug)]
pub struct DhcpLink {
    /// The device: `eth0`.
    pub device: String,
    /// The metric of its default route.
    pub metric: u32,
}

/// Who told the resolver software of the servers in a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseServers {
    /// Nobody yet: the framework passes these to
    /// [`ResolverPart::set_line_servers`](super::part::ResolverPart::set_line_servers).
    HandOver(Vec<IpAddr>),
    /// The client did, as it is integrated with this resolver (systemd-networkd and
    /// systemd-resolved, dhcpcd and openresolv).
    Delivered,
}

/// A DHCP client of the laptop.
///
/// The server is real and the framework's: it offers an address, a router and a DNS server, and for
/// the leak of option 121 a classless static route. Only then does the framework call `renew`.
pub trait DhcpPart: Send {
    /// Starts the client on a link that is up and has no address.
    ///
    /// Returns once the address and the default route, with the link's metric, are there and the
    /// lease is written where this client writes it.
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers>;

    /// Makes the client ask the server again; returns once the new options are in effect.
    ///
    /// Routes of an earlier option 121 that the server no longer offers are gone afterwards.
    fn renew<'a>(&'a mut self, laptop: &'a Host) -> Task<'a>;
}
