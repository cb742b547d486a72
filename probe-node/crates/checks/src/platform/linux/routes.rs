//! Route lookups, and what the kernel's route messages contain.

use super::{
    interfaces,
    netlink::{self, NetlinkClient, first_reply},
};
use crate::platform::api::PacketKind;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};
use sentinel_model::{Reason, RouteTaken};
use std::net::IpAddr;

/// The types of routes that drop or reject packets.
const UNREACHABLE: [RouteType; 4] =
    [RouteType::Unreachable, RouteType::BlackHole, RouteType::Prohibit, RouteType::Throw];

/// Asks the kernel which route a packet would take.
pub(super) async fn find_route(netlink: &NetlinkClient, packet: PacketKind) -> Result<RouteTaken, Reason> {
    let handle = netlink.handle()?;
    let route = first_reply(handle.route().get(lookup_request(packet.destination)).execute()).await?;
    if UNREACHABLE.contains(&route.header.kind) {
        return Err(Reason::Unreachable);
    }
    let index = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let index = index.ok_or_else(|| Reason::Malformed("the kernel's route has no interface".into()))?;
    let link = first_reply(handle.link().get().match_index(index).execute()).await?;
    let others = if interfaces::needs_others(&link) { netlink::list_links().await? } else { Vec::new() };
    Ok(RouteTaken {
        interface: interfaces::link_name(&link),
        kind: interfaces::classify_link(&link, &others),
        gateway: route.attributes.iter().find_map(gateway),
        source: route.attributes.iter().find_map(preferred_source),
    })
}

/// Builds the request to look up a route.
///
/// It holds only the destination and its family: no table, interface or mark. The policy rules then
/// apply as for an ordinary packet of this process.
fn lookup_request(destination: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    (message.header.address_family, message.header.destination_prefix_length) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    message
}

/// Returns the destination's network address if this attribute holds it.
pub(super) fn destination(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Destination(destination) => parse_address(destination),
        _ => None,
    }
}

/// Returns the next hop if this attribute holds it.
pub(super) fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(gateway) => parse_address(gateway),
        // An IPv4 route with an IPv6 next hop (RFC 5549).
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        _ => None,
    }
}

fn preferred_source(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::PrefSource(source) => parse_address(source),
        _ => None,
    }
}

fn parse_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
