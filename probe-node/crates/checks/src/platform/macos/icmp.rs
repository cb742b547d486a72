//! Parses ICMP errors about UDP packets (RFC 792, RFC 4443). Each quotes the beginning of the
//! packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const UDP: u8 = 17;
/// The length of the ICMP header before the quoted packet.
const ICMP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// The packet that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotedPacket {
    /// The UDP port it was sent from.
    pub source_port: u16,
    /// The address and port it was sent to.
    pub destination: SocketAddr,
}

/// Parses the UDP packet quoted in a Time Exceeded (type 11) or Destination Unreachable (type 3).
///
/// The message may begin with its own IP header, which macOS leaves in place.
pub(super) fn parse_v4(message: &[u8]) -> Option<QuotedPacket> {
    let message =
        if *message.first()? >> 4 == 4 { message.get(ipv4_header_len(message)?..)? } else { message };
    if !matches!(message.first()?, 3 | 11) {
        return None;
    }
    let packet = message.get(ICMP_HEADER..)?;
    let to: [u8; 4] = *packet.get(16..)?.first_chunk()?;
    let udp = packet.get(ipv4_header_len(packet)?..)?;
    (packet[9] == UDP).then(|| parse_udp(udp, Ipv4Addr::from(to).into()))?
}

/// Parses the UDP packet quoted in a Time Exceeded (type 3) or Destination Unreachable (type 1).
pub(super) fn parse_v6(message: &[u8]) -> Option<QuotedPacket> {
    if !matches!(message.first()?, 1 | 3) {
        return None;
    }
    let packet = message.get(ICMP_HEADER..)?;
    let to: [u8; 16] = *packet.get(24..)?.first_chunk()?;
    let udp = packet.get(IPV6_HEADER..)?;
    (packet[6] == UDP).then(|| parse_udp(udp, Ipv6Addr::from(to).into()))?
}

/// Returns the length of the IPv4 header at the start of a packet.
fn ipv4_header_len(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0xf) * 4;
    (length >= IPV4_HEADER && length <= packet.len()).then_some(length)
}

fn parse_udp(udp: &[u8], to: IpAddr) -> Option<QuotedPacket> {
    let [source_high, source_low, high, low] = *udp.first_chunk()?;
    Some(QuotedPacket {
        source_port: u16::from_be_bytes([source_high, source_low]),
        destination: SocketAddr::new(to, u16::from_be_bytes([high, low])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: [u8; 8] = [0xc0, 0x00, 0, 53, 0, 8, 0, 0]; // from 49152 to 53

    fn v4(kind: u8, protocol: u8) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 1, protocol, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1]);
        message.extend(PORTS);
        message
    }

    fn v6(kind: u8) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0x60, 0, 0, 0, 0, 8, UDP, 1]);
        message.extend([0; 16]);
        message.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        message.extend(PORTS);
        message
    }

    #[test]
    fn the_quoted_packet_is_parsed_with_and_without_the_outer_header() {
        let ours = Some(QuotedPacket { source_port: 49152, destination: "192.0.2.1:53".parse().unwrap() });
        assert_eq!(parse_v4(&v4(11, UDP)), ours);
        assert_eq!(parse_v4(&v4(3, UDP)), ours);
        let mut whole = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1];
        whole.extend(v4(11, UDP));
        assert_eq!(parse_v4(&whole), ours);
        let ours =
            Some(QuotedPacket { source_port: 49152, destination: "[2001:db8::1]:53".parse().unwrap() });
        assert_eq!(parse_v6(&v6(3)), ours);
    }

    #[test]
    fn other_and_truncated_messages_are_ignored() {
        assert_eq!(parse_v4(&v4(0, UDP)), None, "an echo reply");
        assert_eq!(parse_v4(&v4(11, 6)), None, "about TCP");
        assert_eq!(parse_v6(&v6(129)), None, "an echo reply");
        let (v4, v6) = (v4(11, UDP), v6(3));
        for length in 0..v4.len() - 4 {
            assert_eq!(parse_v4(&v4[..length]), None, "{length}");
        }
        for length in 0..v6.len() - 4 {
            assert_eq!(parse_v6(&v6[..length]), None, "{length}");
        }
    }
}
