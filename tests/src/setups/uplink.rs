//! An installed line: what clients and leaks need to know about it.

use super::tun_pair::TunPair;
use crate::process::Process;
use sentinel_model::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv6 of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineIpv6 {
    /// There is none.
    None,
    /// The router could advertise it at any time, but does not.
    Possible(Ipv6Addr),
    /// The machine has it from the beginning, with this gateway.
    Native(Ipv6Addr),
}

/// An installed line. It ends when dropped.
pub(crate) struct Line {
    pub(crate) uplink: Uplink,
    _links: Vec<TunPair>,
    _processes: Vec<Process>,
}

impl Line {
    /// Returns a line with what makes it up: links and processes, which last as long as it.
    pub(crate) fn new(uplink: Uplink, links: Vec<TunPair>, processes: Vec<Process>) -> Self {
        Self { uplink, _links: links, _processes: processes }
    }
}

/// The machine's connection outside the tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Uplink {
    /// The device of IPv4.
    pub(crate) device: String,
    /// The machine's IPv4 address on it.
    pub(crate) address: Ipv4Addr,
    /// The next hop of IPv4; a point-to-point device has none.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The line's own resolver.
    pub(crate) resolver: Ipv4Addr,
    /// The line's IPv6, which is always on the device `eth0`.
    pub(crate) ipv6: LineIpv6,
    /// The addresses at which the world sees the line.
    pub(crate) seen_at: Vec<IpNet>,
    /// The device of the home router towards the machine.
    pub(crate) router_device: &'static str,
    /// Whether IPv4 is translated to IPv6 on the machine.
    pub(crate) is_translated: bool,
}

impl Uplink {
    /// Returns the next hop past the tunnel, in the syntax of `ip route`.
    pub(crate) fn next_hop(&self) -> String {
        let gateway = self.gateway.map(|gateway| format!("via {gateway} ")).unwrap_or_default();
        format!("{gateway}dev {}", self.device)
    }

    /// Returns true if this is an address at which the world sees the line.
    pub(crate) fn is_home(&self, address: IpAddr) -> bool {
        self.seen_at.iter().any(|network| network.contains(&address))
    }
}
