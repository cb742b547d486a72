//! The way a packet would take, as the IP stack itself decides it, and the routing table.

use super::interfaces::{Adapter, adapters};
use crate::{
    platform::{
        source_towards,
        table::{Entry, MAX_ROUTES},
    },
    reason,
};
use route_manager::RouteManager;
use sentinel_model::{Reason, RouteTaken};
use std::{io, net::IpAddr};

/// `ERROR_NOT_FOUND`: the table has no route to the destination.
const NOT_FOUND: i32 = 1168;

/// Which way a packet to `destination` would take.
pub(super) fn route_to(destination: IpAddr) -> Result<RouteTaken, Reason> {
    let route = RouteManager::new()
        .and_then(|mut manager| manager.find_route(&destination))
        .map_err(|error| describe(&error))?
        .ok_or(Reason::Unreachable)?;
    let adapters = adapters()?;
    let adapter = route.if_index().and_then(|index| adapters.iter().find(|adapter| adapter.index == index));
    let adapter = adapter.ok_or_else(|| Reason::Malformed("the route names no known interface".into()))?;
    Ok(RouteTaken {
        interface: adapter.interface.name.clone(),
        kind: adapter.interface.kind,
        gateway: route.gateway().filter(|hop| !hop.is_unspecified()),
        source: source_towards(destination).ok(),
    })
}

/// The routing table.
pub(super) fn table() -> Result<Vec<Entry>, Reason> {
    let routes = RouteManager::new().and_then(|mut manager| manager.list());
    let routes = routes.map_err(|error| reason::of_io(&error))?;
    let adapters = adapters()?;
    let entry = |route: &route_manager::Route| Entry {
        destination: route.destination(),
        prefix: route.prefix(),
        gateway: route.gateway(),
        interface: route.if_index().and_then(|index| name(&adapters, index)),
        metric: route.metric(),
    };
    Ok(routes.iter().take(MAX_ROUTES).map(entry).collect())
}

fn name(adapters: &[Adapter], index: u32) -> Option<String> {
    let adapter = adapters.iter().find(|adapter| adapter.index == index)?;
    Some(adapter.interface.name.clone())
}

fn describe(error: &io::Error) -> Reason {
    if error.raw_os_error() == Some(NOT_FOUND) { Reason::Unreachable } else { reason::of_io(error) }
}
