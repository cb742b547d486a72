//! What the parts of a setup have in common, and what the framework asks of each.

use crate::host::Host;
use anyhow::Result;
use futures::future::LocalBoxFuture;
use std::net::IpAddr;

/// The work of a part, as a trait object can return it.
pub type Task<'a, T = ()> = LocalBoxFuture<'a, Result<T>>;

/// The description of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartInfo {
    /// The name in the matrix and in the documentation: `systemd-resolved`.
    pub(crate) name: &'static str,
    /// One sentence for the documentation: what it is, and how it is configured here.
    pub(crate) summary: &'static str,
    /// The programs it needs, each with its Debian package.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// Why it is a stand-in, if it is one: what the real thing needs that a namespace lacks.
    pub(crate) stand_in: Option<&'static str>,
}

/// A name resolution of the laptop: the software between programs and the DNS servers.
///
/// The framework calls the methods in this order, each of them once unless stated otherwise:
///
/// 1. `start`, before any DHCP client, VPN client or node runs;
/// 2. `set_line_servers` for every link whose servers the DHCP client did not deliver itself;
/// 3. `set_tunnel_servers` when the VPN client connects, `clear_tunnel_servers` when it ends
///    orderly; both repeatedly;
/// 4. `leak` and `mend_leak`, alternating, while the tunnel is up.
pub trait ResolverPart: Send {
    /// Installs configuration files and starts the daemons; returns once names could be asked.
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a>;

    /// Tells which servers a link brought: what DHCP said, or a static configuration.
    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a>;

    /// Makes all names be asked of the VPN's servers alone, as the VPN's client does here.
    ///
    /// `device` is the tunnel's; a policy-based IPsec has none and names the line's.
    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a>;

    /// Undoes `set_tunnel_servers`; the line's servers are asked again.
    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, device: &'a str) -> Task<'a>;

    /// Makes all names be asked of a server past the tunnel, although the tunnel is up.
    ///
    /// It does so as it happens to people with this software: a renewed lease overwrites the file,
    /// a link gets a default route for names.
    fn leak<'a>(&'a mut self, laptop: &'a Host, device: &'a str, servers: &'a [IpAddr]) -> Task<'a>;

    /// Undoes `leak`; the VPN's servers alone are asked again.
    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a>;
}
