//! Paths past the tunnel: the physical interfaces that could carry packets.

use ipnet::IpNet;
use sentinel_model::{Family, Interface, InterfaceKind, is_link_local};

/// The port of traceroute's packets, on which nothing is expected to listen.
pub(super) const TRACEROUTE_PORT: u16 = 33_434;

/// The most physical interfaces considered.
const MAX_INTERFACES: usize = 4;

/// Returns each physical interface that is up, with each family in which it has a usable address.
pub(super) fn physical_paths(interfaces: &[Interface]) -> impl Iterator<Item = (&Interface, Family)> {
    let physical = interfaces.iter().filter(|each| each.up && each.kind == InterfaceKind::Physical);
    physical.take(MAX_INTERFACES).flat_map(|interface| {
        let is_usable = |family| {
            let mut addresses = interface.addresses.iter().map(IpNet::addr);
            addresses.any(|address| Family::of(address) == family && !is_link_local(address))
        };
        let families = Family::ALL.into_iter().filter(move |family| is_usable(*family));
        families.map(move |family| (interface, family))
    })
}
