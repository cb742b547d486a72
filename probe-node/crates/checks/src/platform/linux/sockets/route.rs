//! The route of a socket's packets: as the kernel answers for their source, interface, mark, user
//! and ports, since policy rules may look at any of them.

use super::{
    memory::TrackedSocket,
    message::{TCP, UDP},
};
use crate::platform::linux::{
    attributes::{address_bytes, push_attribute},
    interfaces::link_name,
    kernel_socket::KernelSocket,
    routes::{
        AF_INET, AF_INET6, ROUTE_HEADER, RTA_DPORT, RTA_DST, RTA_IP_PROTO, RTA_OIF, RTA_SRC, RTM_GETROUTE,
        describe_error, parse_reply,
    },
};
use netlink_packet_route::link::LinkMessage;
use sentinel_model::{Reason, TransportProtocol};

const RTA_MARK: u16 = 16;
const RTA_UID: u16 = 25;
const RTA_SPORT: u16 = 28;

/// Returns the name of the interface by which packets of the socket leave.
pub(super) fn find_interface(
    kernel: &mut KernelSocket,
    links: &[LinkMessage],
    socket: &TrackedSocket,
) -> Result<String, Reason> {
    let reply = kernel.ask(RTM_GETROUTE, &lookup_request(socket)).map_err(|error| describe_error(&error))?;
    let index = parse_reply(&reply)?.interface;
    let link = links.iter().find(|link| link.header.index == index);
    link.map(link_name).ok_or_else(|| Reason::Failed("the interface of the route is gone".into()))
}

fn lookup_request(socket: &TrackedSocket) -> Vec<u8> {
    let row = &socket.row;
    let (family, bits) = if row.peer.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
    let protocol = match socket.protocol {
        TransportProtocol::Tcp => TCP,
        TransportProtocol::Udp => UDP,
    };
    let mut request = vec![0; ROUTE_HEADER];
    request[0] = family;
    request[1] = bits;
    push_attribute(&mut request, RTA_DST, &address_bytes(row.peer.ip()));
    push_attribute(&mut request, RTA_UID, &row.uid.to_ne_bytes());
    push_attribute(&mut request, RTA_IP_PROTO, &[protocol]);
    push_attribute(&mut request, RTA_SPORT, &row.source.port().to_be_bytes());
    push_attribute(&mut request, RTA_DPORT, &row.peer.port().to_be_bytes());
    if row.bound_to != 0 {
        push_attribute(&mut request, RTA_OIF, &row.bound_to.to_ne_bytes());
    }
    // With a source, the kernel takes the interface of a lookup over IPv6 for a mere preference,
    // while it is binding for the packets of a socket.
    if row.bound_to == 0 || row.peer.is_ipv4() {
        request[2] = bits;
        push_attribute(&mut request, RTA_SRC, &address_bytes(row.source.ip()));
    }
    if let Some(mark) = row.mark.filter(|mark| *mark != 0) {
        push_attribute(&mut request, RTA_MARK, &mark.to_ne_bytes());
    }
    request
}
