//! A filter that the kernel runs on each socket before it lists it (`inet_diag_bc_op` in
//! `linux/inet_diag.h`).
//!
//! Of a hundred thousand sockets it hands over only those whose source address and peer are of
//! interest.

use super::message::{AF_INET, AF_INET6};
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr};

/// The operation "go to `no`".
const JUMP: u8 = 1;
/// The operation "is the source address within this prefix?".
const SOURCE_IS: u8 = 7;
/// The operation "is the destination address within this prefix?".
const DESTINATION_IS: u8 = 8;
/// Length of an operation, `inet_diag_bc_op`.
const OPERATION: usize = 4;

/// The most addresses and networks of each kind in one filter. A machine with more addresses is
/// filtered by this program alone, and further networks are.
const MAX_CONDITIONS: usize = 64;

/// Returns the filter for sockets with one of these source addresses and with a peer in none of
/// these networks. It is empty if there are too many addresses for a filter.
///
/// It is a chain: a peer in one of the networks leads to the jump behind the condition, which
/// rejects the socket. Then each source address is compared, and a match leads to a jump which
/// accepts it. An operation that leads to the end accepts, one that leads 4 bytes past it rejects.
pub(super) fn compile(sources: &[IpAddr], ignored_peers: &[IpNet]) -> Vec<u8> {
    if sources.is_empty() || sources.len() > MAX_CONDITIONS {
        return Vec::new();
    }
    let peers = ignored_peers.iter().filter(|network| !concerns_mapped(network)).take(MAX_CONDITIONS);
    let peers = peers.map(|network| (DESTINATION_IS, condition(*network)));
    let hosts = sources.iter().map(|source| (SOURCE_IS, condition((*source).into())));
    let conditions: Vec<(u8, Vec<u8>)> = peers.chain(hosts).collect();
    let total = conditions.iter().map(|(_, condition)| condition.len() + 2 * OPERATION).sum::<usize>();
    // The last condition needs no jump: a match leads to the end, anything else past it.
    let total = total - OPERATION;
    let mut filter = Vec::with_capacity(total);
    for (code, condition) in conditions {
        let length = OPERATION + condition.len();
        // If it does not match, the jump behind it is skipped.
        push_operation(&mut filter, code, length, length + OPERATION);
        filter.extend(condition);
        if filter.len() < total {
            let to_end = total - filter.len();
            let target = if code == DESTINATION_IS { to_end + OPERATION } else { to_end };
            push_operation(&mut filter, JUMP, OPERATION, target);
        }
    }
    filter
}

/// Appends an operation with the distances to the next one if it holds and if it does not.
///
/// A condition has at most 28 bytes, and the conditions together at most 4 KiB.
fn push_operation(filter: &mut Vec<u8>, code: u8, yes: usize, no: usize) {
    filter.extend([code, u8::try_from(yes).unwrap_or(u8::MAX)]);
    filter.extend(u16::try_from(no).unwrap_or(u16::MAX).to_ne_bytes());
}

/// Returns true for an IPv6 network that contains IPv4-mapped addresses, which count as IPv4.
fn concerns_mapped(network: &IpNet) -> bool {
    let mapped = Ipv6Net::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
    match network {
        IpNet::V4(_) => false,
        IpNet::V6(v6) => v6.contains(&mapped) || mapped.contains(v6),
    }
}

/// Encodes a network as `inet_diag_hostcond`, with any port.
///
/// The kernel compares an IPv4 network with IPv4-mapped addresses too.
fn condition(network: IpNet) -> Vec<u8> {
    let (family, octets) = match network.network() {
        IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
    };
    let mut condition = vec![family, network.prefix_len(), 0, 0];
    condition.extend((-1_i32).to_ne_bytes());
    condition.extend(octets);
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does (`inet_diag_bc_run`), on addresses of one family.
    fn accepts(filter: &[u8], source: IpAddr, peer: IpAddr) -> bool {
        let matches = |condition: &[u8], address: IpAddr| {
            let octets: [u8; 4] = condition[8..12].try_into().unwrap();
            let network = match condition[0] {
                AF_INET => IpNet::new(IpAddr::from(octets), condition[1]),
                _ => IpNet::new(IpAddr::from(<[u8; 16]>::try_from(&condition[8..24]).unwrap()), condition[1]),
            };
            network.unwrap().contains(&address)
        };
        let (mut at, mut left) = (0, i64::try_from(filter.len()).unwrap());
        while left > 0 {
            let (code, yes) = (filter[at], usize::from(filter[at + 1]));
            let no = usize::from(u16::from_ne_bytes([filter[at + 2], filter[at + 3]]));
            let holds = match code {
                SOURCE_IS => matches(&filter[at + OPERATION..], source),
                DESTINATION_IS => matches(&filter[at + OPERATION..], peer),
                _ => false,
            };
            let step = if holds { yes } else { no };
            (at, left) = (at + step, left - i64::try_from(step).unwrap());
        }
        left == 0
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
        texts.map(|text| text.parse().unwrap())
    }

    #[test]
    fn one_of_the_addresses_is_accepted_unless_the_peer_is_ignored() {
        let sources = addresses(["192.168.1.2", "2001:db8::2", "10.0.0.7"]);
        let ignored = ["10.0.0.0/8", "fc00::/7", "::ffff:0:0/96"].map(|text| text.parse().unwrap());
        let [public, private] = addresses(["203.0.113.7", "10.1.2.3"]);
        for count in 1..=sources.len() {
            let filter = compile(&sources[..count], &ignored);
            for (index, source) in sources.iter().enumerate() {
                assert_eq!(accepts(&filter, *source, public), index < count, "{source} of {count}");
                assert!(!accepts(&filter, *source, private));
            }
            assert!(!accepts(&filter, "127.0.0.1".parse().unwrap(), public));
        }
        let mapped = "::ffff:203.0.113.7".parse().unwrap();
        assert!(accepts(&compile(&sources, &ignored), sources[1], mapped), "it counts as IPv4");
    }

    #[test]
    fn too_many_addresses_make_no_filter_and_the_largest_fits() {
        let [v6] = addresses(["2001:db8::2"]);
        assert!(compile(&[], &[]).is_empty());
        assert!(compile(&vec![v6; MAX_CONDITIONS + 1], &[]).is_empty());
        let largest = compile(&vec![v6; MAX_CONDITIONS], &vec![v6.into(); 1000]);
        assert!(largest.len() < 4096 + 8, "{}", largest.len());
    }
}
