//! The attributes of netlink messages: type, length and value (netlink(7)).
//!
//! The kernel is trusted to be honest, not to be of any version: unknown attributes are skipped,
//! and what does not have the expected length is ignored.

use ipnet::IpNet;
use std::{iter, net::IpAddr};

/// The length of an attribute's header, and the alignment of attributes.
const HEADER: usize = 4;
/// The bits of the type that are flags: nested, network byte order.
const FLAGS: u16 = 0xC000;

/// Iterates over attributes as (type, value) until the end, or the first that is malformed.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iter::from_fn(move || {
        let length = usize::from(read_u16(bytes, 0)?);
        let kind = read_u16(bytes, 2)? & !FLAGS;
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(HEADER)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Appends an attribute, with padding.
pub(super) fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(HEADER + value.len()) else { return };
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(HEADER), 0);
}

/// Returns the 16-bit number at an offset, in the machine's byte order.
pub(super) fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Returns the 32-bit number at an offset, in the machine's byte order.
pub(super) fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Returns the address that a value of 4 or 16 bytes holds.
pub(super) fn read_address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

/// Returns an address as the bytes of a value.
pub(super) fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Returns a network, whose host bits are cleared; `None` if the prefix is longer than an address.
pub(super) fn network_of(address: IpAddr, prefix_len: u8) -> Option<IpNet> {
    IpNet::new(address, prefix_len).ok().map(|network| network.trunc())
}

/// Returns the text of a value, up to the terminating zero.
pub(super) fn read_text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()
    }

    #[test]
    fn attributes_are_read_until_one_is_malformed() {
        let mut message = Vec::new();
        push_attribute(&mut message, 7, &[1, 2, 3]);
        push_attribute(&mut message, 8 | 0x8000, &[]);
        assert_eq!(message.len(), 12);
        let whole = [(7, vec![1, 2, 3]), (8, vec![])];
        assert_eq!(of(&message), whole);
        for length in [0_u16, 1, 3, 5, u16::MAX] {
            let mut hostile = message.clone();
            hostile.extend(length.to_ne_bytes());
            hostile.extend([9, 0]);
            assert_eq!(of(&hostile), whole, "a length of {length}");
        }
        assert_eq!(of(&message[..10]), whole[..1]);
        assert!(of(&message[..6]).is_empty() && of(&[]).is_empty() && of(&[4]).is_empty());
    }

    #[test]
    fn an_address_has_four_or_sixteen_bytes() {
        assert_eq!(read_address(&[192, 0, 2, 1]), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(read_address(&[0; 16]), Some("::".parse().unwrap()));
        for length in [0, 3, 5, 15, 17] {
            assert_eq!(read_address(&vec![1; length]), None, "{length} bytes");
        }
    }
}
