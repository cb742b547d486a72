//! The parts of IP packets that the forwarder reads and changes.

use crate::plan;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the destination of an IP packet; `None` if it is not an IP packet.
pub(super) fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// Decrements a packet's time to live or hop limit. Returns false if the packet must be dropped.
pub(super) fn decrement_ttl(packet: &mut [u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 20 => {
            if packet[8] <= 1 {
                return false;
            }
            packet[8] -= 1;
            // RFC 1624: the high byte of this field decreased by one, so the high byte of the
            // checksum increases by one, with end-around carry.
            let (sum, carried) = u16::from_be_bytes([packet[10], packet[11]]).overflowing_add(0x0100);
            let sum = sum + u16::from(carried);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            true
        }
        Some(6) if packet.len() >= 40 => {
            if packet[7] <= 1 {
                return false;
            }
            packet[7] -= 1;
            true
        }
        _ => false,
    }
}

/// Returns the ICMP Time Exceeded message for a packet that is dropped.
///
/// It goes from the Internet's own address to the packet's sender (RFC 792; RFC 4443, 3.3). Returns
/// `None` for packets that must not be answered, in particular other ICMP errors, and for data that
/// is not an IP packet.
pub(super) fn time_exceeded(packet: &[u8]) -> Option<Vec<u8>> {
    match packet.first()? >> 4 {
        4 => {
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
            let header = usize::from(packet.first()? & 0x0f) * 4;
            // Types 0 and 8 are echoes; every other ICMP message is treated as an error.
            let answerable = *packet.get(9)? != 1 || matches!(packet.get(header), Some(0 | 8));
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (fragment == 0 && answerable).then(|| time_exceeded_v4(packet, source))
        }
        6 => {
            let answerable = *packet.get(6)? != 58 || packet.get(40).is_some_and(|kind| *kind >= 128);
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            answerable.then(|| time_exceeded_v6(packet, source))
        }
        _ => None,
    }
}

/// Quotes as much of the dropped packet as fits into 576 bytes (RFC 1812, 4.3.2.3).
fn time_exceeded_v4(packet: &[u8], source: [u8; 4]) -> Vec<u8> {
    let quoted = packet.get(..548).unwrap_or(packet);
    let length = u16::try_from(28 + quoted.len()).unwrap_or(u16::MAX);
    let mut icmp = vec![11, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(quoted);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut answer = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
    answer[2..4].copy_from_slice(&length.to_be_bytes());
    answer.extend_from_slice(&plan::BACKBONE.octets());
    answer.extend_from_slice(&source);
    let sum = checksum(&answer);
    answer[10..12].copy_from_slice(&sum.to_be_bytes());
    answer.extend(icmp);
    answer
}

/// Quotes as much of the dropped packet as fits into 1280 bytes (RFC 4443, 3.3).
fn time_exceeded_v6(packet: &[u8], source: [u8; 16]) -> Vec<u8> {
    let quoted = packet.get(..1232).unwrap_or(packet);
    let length = u16::try_from(8 + quoted.len()).unwrap_or(u16::MAX);
    let mut icmp = vec![3, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(quoted);
    let addresses = [plan::BACKBONE_V6.octets(), source].concat();
    // The checksum covers the pseudo-header as well (RFC 8200, 8.1).
    let [high, low] = length.to_be_bytes();
    let sum = checksum(&[&addresses[..], &[0, 0, high, low, 0, 0, 0, 58], &icmp].concat());
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut answer = vec![0x60, 0, 0, 0, high, low, 58, 64];
    answer.extend(addresses);
    answer.extend(icmp);
    answer
}

/// Computes the Internet checksum (RFC 1071). Over data that includes a correct checksum it is
/// zero.
fn checksum(data: &[u8]) -> u16 {
    let word = |pair: &[u8]| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = data.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(identification: u16, ttl: u8) -> [u8; 20] {
        let mut header = [0x45, 0, 0, 84, 0, 0, 0x40, 0, ttl, 1, 0, 0, 192, 0, 2, 1, 203, 0, 113, 9];
        header[4..6].copy_from_slice(&identification.to_be_bytes());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    #[test]
    fn decrementing_the_ttl_keeps_the_checksum_correct() {
        for identification in 0..=u16::MAX {
            let mut packet = header(identification, 64);
            assert!(decrement_ttl(&mut packet));
            assert_eq!(packet[8], 63);
            assert_eq!(checksum(&packet), 0, "identification {identification}");
        }
    }

    #[test]
    fn a_packet_without_hops_left_is_dropped() {
        assert!(!decrement_ttl(&mut header(1, 1)));
        let mut v6 = [0u8; 40];
        v6[0] = 0x60;
        v6[7] = 1;
        assert!(!decrement_ttl(&mut v6));
        v6[7] = 2;
        assert!(decrement_ttl(&mut v6));
        assert_eq!(v6[7], 1);
    }

    #[test]
    fn the_sender_of_a_dropped_packet_gets_an_error_that_quotes_it() {
        let dropped = [&header(7, 1)[..], &[8, 0, 1, 2, 3, 4, 5, 6]].concat();
        let answer = time_exceeded(&dropped).unwrap();
        assert_eq!(destination(&answer), Some("192.0.2.1".parse().unwrap()));
        assert_eq!((checksum(&answer[..20]), checksum(&answer[20..])), (0, 0));
        assert_eq!((answer[20], &answer[28..]), (11, &dropped[..]));
        assert_eq!(usize::from(u16::from_be_bytes([answer[2], answer[3]])), answer.len());

        let mut v6 = vec![0u8; 48];
        (v6[0], v6[5], v6[6], v6[7]) = (0x60, 8, 17, 1);
        v6[8..24].copy_from_slice(&plan::LAPTOP_V6.octets());
        let answer = time_exceeded(&v6).unwrap();
        assert_eq!(destination(&answer), Some(plan::LAPTOP_V6.into()));
        let pseudo = [&answer[8..40], &[0, 0, 0, 56, 0, 0, 0, 58], &answer[40..]].concat();
        assert_eq!((answer[40], checksum(&pseudo), answer.len()), (3, 0, 96));
    }

    #[test]
    fn an_icmp_error_is_never_answered_with_an_error() {
        let with = |kind: u8| [&header(7, 1)[..], &[kind, 0, 0, 0]].concat();
        assert!(time_exceeded(&with(11)).is_none() && time_exceeded(&with(3)).is_none());
        assert!(time_exceeded(&with(8)).is_some());
        let mut fragment = with(8);
        fragment[7] = 100;
        assert!(time_exceeded(&fragment).is_none() && time_exceeded(&[0x45; 3]).is_none());
    }

    #[test]
    fn invalid_data_has_no_destination() {
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x45; 19]), None);
        assert_eq!(destination(&[0x10; 60]), None);
        assert_eq!(destination(&header(1, 1)), Some("203.0.113.9".parse().unwrap()));
    }
}
