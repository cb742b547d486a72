//! A plain `/etc/resolv.conf`, which scripts rewrite in place.

use crate::{
    host::Host,
    setups::part::{PartInfo, ResolverPart, Task},
};
use std::{future::ready, net::IpAddr};

pub(super) const INFO: PartInfo = PartInfo {
    name: "file",
    summary: "a plain `/etc/resolv.conf`: the VPN's script writes the VPN's resolver into it, a DHCP \
              renewal the router's",
    programs: &[],
    stand_in: None,
};

/// The servers that the file has had.
#[derive(Debug, Default)]
pub(super) struct FileResolver {
    line: Vec<IpAddr>,
    tunnel: Vec<IpAddr>,
}

impl ResolverPart for FileResolver {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(ready(laptop.set_resolvers(&[])))
    }

    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.line = servers.to_vec();
        Box::pin(ready(laptop.set_resolvers(servers)))
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = servers.to_vec();
        Box::pin(ready(laptop.set_resolvers(servers)))
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, _device: &'a str) -> Task<'a> {
        Box::pin(ready(laptop.set_resolvers(&self.line)))
    }

    fn leak<'a>(&'a mut self, laptop: &'a Host, _device: &'a str, servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(ready(laptop.set_resolvers(servers)))
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(ready(laptop.set_resolvers(&self.tunnel)))
    }
}
