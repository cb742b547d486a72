//! Route lookups by the IP stack, and the routing table.

use super::interfaces::{Adapter, list_adapters};
use crate::{
    platform::{
        routing_table::{MAX_ROUTES, RouteEntry},
        source_address::find_source_address,
    },
    reason,
};
use route_manager::RouteManager;
use sentinel_model::{Reason, RouteTaken};
use std::{io, net::IpAddr};

/// `ERROR_NOT_FOUND`: the routing table has no route to the destination.
const NOT_FOUND: i32 = 1168;

/// Returns the route that a packet to `destination` would take.
pub(super) fn find_route(destination: IpAddr) -> Result<RouteTaken, Reason> {
    let route = RouteManager::new()
        .and_then(|mut manager| manager.find_route(&destination))
        .map_err(|error| describe_error(&error))?
        .ok_or(Reason::Unreachable)?;
    let adapters = list_adapters()?;
    let adapter = route.if_index().and_then(|index| adapters.iter().find(|adapter| adapter.index == index));
    let adapter =
        adapter.ok_or_else(|| Reason::Malformed("the route's interface is not among the adapters".into()))?;
    Ok(RouteTaken {
        interface: adapter.interface.name.clone(),
        kind: adapter.interface.kind,
        gateway: route.gateway().filter(|hop| !hop.is_unspecified()),
        source: find_source_address(destination).ok(),
    })
}

/// Lists the routes.
pub(super) fn list_routes() -> Result<Vec<RouteEntry>, Reason> {
    let routes = RouteManager::new().and_then(|mut manager| manager.list());
    let routes = routes.map_err(|error| reason::of_io(&error))?;
    let adapters = list_adapters()?;
    let entry = |route: &route_manager::Route| RouteEntry {
        destination: route.destination(),
        prefix_len: route.prefix(),
        gateway: route.gateway(),
        interface: route.if_index().and_then(|index| find_name(&adapters, index)),
        metric: route.metric(),
    };
    Ok(routes.iter().take(MAX_ROUTES).map(entry).collect())
}

fn find_name(adapters: &[Adapter], index: u32) -> Option<String> {
    let adapter = adapters.iter().find(|adapter| adapter.index == index)?;
    Some(adapter.interface.name.clone())
}

fn describe_error(error: &io::Error) -> Reason {
    if error.raw_os_error() == Some(NOT_FOUND) { Reason::Unreachable } else { reason::of_io(error) }
}
