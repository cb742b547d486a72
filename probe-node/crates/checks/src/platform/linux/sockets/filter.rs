//! A filter that the kernel runs on each socket before it lists it (`inet_diag_bc_op` in
//! `linux/inet_diag.h`).
//!
//! Of a hundred thousand sockets it hands over only those whose source address is of interest.

use super::message::{AF_INET, AF_INET6};
use std::net::IpAddr;

/// The operation "go to `no`".
const JUMP: u8 = 1;
/// The operation "is the source address within this prefix?".
const SOURCE_IS: u8 = 7;
/// Length of an operation, `inet_diag_bc_op`.
const OPERATION: usize = 4;

/// The most addresses in one filter; a machine with more is filtered by this program.
const MAX_ADDRESSES: usize = 64;

/// Returns the filter for sockets with one of these source addresses, or none if there are too many
/// for one.
///
/// It is a chain: each address is compared, and after a match the rest is skipped. An operation
/// that leads to the end accepts the socket, one that leads 4 bytes past it rejects it.
pub(super) fn match_sources(sources: &[IpAddr]) -> Option<Vec<u8>> {
    if sources.is_empty() || sources.len() > MAX_ADDRESSES {
        return None;
    }
    let lengths = sources.iter().map(|source| OPERATION + condition(*source).len());
    let jumps = (sources.len() - 1) * OPERATION;
    let total = lengths.sum::<usize>() + jumps;
    let mut filter = Vec::with_capacity(total);
    for (index, source) in sources.iter().enumerate() {
        let condition = condition(*source);
        let length = OPERATION + condition.len();
        // If it does not match, the jump behind it is skipped as well.
        push_operation(&mut filter, SOURCE_IS, length, length + OPERATION)?;
        filter.extend(condition);
        if index + 1 < sources.len() {
            let to_end = total - filter.len();
            push_operation(&mut filter, JUMP, OPERATION, to_end)?;
        }
    }
    Some(filter)
}

/// Appends an operation with the distances to the next one if it holds and if it does not.
fn push_operation(filter: &mut Vec<u8>, code: u8, yes: usize, no: usize) -> Option<()> {
    filter.extend([code, u8::try_from(yes).ok()?]);
    filter.extend(u16::try_from(no).ok()?.to_ne_bytes());
    Some(())
}

/// Encodes an address as `inet_diag_hostcond`, with any port.
///
/// The kernel compares an IPv4 address with IPv4-mapped ones too.
fn condition(address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
    };
    let prefix_len = if family == AF_INET { 32 } else { 128 };
    let mut condition = vec![family, prefix_len, 0, 0];
    condition.extend((-1_i32).to_ne_bytes());
    condition.extend(octets);
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does (`inet_diag_bc_run`).
    fn accepts(filter: &[u8], source: IpAddr) -> bool {
        let (mut at, mut left) = (0, i64::try_from(filter.len()).unwrap());
        while left > 0 {
            let (code, yes) = (filter[at], usize::from(filter[at + 1]));
            let no = usize::from(u16::from_ne_bytes([filter[at + 2], filter[at + 3]]));
            let holds = code == SOURCE_IS && filter[at + OPERATION..].starts_with(&condition(source));
            let step = if holds { yes } else { no };
            (at, left) = (at + step, left - i64::try_from(step).unwrap());
        }
        left == 0
    }

    #[test]
    fn any_of_the_addresses_is_accepted_and_no_other() {
        let addresses = ["192.168.1.2", "2001:db8::2", "10.0.0.7"].map(|text| text.parse().unwrap());
        for count in 1..=addresses.len() {
            let filter = match_sources(&addresses[..count]).unwrap();
            for (index, address) in addresses.iter().enumerate() {
                assert_eq!(accepts(&filter, *address), index < count, "{address} of {count}");
            }
            assert!(!accepts(&filter, "127.0.0.1".parse().unwrap()));
        }
        assert_eq!(match_sources(&[]), None);
        assert_eq!(match_sources(&vec![addresses[0]; MAX_ADDRESSES + 1]), None);
        assert!(match_sources(&vec![addresses[1]; MAX_ADDRESSES]).is_some());
    }
}
