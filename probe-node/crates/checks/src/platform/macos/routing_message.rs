//! Encodes and parses the messages of a routing socket, as far as they are needed.
//!
//! A message is a header of fixed size, followed by the socket addresses that the header's bits
//! name, each padded to four bytes. See route(4), and `struct rt_msghdr` and `RTAX_*` in XNU's
//! `net/route.h`.

use sentinel_model::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The size of `rt_msghdr` in bytes.
const HEADER: usize = 92;
const VERSION: u8 = 5;

const RTM_ADD: u8 = 1;
const RTM_DELETE: u8 = 2;
const RTM_CHANGE: u8 = 3;
const RTM_GET: u8 = 4;
const RTM_REDIRECT: u8 = 6;
const RTM_NEWADDR: u8 = 12;
const RTM_DELADDR: u8 = 13;
const RTM_IFINFO: u8 = 14;

const RTF_GATEWAY: u32 = 0x2;
const RTF_HOST: u32 = 0x4;
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x8;
const RTF_LLINFO: u32 = 0x400;
const RTF_BLACKHOLE: u32 = 0x1000;
const RTF_WASCLONED: u32 = 0x2_0000;

const RTA_DST: u32 = 0x1;
const RTA_GATEWAY: u32 = 0x2;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 30;
/// `ESRCH`: the table has no route to the destination.
const NO_SUCH_PROCESS: i32 = 3;

/// The kernel's reply to a route lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteReply {
    /// The index of the interface the packet would leave by.
    pub interface: u16,
    /// The next hop; none if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
}

/// Encodes the request to look up the route to `destination`.
///
/// The reply repeats the sequence number.
pub(super) fn lookup_request(destination: IpAddr, sequence: i32) -> Vec<u8> {
    let address = encode_address(destination);
    let length = HEADER + address.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    message.extend([VERSION, RTM_GET]);
    message.extend([0; 4]); // the interface's index, and padding
    message.extend((RTF_UP | RTF_GATEWAY | RTF_HOST).to_ne_bytes());
    message.extend(RTA_DST.to_ne_bytes());
    message.extend([0; 4]); // the process, which the kernel fills in
    message.extend(sequence.to_ne_bytes());
    message.resize(HEADER, 0); // the error, counters and metrics
    message.extend(address);
    message
}

/// Encodes an address as `sockaddr_in` or `sockaddr_in6`.
fn encode_address(address: IpAddr) -> Vec<u8> {
    let (length, family, offset) = match address {
        IpAddr::V4(_) => (16, AF_INET, 4),
        IpAddr::V6(_) => (28, AF_INET6, 8),
    };
    let mut bytes = vec![0; offset];
    bytes[..2].copy_from_slice(&[length, family]);
    match address {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
    bytes.resize(usize::from(length), 0);
    bytes
}

/// Parses the reply to the request with this sequence number by this process.
///
/// `None` for any other message.
pub(super) fn parse_reply(message: &[u8], process: i32, sequence: i32) -> Option<Result<RouteReply, Reason>> {
    let header = message.get(..HEADER)?;
    let ours = header[2..4] == [VERSION, RTM_GET]
        && read_i32(header, 16)? == process
        && read_i32(header, 20)? == sequence;
    if !ours {
        return None;
    }
    Some(match read_i32(header, 24)? {
        0 => parse_route(header, message.get(HEADER..)?),
        NO_SUCH_PROCESS => Err(Reason::Unreachable),
        error => Err(crate::reason::of_io(&std::io::Error::from_raw_os_error(error))),
    })
}

fn parse_route(header: &[u8], addresses: &[u8]) -> Result<RouteReply, Reason> {
    let malformed = || Reason::Malformed("the kernel's route is cut short".into());
    let flags = read_u32(header, 8).ok_or_else(malformed)?;
    if flags & (RTF_REJECT | RTF_BLACKHOLE) != 0 {
        return Err(Reason::Unreachable);
    }
    let present = read_u32(header, 12).ok_or_else(malformed)?;
    let index: [u8; 2] = *header.get(4..).and_then(<[u8]>::first_chunk).ok_or_else(malformed)?;
    let mut rest = addresses;
    if present & RTA_DST != 0 {
        rest = rest.get(padded_len(rest)..).unwrap_or_default();
    }
    let gateway = (present & RTA_GATEWAY != 0).then(|| parse_address(rest)).flatten();
    Ok(RouteReply { interface: u16::from_ne_bytes(index), gateway })
}

/// Returns how many bytes the first address occupies.
fn padded_len(addresses: &[u8]) -> usize {
    let length = addresses.first().copied().map_or(0, usize::from);
    length.max(1).next_multiple_of(4)
}

/// Parses the first address; `None` for a link-layer address.
///
/// A link-layer address as gateway means that the destination is on the link itself.
fn parse_address(addresses: &[u8]) -> Option<IpAddr> {
    match *addresses.get(1)? {
        AF_INET => {
            let octets: [u8; 4] = *addresses.get(4..)?.first_chunk()?;
            Some(Ipv4Addr::from(octets).into())
        }
        AF_INET6 => Some(without_scope(Ipv6Addr::from(*addresses.get(8..)?.first_chunk::<16>()?)).into()),
        _ => None,
    }
}

/// Removes the interface index that the kernel stores in the second group of link-local addresses.
pub(super) fn without_scope(address: Ipv6Addr) -> Ipv6Addr {
    let mut segments = address.segments();
    if address.is_unicast_link_local() {
        segments[1] = 0;
    }
    Ipv6Addr::from(segments)
}

/// Returns true if the message may indicate a change of the network.
///
/// These are not changes:
/// - routes that the kernel creates for each neighbour and each destination in use;
/// - replies to the route lookups of any process.
pub(super) fn may_indicate_change(message: &[u8]) -> bool {
    match message.get(3) {
        Some(&(RTM_ADD | RTM_DELETE | RTM_CHANGE | RTM_REDIRECT)) => {
            read_u32(message, 8).is_some_and(|flags| flags & (RTF_WASCLONED | RTF_LLINFO) == 0)
        }
        Some(&(RTM_NEWADDR | RTM_DELADDR | RTM_IFINFO)) => true,
        _ => false,
    }
}

fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: i32 = 4711;

    /// Builds a reply: the request with its fields filled in, and a gateway after the destination.
    fn reply(destination: &str, gateway: &[u8], flags: u32, error: i32) -> Vec<u8> {
        let mut message = lookup_request(destination.parse().unwrap(), 9);
        message[4..6].copy_from_slice(&7_u16.to_ne_bytes());
        message[8..12].copy_from_slice(&flags.to_ne_bytes());
        message[12..16].copy_from_slice(&(RTA_DST | RTA_GATEWAY).to_ne_bytes());
        message[16..20].copy_from_slice(&PROCESS.to_ne_bytes());
        message[24..28].copy_from_slice(&error.to_ne_bytes());
        message.extend(gateway);
        message
    }

    #[test]
    fn the_request_has_the_layout_that_the_kernel_expects() {
        let message = lookup_request("192.0.2.1".parse().unwrap(), 9);
        assert_eq!(message.len(), 92 + 16);
        assert_eq!(message[..2], 108_u16.to_ne_bytes());
        assert_eq!(message[2..4], [5, 4]);
        assert_eq!(message[92..100], [16, AF_INET, 0, 0, 192, 0, 2, 1]);
        let v6 = lookup_request("2001:db8::1".parse().unwrap(), 9);
        assert_eq!((v6.len(), v6[92], v6[93]), (92 + 28, 28, AF_INET6));
    }

    #[test]
    fn a_route_with_a_gateway_is_parsed_in_both_families() {
        let gateway: IpAddr = "192.168.1.1".parse().unwrap();
        let message = reply("192.0.2.1", &encode_address(gateway), RTF_UP, 0);
        let expected = RouteReply { interface: 7, gateway: Some(gateway) };
        assert_eq!(parse_reply(&message, PROCESS, 9), Some(Ok(expected)));

        let scoped: IpAddr = "fe80:7::1".parse().unwrap();
        let message = reply("2001:db8::1", &encode_address(scoped), RTF_UP, 0);
        let expected = RouteReply { interface: 7, gateway: Some("fe80::1".parse().unwrap()) };
        assert_eq!(parse_reply(&message, PROCESS, 9), Some(Ok(expected)));
    }

    #[test]
    fn a_destination_on_the_link_has_no_gateway() {
        let link = [20, 18, 7, 0, 6, 3, 0, 0, b'e', b'n', b'0', 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let message = reply("192.0.2.1", &link, RTF_UP, 0);
        assert_eq!(parse_reply(&message, PROCESS, 9), Some(Ok(RouteReply { interface: 7, gateway: None })));
    }

    #[test]
    fn a_missing_route_and_a_blackhole_route_are_unreachable() {
        let gateway = encode_address("192.168.1.1".parse().unwrap());
        for (flags, error) in [(RTF_UP, NO_SUCH_PROCESS), (RTF_BLACKHOLE, 0), (RTF_REJECT, 0)] {
            let message = reply("192.0.2.1", &gateway, flags, error);
            assert_eq!(parse_reply(&message, PROCESS, 9), Some(Err(Reason::Unreachable)), "{flags} {error}");
        }
    }

    #[test]
    fn replies_to_others_and_truncated_ones_are_ignored() {
        let message = reply("192.0.2.1", &encode_address("192.168.1.1".parse().unwrap()), RTF_UP, 0);
        assert_eq!(parse_reply(&message, PROCESS + 1, 9), None);
        assert_eq!(parse_reply(&message, PROCESS, 8), None);
        for length in 0..message.len() {
            // It must not panic; the addresses are parsed as far as they are present.
            let truncated = parse_reply(&message[..length], PROCESS, 9);
            assert_eq!(truncated.is_some(), length >= HEADER, "{length}");
        }
    }

    #[test]
    fn routes_to_neighbours_do_not_indicate_a_change() {
        let message = |kind: u8, flags: u32| {
            let mut message = vec![0; HEADER];
            message[2..4].copy_from_slice(&[VERSION, kind]);
            message[8..12].copy_from_slice(&flags.to_ne_bytes());
            message
        };
        assert!(may_indicate_change(&message(RTM_ADD, RTF_UP | RTF_GATEWAY)));
        assert!(may_indicate_change(&message(RTM_DELETE, RTF_UP)));
        assert!(may_indicate_change(&message(RTM_NEWADDR, 0)));
        assert!(may_indicate_change(&message(RTM_IFINFO, 0)));
        assert!(!may_indicate_change(&message(RTM_ADD, RTF_UP | RTF_LLINFO)));
        assert!(!may_indicate_change(&message(RTM_DELETE, RTF_WASCLONED)));
        assert!(!may_indicate_change(&message(RTM_GET, RTF_UP)));
        assert!(!may_indicate_change(&[]));
    }
}
