//! The resolvers configured for each adapter, and those offered by its DHCP server.

use super::interfaces;
use ipconfig::OperStatus;
use sentinel_model::{ConfiguredResolver, Interface, InterfaceKind, Reason, ResolverRole};
use std::net::IpAddr;
use windows_registry::LOCAL_MACHINE;

/// More servers than any real configuration has.
const MAX_RESOLVERS: usize = 16;
/// The registry key under which the DHCP client stores each adapter's lease.
const DHCP_KEY: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces";
/// The prefix of the placeholders that Windows lists if nothing is configured.
///
/// They are the unused site-local addresses fec0:0:0:ffff::1 to fec0:0:0:ffff::3.
const PLACEHOLDER: [u16; 4] = [0xfec0, 0, 0, 0xffff];

/// Lists the resolvers of all adapters that are up, by ascending metric of the adapter.
///
/// This is the order in which Windows prefers them. The first adapter with resolvers is asked for
/// every name. Whether the others are asked in parallel (smart multi-homed name resolution) depends
/// on policies and is not determined.
pub(super) fn read_config() -> Result<Vec<ConfiguredResolver>, Reason> {
    let adapters = ipconfig::get_adapters()
        .map_err(|error| Reason::Failed(format!("could not read the adapters' resolvers: {error}")))?;
    let mut up: Vec<_> =
        adapters.iter().filter(|adapter| adapter.oper_status() == OperStatus::IfOperStatusUp).collect();
    up.sort_by_key(|adapter| adapter.ipv4_metric().min(adapter.ipv6_metric()));
    let mut resolvers = Vec::new();
    for adapter in up {
        let role = if resolvers.is_empty() { ResolverRole::First } else { ResolverRole::Unspecified };
        let servers = adapter.dns_servers().iter().filter(|server| !is_placeholder(server));
        resolvers.extend(servers.map(|server| ConfiguredResolver {
            address: server.to_canonical(),
            interface: Some(adapter.friendly_name().to_owned()),
            role,
        }));
    }
    resolvers.truncate(MAX_RESOLVERS);
    Ok(resolvers)
}

/// Lists the resolvers that DHCP offered on physical interfaces that are up, whether used or not.
pub(super) fn list_dhcp_resolvers() -> Result<Vec<ConfiguredResolver>, Reason> {
    let is_usable = |interface: &Interface| interface.up && interface.kind == InterfaceKind::Physical;
    let mut offered = Vec::new();
    for adapter in interfaces::list_adapters()?.into_iter().filter(|adapter| is_usable(&adapter.interface)) {
        // Without a lease, the key or the value does not exist.
        let Ok(key) = LOCAL_MACHINE.open(format!(r"{DHCP_KEY}\{}", adapter.guid)) else { continue };
        let servers = key.get_string("DhcpNameServer").unwrap_or_default();
        let servers = servers.split([' ', ',']).filter_map(|server| server.parse::<IpAddr>().ok());
        offered.extend(servers.map(|address| ConfiguredResolver {
            address,
            interface: Some(adapter.interface.name.clone()),
            role: ResolverRole::Unspecified,
        }));
    }
    offered.truncate(MAX_RESOLVERS);
    Ok(offered)
}

fn is_placeholder(server: &IpAddr) -> bool {
    matches!(server, IpAddr::V6(v6) if v6.segments().starts_with(&PLACEHOLDER))
}
