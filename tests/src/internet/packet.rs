//! The little the Internet has to know about IP packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a packet wants to go; `None` if it is no IP packet.
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

/// Takes one off the packet's time to live, as every router does. `false` if it has none left and must be dropped.
pub(super) fn age(packet: &mut [u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 20 => {
            if packet[8] <= 1 {
                return false;
            }
            packet[8] -= 1;
            // RFC 1624: the field's high byte went down by one, so the checksum's goes up by one, with end-around carry.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, over the 20 bytes of an IPv4 header; a correct header sums to zero.
    fn checksum(header: &[u8]) -> u16 {
        let mut sum: u32 =
            header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    fn header(identification: u16, ttl: u8) -> [u8; 20] {
        let mut header = [0x45, 0, 0, 84, 0, 0, 0x40, 0, ttl, 1, 0, 0, 192, 0, 2, 1, 203, 0, 113, 9];
        header[4..6].copy_from_slice(&identification.to_be_bytes());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    #[test]
    fn ageing_keeps_the_checksum_right() {
        for identification in 0..=u16::MAX {
            let mut packet = header(identification, 64);
            assert!(age(&mut packet));
            assert_eq!(packet[8], 63);
            assert_eq!(checksum(&packet), 0, "identification {identification}");
        }
    }

    #[test]
    fn the_last_hop_drops() {
        assert!(!age(&mut header(1, 1)));
        let mut v6 = [0u8; 40];
        v6[0] = 0x60;
        v6[7] = 1;
        assert!(!age(&mut v6));
        v6[7] = 2;
        assert!(age(&mut v6));
        assert_eq!(v6[7], 1);
    }

    #[test]
    fn rubbish_has_no_destination() {
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x45; 19]), None);
        assert_eq!(destination(&[0x10; 60]), None);
        assert_eq!(destination(&header(1, 1)), Some("203.0.113.9".parse().unwrap()));
    }
}
