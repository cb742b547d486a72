//! Properties of a network address and its prefix length.

use ipnet::IpNet;
use std::net::IpAddr;

/// Networks with fewer bits of prefix are so wide that their first addresses are special.
const WIDE_V4: u8 = 16;
const WIDE_V6: u8 = 24;
/// Into how many parts a network is divided to sample it.
const PARTS: u128 = 16;

/// Returns true if the prefix covers this one address only.
#[cfg(any(target_os = "macos", target_os = "windows", test))]
pub(super) fn is_host_prefix(address: IpAddr, prefix_len: u8) -> bool {
    prefix_len == if address.is_ipv4() { 32 } else { 128 }
}

/// Returns addresses of a network to sample it by, without repetition, at most 18.
///
/// A host is itself. Otherwise these are the first host, one in each sixteenth of the network, and
/// the last host; of wide networks the first host comes last.
pub(super) fn sample_points(network: IpNet) -> impl Iterator<Item = IpAddr> {
    let host_bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let base = to_bits(network.network());
    let last = if host_bits == 128 { u128::MAX } else { base | ((1 << host_bits) - 1) };
    let is_wide = network.prefix_len() < if network.addr().is_ipv4() { WIDE_V4 } else { WIDE_V6 };
    let part = (last - base) / PARTS + 1;
    let first = base | u128::from(host_bits > 0);
    let parts =
        (0..PARTS).map(move |number| (base + number.saturating_mul(part)) | u128::from(host_bits > 0));
    // A quarter into a wide network there are no special addresses.
    let quarter = (base + PARTS / 4 * part) | u128::from(host_bits > 0);
    let before_last = last.saturating_sub(u128::from(host_bits > 1));
    let start = if is_wide { [quarter, first] } else { [first, quarter] };
    let mut seen = Vec::new();
    let all = start.into_iter().chain(parts).chain([before_last]);
    all.filter(move |point| *point <= last)
        .filter(move |point| {
            let is_new = !seen.contains(point);
            seen.push(*point);
            is_new
        })
        .filter_map(move |point| from_bits(network.addr(), point))
}

/// Returns an address of a network: its only one, or its first host.
#[cfg(any(target_os = "macos", target_os = "windows", test))]
pub(super) fn sample_address(network: IpAddr, prefix_len: u8) -> IpAddr {
    let sample = IpNet::new(network, prefix_len).ok().and_then(|network| sample_points(network).next());
    sample.unwrap_or(network)
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Returns the address with these bits, in the family of another.
fn from_bits(family: IpAddr, bits: u128) -> Option<IpAddr> {
    match family {
        IpAddr::V4(_) => u32::try_from(bits).ok().map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(_) => Some(IpAddr::V6(bits.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(network: &str) -> Vec<String> {
        sample_points(network.parse().unwrap()).map(|point| point.to_string()).collect()
    }

    #[test]
    fn a_host_prefix_has_all_bits_of_its_family() {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.0".parse().unwrap(), "2001:db8::".parse().unwrap());
        assert!(is_host_prefix(v4, 32) && is_host_prefix(v6, 128));
        assert!(!is_host_prefix(v4, 31) && !is_host_prefix(v6, 32));
    }

    #[test]
    fn samples_are_inside_and_begin_with_the_first_host() {
        assert_eq!(points("192.0.2.7/32"), ["192.0.2.7"]);
        assert_eq!(points("192.0.2.6/31"), ["192.0.2.7"]);
        assert_eq!(points("192.0.2.4/30"), ["192.0.2.5", "192.0.2.7", "192.0.2.6"]);
        assert_eq!(points("2001:db8::/64")[0], "2001:db8::1");
        for network in
            ["0.0.0.0/0", "128.0.0.0/1", "203.0.113.0/24", "203.0.113.0/27", "::/0", "2001:db8::/32"]
        {
            let network: IpNet = network.parse().unwrap();
            let points: Vec<IpAddr> = sample_points(network).collect();
            assert!((16..=18).contains(&points.len()), "{network}: {points:?}");
            assert!(points.iter().all(|point| network.contains(point)), "{network}: {points:?}");
        }
    }

    #[test]
    fn wide_networks_are_sampled_where_addresses_are_public() {
        for (network, first) in [
            ("0.0.0.0/1", "32.0.0.1"),
            ("128.0.0.0/1", "160.0.0.1"),
            ("8.0.0.0/8", "8.64.0.1"),
            ("::/1", "2000::1"),
        ] {
            assert_eq!(points(network)[0], first);
        }
    }
}
