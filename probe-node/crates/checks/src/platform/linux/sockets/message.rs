//! Decodes the kernel's socket table: the messages of sock_diag(7) for TCP and UDP.
//!
//! Messages are decoded in place and one at a time, so that a table of any length takes no memory.
//! Unknown attributes are skipped. Layouts: `linux/netlink.h`, `linux/inet_diag.h`,
//! `linux/tcp.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's number for IPv4.
pub(super) const AF_INET: u8 = 2;
/// The kernel's number for IPv6.
pub(super) const AF_INET6: u8 = 10;

/// The protocol number of TCP.
pub(super) const TCP: u8 = 6;
/// The protocol number of UDP.
pub(super) const UDP: u8 = 17;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The type of a socket's message, and of the request for it.
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Length of `nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// Length of `inet_diag_msg`.
const ROW: usize = 72;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_MARK: u16 = 15;
/// The bits of an attribute's type that are flags.
const ATTRIBUTE_FLAGS: u16 = 0xC000;

/// One message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A socket.
    Row(Row),
    /// The table is at its end.
    Done,
    /// The request failed with this error number, or succeeded if it is 0.
    Error(i32),
    /// Any other message.
    Other,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The family of the socket, which may be IPv6 for IPv4-mapped addresses.
    pub(super) family: u8,
    /// Its own address, never IPv4-mapped.
    pub(super) source: SocketAddr,
    /// The address it is connected to, never IPv4-mapped.
    pub(super) peer: SocketAddr,
    /// The ports, addresses, interface and cookie as the kernel encodes them (`inet_diag_sockid`).
    pub(super) id: [u8; 48],
    /// The index of the interface it is bound to; 0 if it is bound to none.
    pub(super) bound_to: u32,
    /// Identifies it while it exists.
    pub(super) cookie: u64,
    /// The user that opened it.
    pub(super) uid: u32,
    /// Its inode; 0 if no process has it open any more.
    pub(super) inode: u32,
    /// Its mark, which the kernel shows only with `CAP_NET_ADMIN`.
    pub(super) mark: Option<u32>,
    /// The state of its TCP connection, where that was asked for.
    pub(super) tcp: Option<TcpState>,
}

/// What `tcp_info` says about a connection's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpState {
    /// Milliseconds since the last packet with data arrived, or the connection was established.
    pub(super) last_data_recv: u32,
    /// Milliseconds since the last acknowledgement arrived.
    pub(super) last_ack_recv: u32,
    /// Bytes that the peer has acknowledged and that it has sent. `None` on kernels before 4.1.
    pub(super) bytes: Option<u64>,
}

/// The kernel's message does not have the documented form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Iterates over the messages of one datagram. Ends after the first malformed one.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let decoded = split_message(rest).map(|(message, after)| {
            rest = after;
            message
        });
        if decoded.is_err() {
            rest = &[];
        }
        Some(decoded)
    })
}

fn split_message(bytes: &[u8]) -> Result<(Message, &[u8]), Malformed> {
    let length = usize::try_from(u32_at(bytes, 0).ok_or(Malformed("a message without a header"))?)
        .map_err(|_| Malformed("a message of impossible length"))?;
    let message = bytes.get(..length).filter(|message| message.len() >= HEADER);
    let message = message.ok_or(Malformed("a truncated message"))?;
    let kind = u16_at(message, 4).ok_or(Malformed("a message without a type"))?;
    let payload = &message[HEADER..];
    let decoded = match kind {
        NLMSG_DONE => Message::Done,
        NLMSG_ERROR => {
            let error = payload.first_chunk().ok_or(Malformed("an error without its number"))?;
            Message::Error(i32::from_ne_bytes(*error).saturating_neg())
        }
        SOCK_DIAG_BY_FAMILY => Message::Row(Row::decode(payload)?),
        _ => Message::Other,
    };
    // The last message of a datagram may lack its padding.
    Ok((decoded, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

impl Row {
    /// Decodes an `inet_diag_msg` and the attributes after it.
    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed("a socket that is too short");
        let family = *payload.first().ok_or(SHORT)?;
        let id: [u8; 48] = *payload.get(4..52).and_then(<[u8]>::first_chunk).ok_or(SHORT)?;
        let address = |at: usize| -> Result<IpAddr, Malformed> {
            let bytes: [u8; 16] = *id.get(at..).and_then(<[u8]>::first_chunk).ok_or(SHORT)?;
            match family {
                AF_INET => Ok(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
                AF_INET6 => Ok(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()),
                _ => Err(Malformed("a socket of another family")),
            }
        };
        let port = |at: usize| u16::from_be_bytes([id[at], id[at + 1]]);
        let number = |at: usize| u32_at(payload, at).ok_or(SHORT);
        let mut row = Self {
            family,
            source: SocketAddr::new(address(4)?, port(0)),
            peer: SocketAddr::new(address(20)?, port(2)),
            id,
            bound_to: number(40)?,
            cookie: u64::from(number(44)?) | u64::from(number(48)?) << 32,
            uid: number(64)?,
            inode: number(68)?,
            mark: None,
            tcp: None,
        };
        for (kind, value) in attributes(payload.get(ROW..).ok_or(SHORT)?) {
            match kind & !ATTRIBUTE_FLAGS {
                INET_DIAG_INFO => row.tcp = TcpState::decode(value),
                INET_DIAG_MARK => row.mark = u32_at(value, 0),
                _ => {}
            }
        }
        Ok(row)
    }
}

impl TcpState {
    /// Decodes the beginning of a `tcp_info`, which newer kernels extend at its end.
    fn decode(info: &[u8]) -> Option<Self> {
        let bytes = u64_at(info, 120).zip(u64_at(info, 128));
        Some(Self {
            last_data_recv: u32_at(info, 52)?,
            last_ack_recv: u32_at(info, 56)?,
            bytes: bytes.map(|(acked, received)| acked.saturating_add(received)),
        })
    }
}

/// Iterates over attributes, up to the first whose length is impossible.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Encodes a socket's message as the kernel does.
    pub(crate) fn encode_row(source: SocketAddr, peer: SocketAddr, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => [&v4.octets()[..], &[0; 12]].concat(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let family = if source.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut body = vec![family, 1, 0, 0];
        body.extend(source.port().to_be_bytes());
        body.extend(peer.port().to_be_bytes());
        body.extend(octets(source.ip()));
        body.extend(octets(peer.ip()));
        // interface, cookie, expires, receive queue, send queue, user, inode
        for number in [3_u32, 0xAAAA, 0xBBBB, 0, 0, 0, 1000, 4242] {
            body.extend(number.to_ne_bytes());
        }
        for (kind, value) in attributes {
            body.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        encode_message(SOCK_DIAG_BY_FAMILY, &body)
    }

    pub(crate) fn encode_message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    fn tcp_info(length: usize) -> Vec<u8> {
        let mut info = vec![0; length];
        info[52..56].copy_from_slice(&70_u32.to_ne_bytes());
        info[56..60].copy_from_slice(&30_u32.to_ne_bytes());
        if length >= 136 {
            info[120..128].copy_from_slice(&1000_u64.to_ne_bytes());
            info[128..136].copy_from_slice(&500_u64.to_ne_bytes());
        }
        info
    }

    fn decode_one(bytes: &[u8]) -> Row {
        match messages(bytes).next() {
            Some(Ok(Message::Row(row))) => row,
            other => panic!("{other:?}"),
        }
    }

    fn v4() -> (SocketAddr, SocketAddr) {
        ("192.168.1.2:40000".parse().unwrap(), "203.0.113.7:443".parse().unwrap())
    }

    #[test]
    fn a_socket_is_decoded_with_its_mark_and_progress_and_unknown_attributes_are_skipped() {
        let (source, peer) = v4();
        let info = tcp_info(248);
        let mark = 0xCA6C_u32.to_ne_bytes();
        let bytes =
            encode_row(source, peer, &[(900, b"?"), (INET_DIAG_INFO, &info), (INET_DIAG_MARK, &mark)]);
        let row = decode_one(&bytes);
        assert_eq!((row.source, row.peer), (source, peer));
        assert_eq!((row.bound_to, row.cookie), (3, 0x0000_BBBB_0000_AAAA));
        assert_eq!((row.uid, row.inode, row.mark), (1000, 4242, Some(0xCA6C)));
        let tcp = TcpState { last_data_recv: 70, last_ack_recv: 30, bytes: Some(1500) };
        assert_eq!(row.tcp, Some(tcp));
        let old = decode_one(&encode_row(source, peer, &[(INET_DIAG_INFO, &tcp_info(104))]));
        assert_eq!(old.tcp, Some(TcpState { bytes: None, ..tcp }), "a kernel that does not count bytes");
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped = |text: &str| text.parse::<SocketAddr>().unwrap();
        let row =
            decode_one(&encode_row(mapped("[::ffff:192.168.1.2]:1"), mapped("[::ffff:203.0.113.7]:2"), &[]));
        assert_eq!(row.source, mapped("192.168.1.2:1"));
        assert_eq!(row.peer, mapped("203.0.113.7:2"));
        assert_eq!(row.family, AF_INET6);
    }

    #[test]
    fn a_truncated_message_is_malformed_wherever_it_ends() {
        let (source, peer) = v4();
        let whole = encode_row(source, peer, &[(INET_DIAG_INFO, &tcp_info(248))]);
        for length in 1..whole.len() {
            let all: Vec<_> = messages(&whole[..length]).collect();
            assert!(matches!(all[..], [Err(_)]), "{length} bytes gave {all:?}");
        }
        for claimed in [0_u32, 15, u32::MAX] {
            let mut lying = whole.clone();
            lying[..4].copy_from_slice(&claimed.to_ne_bytes());
            assert!(matches!(messages(&lying).collect::<Vec<_>>()[..], [Err(_)]), "{claimed}");
        }
    }

    #[test]
    fn the_end_and_errors_are_told_apart() {
        let error = encode_message(NLMSG_ERROR, &(-16_i32).to_ne_bytes());
        let all = [encode_message(1, &[]), error, encode_message(NLMSG_DONE, &[0; 4])].concat();
        let all: Vec<_> = messages(&all).map(Result::unwrap).collect();
        assert_eq!(all, [Message::Other, Message::Error(16), Message::Done]);
    }

    #[test]
    fn an_attribute_of_impossible_length_ends_the_attributes_and_not_the_table() {
        let (source, peer) = v4();
        let mut bytes = encode_row(source, peer, &[(INET_DIAG_MARK, &7_u32.to_ne_bytes())]);
        let attribute = HEADER + ROW;
        bytes[attribute..attribute + 2].copy_from_slice(&60_000_u16.to_ne_bytes());
        assert_eq!(decode_one(&bytes).mark, None);
    }
}
