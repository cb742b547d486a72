//! The resolvers each adapter is set to use, and those its DHCP server offered.

use super::interfaces;
use ipconfig::OperStatus;
use sentinel_model::{ConfiguredResolver, Interface, InterfaceKind, Reason, ResolverRole};
use std::net::IpAddr;
use windows_registry::LOCAL_MACHINE;

/// More servers than any configuration has in earnest.
const MAX_RESOLVERS: usize = 16;
/// Where the DHCP client keeps what it was told, per adapter.
const DHCP: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces";
/// What Windows lists where nothing is configured: site-local addresses nobody has (fec0:0:0:ffff::1 to 3).
const PLACEHOLDER: [u16; 4] = [0xfec0, 0, 0, 0xffff];

/// The resolvers of all adapters that are up, those of the adapter with the lowest metric first, which is the order in
/// which Windows prefers them. The first adapter that has any is asked for every name; whether the others are asked at
/// once with it (smart multi-homed name resolution) depends on policies, and is not told.
pub(super) fn configured() -> Result<Vec<ConfiguredResolver>, Reason> {
    let adapters = ipconfig::get_adapters()
        .map_err(|error| Reason::Failed(format!("could not read the adapters' resolvers: {error}")))?;
    let mut up: Vec<_> =
        adapters.iter().filter(|adapter| adapter.oper_status() == OperStatus::IfOperStatusUp).collect();
    up.sort_by_key(|adapter| adapter.ipv4_metric().min(adapter.ipv6_metric()));
    let mut resolvers = Vec::new();
    for adapter in up {
        let role = if resolvers.is_empty() { ResolverRole::First } else { ResolverRole::Unspecified };
        let servers = adapter.dns_servers().iter().filter(|server| !is_site_local_default(server));
        resolvers.extend(servers.map(|server| ConfiguredResolver {
            address: server.to_canonical(),
            interface: Some(adapter.friendly_name().to_owned()),
            role,
        }));
    }
    resolvers.truncate(MAX_RESOLVERS);
    Ok(resolvers)
}

/// What the DHCP servers on the physical interfaces that are up offered, whether or not it is used.
pub(super) fn from_dhcp() -> Result<Vec<ConfiguredResolver>, Reason> {
    let usable = |interface: &Interface| interface.up && interface.kind == InterfaceKind::Physical;
    let mut offered = Vec::new();
    for adapter in interfaces::adapters()?.into_iter().filter(|adapter| usable(&adapter.interface)) {
        // Without a lease there is no such key or value.
        let Ok(key) = LOCAL_MACHINE.open(format!(r"{DHCP}\{}", adapter.guid)) else { continue };
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

fn is_site_local_default(server: &IpAddr) -> bool {
    matches!(server, IpAddr::V6(v6) if v6.segments().starts_with(&PLACEHOLDER))
}
