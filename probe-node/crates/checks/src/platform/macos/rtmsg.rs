//! The routing socket's messages, as far as they are needed (route(4); `struct rt_msghdr` and `RTAX_*` of XNU's
//! `net/route.h`): a header of fixed size, then the socket addresses its bits name, each padded to four bytes.

use sentinel_model::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The size of `rt_msghdr`.
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

/// What the kernel answers to the question for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The index of the interface the packet would leave by.
    pub interface: u16,
    /// The next hop, where there is one.
    pub gateway: Option<IpAddr>,
}

/// The question: which route does a packet to `destination` take? The sequence number comes back with the answer.
pub(super) fn question(destination: IpAddr, sequence: i32) -> Vec<u8> {
    let address = socket_address(destination);
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

/// `sockaddr_in` or `sockaddr_in6`.
fn socket_address(address: IpAddr) -> Vec<u8> {
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

/// The answer to the question with this sequence number by this process; `None` if the message is another.
pub(super) fn answer(message: &[u8], process: i32, sequence: i32) -> Option<Result<Answer, Reason>> {
    let header = message.get(..HEADER)?;
    let ours =
        header[2..4] == [VERSION, RTM_GET] && int(header, 16)? == process && int(header, 20)? == sequence;
    if !ours {
        return None;
    }
    Some(match int(header, 24)? {
        0 => read(header, message.get(HEADER..)?),
        NO_SUCH_PROCESS => Err(Reason::Unreachable),
        error => Err(crate::reason::of_io(&std::io::Error::from_raw_os_error(error))),
    })
}

fn read(header: &[u8], addresses: &[u8]) -> Result<Answer, Reason> {
    let malformed = || Reason::Malformed("the kernel's route is cut short".into());
    let flags = unsigned(header, 8).ok_or_else(malformed)?;
    if flags & (RTF_REJECT | RTF_BLACKHOLE) != 0 {
        return Err(Reason::Unreachable);
    }
    let present = unsigned(header, 12).ok_or_else(malformed)?;
    let index: [u8; 2] = *header.get(4..).and_then(<[u8]>::first_chunk).ok_or_else(malformed)?;
    let mut rest = addresses;
    if present & RTA_DST != 0 {
        rest = rest.get(padded(rest)..).unwrap_or_default();
    }
    let gateway = (present & RTA_GATEWAY != 0).then(|| ip(rest)).flatten();
    Ok(Answer { interface: u16::from_ne_bytes(index), gateway })
}

/// How many bytes the first address takes.
fn padded(addresses: &[u8]) -> usize {
    let length = addresses.first().copied().map_or(0, usize::from);
    length.max(1).next_multiple_of(4)
}

/// The first address; `None` if it is one of the link layer, which means that the destination is on the link itself.
fn ip(addresses: &[u8]) -> Option<IpAddr> {
    match *addresses.get(1)? {
        AF_INET => {
            let octets: [u8; 4] = *addresses.get(4..)?.first_chunk()?;
            Some(Ipv4Addr::from(octets).into())
        }
        AF_INET6 => Some(unscoped(Ipv6Addr::from(*addresses.get(8..)?.first_chunk::<16>()?)).into()),
        _ => None,
    }
}

/// The address without the interface that the kernel keeps inside a link-local one, in its second group.
pub(super) fn unscoped(address: Ipv6Addr) -> Ipv6Addr {
    let mut segments = address.segments();
    if address.is_unicast_link_local() {
        segments[1] = 0;
    }
    Ipv6Addr::from(segments)
}

/// Whether the message hints at a change. Routes that the kernel makes for each neighbour and each destination it
/// talks to, and answers to anybody's questions, do not.
pub(super) fn is_hint(message: &[u8]) -> bool {
    match message.get(3) {
        Some(&(RTM_ADD | RTM_DELETE | RTM_CHANGE | RTM_REDIRECT)) => {
            unsigned(message, 8).is_some_and(|flags| flags & (RTF_WASCLONED | RTF_LLINFO) == 0)
        }
        Some(&(RTM_NEWADDR | RTM_DELADDR | RTM_IFINFO)) => true,
        _ => false,
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn unsigned(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: i32 = 4711;

    /// The kernel's answer: the question with the holes filled and a gateway after the destination.
    fn answered(destination: &str, gateway: &[u8], flags: u32, error: i32) -> Vec<u8> {
        let mut message = question(destination.parse().unwrap(), 9);
        message[4..6].copy_from_slice(&7_u16.to_ne_bytes());
        message[8..12].copy_from_slice(&flags.to_ne_bytes());
        message[12..16].copy_from_slice(&(RTA_DST | RTA_GATEWAY).to_ne_bytes());
        message[16..20].copy_from_slice(&PROCESS.to_ne_bytes());
        message[24..28].copy_from_slice(&error.to_ne_bytes());
        message.extend(gateway);
        message
    }

    #[test]
    fn the_question_is_laid_out_as_the_kernel_reads_it() {
        let message = question("192.0.2.1".parse().unwrap(), 9);
        assert_eq!(message.len(), 92 + 16);
        assert_eq!(message[..2], 108_u16.to_ne_bytes());
        assert_eq!(message[2..4], [5, 4]);
        assert_eq!(message[92..100], [16, AF_INET, 0, 0, 192, 0, 2, 1]);
        let v6 = question("2001:db8::1".parse().unwrap(), 9);
        assert_eq!((v6.len(), v6[92], v6[93]), (92 + 28, 28, AF_INET6));
    }

    #[test]
    fn a_route_by_a_gateway_is_read_in_both_families() {
        let gateway: IpAddr = "192.168.1.1".parse().unwrap();
        let message = answered("192.0.2.1", &socket_address(gateway), RTF_UP, 0);
        let expected = Answer { interface: 7, gateway: Some(gateway) };
        assert_eq!(answer(&message, PROCESS, 9), Some(Ok(expected)));

        let scoped: IpAddr = "fe80:7::1".parse().unwrap();
        let message = answered("2001:db8::1", &socket_address(scoped), RTF_UP, 0);
        let expected = Answer { interface: 7, gateway: Some("fe80::1".parse().unwrap()) };
        assert_eq!(answer(&message, PROCESS, 9), Some(Ok(expected)));
    }

    #[test]
    fn on_the_link_there_is_no_gateway() {
        let link = [20, 18, 7, 0, 6, 3, 0, 0, b'e', b'n', b'0', 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let message = answered("192.0.2.1", &link, RTF_UP, 0);
        assert_eq!(answer(&message, PROCESS, 9), Some(Ok(Answer { interface: 7, gateway: None })));
    }

    #[test]
    fn no_route_and_a_black_hole_are_no_way_there() {
        let gateway = socket_address("192.168.1.1".parse().unwrap());
        for (flags, error) in [(RTF_UP, NO_SUCH_PROCESS), (RTF_BLACKHOLE, 0), (RTF_REJECT, 0)] {
            let message = answered("192.0.2.1", &gateway, flags, error);
            assert_eq!(answer(&message, PROCESS, 9), Some(Err(Reason::Unreachable)), "{flags} {error}");
        }
    }

    #[test]
    fn messages_for_others_and_cut_ones_are_no_answer() {
        let message = answered("192.0.2.1", &socket_address("192.168.1.1".parse().unwrap()), RTF_UP, 0);
        assert_eq!(answer(&message, PROCESS + 1, 9), None);
        assert_eq!(answer(&message, PROCESS, 8), None);
        for length in 0..message.len() {
            // Must not panic; what is there of the addresses is read.
            let cut = answer(&message[..length], PROCESS, 9);
            assert_eq!(cut.is_some(), length >= HEADER, "{length}");
        }
    }

    #[test]
    fn what_the_kernel_does_for_each_neighbour_is_no_hint() {
        let message = |kind: u8, flags: u32| {
            let mut message = vec![0; HEADER];
            message[2..4].copy_from_slice(&[VERSION, kind]);
            message[8..12].copy_from_slice(&flags.to_ne_bytes());
            message
        };
        assert!(is_hint(&message(RTM_ADD, RTF_UP | RTF_GATEWAY)));
        assert!(is_hint(&message(RTM_DELETE, RTF_UP)));
        assert!(is_hint(&message(RTM_NEWADDR, 0)));
        assert!(is_hint(&message(RTM_IFINFO, 0)));
        assert!(!is_hint(&message(RTM_ADD, RTF_UP | RTF_LLINFO)));
        assert!(!is_hint(&message(RTM_DELETE, RTF_WASCLONED)));
        assert!(!is_hint(&message(RTM_GET, RTF_UP)));
        assert!(!is_hint(&[]));
    }
}
