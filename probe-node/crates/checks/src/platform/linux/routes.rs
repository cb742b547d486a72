//! Route lookups: the route the kernel chooses for a packet.

use super::{
    attributes::{address_bytes, attributes, push_attribute, read_address, read_u32},
    interfaces::{classify_link, link_name},
    kernel_socket::KernelSocket,
    netlink,
};
use crate::{platform::api::PacketKind, reason};
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{Outcome, Reason, RouteTaken, Transport};
use std::{
    io::{self, ErrorKind},
    net::IpAddr,
};
use tokio::task::yield_now;

pub(super) const RTM_GETROUTE: u16 = 26;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ICMPV6: u8 = 58;

// The types of routes (rtnetlink(7)).
pub(super) const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;
pub(super) const RTN_THROW: u8 = 9;

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_SRC: u16 = 2;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
/// An IPv4 route with an IPv6 next hop (RFC 5549): the family, then the address.
pub(super) const RTA_VIA: u16 = 18;
pub(super) const RTA_IP_PROTO: u16 = 27;
pub(super) const RTA_DPORT: u16 = 29;

/// The length of `struct rtmsg`.
pub(super) const ROUTE_HEADER: usize = 12;
/// How many lookups are done before other tasks may run.
const BATCH: usize = 16;

/// Asks the kernel which routes packets would take, in their order.
pub(super) async fn find_routes(packets: &[PacketKind]) -> Vec<Outcome<RouteTaken>> {
    let mut socket = match KernelSocket::open(NETLINK_ROUTE) {
        Ok(socket) => socket,
        Err(error) => return vec![Outcome::Unknown(reason::of_io(&error)); packets.len()],
    };
    let mut found = Vec::with_capacity(packets.len());
    for batch in packets.chunks(BATCH) {
        found.extend(batch.iter().map(|packet| find_hop(&mut socket, *packet)));
        yield_now().await;
    }
    let links = if found.iter().any(Result::is_ok) { netlink::list_links().await } else { Ok(Vec::new()) };
    let links = &links;
    found.into_iter().map(|hop| reason::outcome(hop.and_then(|hop| hop.on_links(links)))).collect()
}

/// The next hop of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextHop {
    /// The index of the interface.
    pub interface: u32,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
}

impl NextHop {
    fn on_links(self, links: &Result<Vec<LinkMessage>, Reason>) -> Result<RouteTaken, Reason> {
        let links = links.as_ref().map_err(Clone::clone)?;
        let link = links.iter().find(|link| link.header.index == self.interface);
        let link = link.ok_or_else(|| Reason::Failed("the route's interface is gone".into()))?;
        Ok(RouteTaken {
            interface: link_name(link),
            kind: classify_link(link, links),
            gateway: self.gateway,
            source: self.source,
        })
    }
}

/// Returns the next hop of a packet, as sockets that are connected to the destination find it.
///
/// Over IPv4 the kernel looks the route up, chooses the source address, and looks it up again with
/// that address, to which other rules may apply.
fn find_hop(socket: &mut KernelSocket, packet: PacketKind) -> Result<NextHop, Reason> {
    let first = look_up(socket, packet, None)?;
    match first.source {
        Some(source @ IpAddr::V4(_)) if packet.destination.is_ipv4() => {
            let second = look_up(socket, packet, Some(source))?;
            Ok(NextHop { source: first.source, ..second })
        }
        _ => Ok(first),
    }
}

fn look_up(socket: &mut KernelSocket, packet: PacketKind, source: Option<IpAddr>) -> Result<NextHop, Reason> {
    let reply = socket.ask(RTM_GETROUTE, &lookup_request(packet, source, true)).or_else(|error| {
        // Kernels before 4.18 do not accept every protocol. They report a blackhole route alike.
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::Unsupported => {
                socket.ask(RTM_GETROUTE, &lookup_request(packet, source, false))
            }
            _ => Err(error),
        }
    });
    parse_reply(&reply.map_err(|error| describe_error(&error))?)
}

/// Builds the request to look up a route.
///
/// It holds no table, interface, user or mark. The policy rules then apply as for an ordinary
/// packet of this process.
fn lookup_request(packet: PacketKind, source: Option<IpAddr>, with_transport: bool) -> Vec<u8> {
    let (family, bits) = if packet.destination.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
    let mut request = vec![0; ROUTE_HEADER];
    request[0] = family;
    request[1] = bits;
    if source.is_some() {
        request[2] = bits;
    }
    push_attribute(&mut request, RTA_DST, &address_bytes(packet.destination));
    if let Some(source) = source {
        push_attribute(&mut request, RTA_SRC, &address_bytes(source));
    }
    if with_transport {
        let protocol = match packet.transport {
            Transport::Tcp => IPPROTO_TCP,
            Transport::Udp => IPPROTO_UDP,
            Transport::Icmp if packet.destination.is_ipv4() => IPPROTO_ICMP,
            Transport::Icmp => IPPROTO_ICMPV6,
        };
        push_attribute(&mut request, RTA_IP_PROTO, &[protocol]);
        if packet.transport != Transport::Icmp && packet.port != 0 {
            push_attribute(&mut request, RTA_DPORT, &packet.port.to_be_bytes());
        }
    }
    request
}

/// Parses the kernel's answer to a lookup.
pub(super) fn parse_reply(reply: &[u8]) -> Result<NextHop, Reason> {
    let kind = reply.get(7).copied().unwrap_or_default();
    if [RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW].contains(&kind) {
        return Err(Reason::Unreachable);
    }
    let (mut interface, mut gateway, mut source) = (None, None, None);
    for (kind, value) in attributes(reply.get(ROUTE_HEADER..).unwrap_or_default()) {
        match kind {
            RTA_OIF => interface = read_u32(value, 0),
            RTA_GATEWAY => gateway = read_address(value),
            RTA_VIA => gateway = value.get(2..).and_then(read_address),
            RTA_PREFSRC => source = read_address(value),
            _ => {}
        }
    }
    let interface =
        interface.ok_or_else(|| Reason::Malformed("the kernel's route has no interface".into()))?;
    Ok(NextHop { interface, gateway, source })
}

/// Converts the error of a lookup, which is the one that `connect` would return.
///
/// - `ENETUNREACH`, `EHOSTUNREACH`: no route.
/// - `EACCES`: a prohibit route.
/// - `EINVAL`: a blackhole route; it cannot mean a malformed request here.
/// - `ENETDOWN`: the interface is down.
pub(super) fn describe_error(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::InvalidInput => Reason::Unreachable,
        _ => reason::of_io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(kind: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut reply = vec![0; ROUTE_HEADER];
        reply[7] = kind;
        for (kind, value) in attributes {
            push_attribute(&mut reply, *kind, value);
        }
        reply
    }

    #[test]
    fn routes_that_drop_packets_lead_nowhere() {
        for kind in [RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW] {
            let dead = reply(kind, &[(RTA_OIF, &1_u32.to_ne_bytes())]);
            assert_eq!(parse_reply(&dead), Err(Reason::Unreachable), "type {kind}");
        }
    }

    #[test]
    fn a_reply_without_an_interface_or_with_malformed_attributes_is_refused() {
        let hop = NextHop { interface: 2, gateway: Some([192, 0, 2, 1].into()), source: None };
        let good = reply(1, &[(RTA_OIF, &2_u32.to_ne_bytes()), (RTA_GATEWAY, &[192, 0, 2, 1]), (999, &[7])]);
        assert_eq!(parse_reply(&good), Ok(hop.clone()));
        let mut via = vec![10, 0];
        via.extend([0xfe; 16]);
        let over_v6 = parse_reply(&reply(1, &[(RTA_OIF, &2_u32.to_ne_bytes()), (RTA_VIA, &via)]));
        assert!(over_v6.unwrap().gateway.unwrap().is_ipv6());
        for bad in [vec![], vec![0; 5], reply(1, &[(RTA_OIF, &[2])]), reply(1, &[(RTA_GATEWAY, &[1; 4])])] {
            assert!(matches!(parse_reply(&bad), Err(Reason::Malformed(_))), "{bad:?}");
        }
    }
}
