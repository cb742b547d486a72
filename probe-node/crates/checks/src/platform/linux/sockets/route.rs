//! The route of a socket's packets: as the kernel answers for their source, interface, mark, user
//! and ports, since policy rules may look at any of them.

use super::{
    memory::TrackedSocket,
    message::{TCP, UDP},
};
use crate::platform::linux::{
    interfaces::link_name,
    netlink::{NetlinkClient, first_reply},
    routes::UNREACHABLE,
};
use netlink_packet_route::{
    AddressFamily,
    link::LinkMessage,
    route::{RouteAttribute, RouteMessage},
};
use sentinel_model::{Reason, TransportProtocol};
use std::net::IpAddr;

/// Returns the name of the interface by which packets of the socket leave.
pub(super) async fn find_interface(
    netlink: &NetlinkClient,
    links: &[LinkMessage],
    socket: &TrackedSocket,
) -> Result<String, Reason> {
    let route = first_reply(netlink.handle()?.route().get(lookup_request(socket)).execute()).await?;
    if UNREACHABLE.contains(&route.header.kind) {
        return Err(Reason::Unreachable);
    }
    let index = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let index = index.ok_or_else(|| Reason::Malformed("the kernel's route has no interface".into()))?;
    let link = links.iter().find(|link| link.header.index == index);
    link.map(link_name).ok_or_else(|| Reason::Failed("the interface of the route is gone".into()))
}

fn lookup_request(socket: &TrackedSocket) -> RouteMessage {
    let row = &socket.row;
    let mut message = RouteMessage::default();
    let (family, length) = match row.peer.ip() {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    let protocol = match socket.protocol {
        TransportProtocol::Tcp => TCP,
        TransportProtocol::Udp => UDP,
    };
    message.attributes = vec![
        RouteAttribute::Destination(row.peer.ip().into()),
        RouteAttribute::Uid(row.uid),
        RouteAttribute::IpProto(protocol),
        RouteAttribute::Sport(row.source.port()),
        RouteAttribute::Dport(row.peer.port()),
    ];
    if row.bound_to != 0 {
        message.attributes.push(RouteAttribute::Oif(row.bound_to));
    }
    // With a source, the kernel takes the interface of a lookup over IPv6 for a mere preference,
    // while it is binding for the packets of a socket.
    if row.bound_to == 0 || row.peer.is_ipv4() {
        message.header.source_prefix_length = length;
        message.attributes.push(RouteAttribute::Source(row.source.ip().into()));
    }
    message.attributes.extend(row.mark.filter(|mark| *mark != 0).map(RouteAttribute::Mark));
    message
}
