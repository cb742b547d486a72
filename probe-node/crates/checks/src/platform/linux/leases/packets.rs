//! Leases of dhcpcd: the packets in which the network gave them, as they were received.
//!
//! DHCPv4 is RFC 2131 with the options of RFC 2132, DHCPv6 is RFC 8415 with RFC 3646.

use super::lease::{Lease, network_of};
use sentinel_model::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the address given to this machine is in a packet of DHCPv4.
const YOUR_ADDRESS: usize = 16;
/// Where a server name and a file name are, which may hold options as well (option 52).
const SERVER_NAME: std::ops::Range<usize> = 44..108;
const FILE_NAME: std::ops::Range<usize> = 108..236;
/// Where the options begin, after their magic number.
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;
/// A lifetime without an end.
const INFINITE: u32 = u32::MAX;
/// The most addresses of one lease.
const MAX_NETWORKS: usize = 16;

/// Parses a packet of DHCPv4 that was received at `received`, in seconds since 1970.
pub(super) fn parse_v4(packet: &[u8], interface: &str, received: i64) -> Option<Lease> {
    if packet.get(OPTIONS - MAGIC.len()..OPTIONS)? != MAGIC {
        return None;
    }
    let mut options = V4Options::default();
    options.read(&packet[OPTIONS..]);
    // The fields are read at most once each, whatever they say themselves.
    if options.overload & 1 != 0 {
        options.read(&packet[FILE_NAME]);
    }
    if options.overload & 2 != 0 {
        options.read(&packet[SERVER_NAME]);
    }
    let mut lease = Lease { interface: Some(interface.to_owned()), ..Lease::default() };
    for server in options.servers.as_chunks::<4>().0 {
        lease.add_server(Ipv4Addr::from(*server).into());
    }
    let address = Ipv4Addr::from(*packet.get(YOUR_ADDRESS..)?.first_chunk::<4>()?);
    if !address.is_unspecified() {
        lease.networks.push(network_of(address.into(), options.mask.map(IpAddr::V4)));
    }
    lease.expires = end(received, options.lease_time);
    Some(lease)
}

#[derive(Default)]
struct V4Options {
    /// An option may come in several parts, which belong together (RFC 3396).
    servers: Vec<u8>,
    mask: Option<Ipv4Addr>,
    lease_time: Option<u32>,
    overload: u8,
}

impl V4Options {
    fn read(&mut self, mut bytes: &[u8]) {
        while let [code, rest @ ..] = bytes {
            match code {
                0 => bytes = rest,
                255 => return,
                code => {
                    let Some((length, rest)) = rest.split_first() else { return };
                    let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
                    self.apply(*code, value);
                    bytes = rest;
                }
            }
        }
    }

    fn apply(&mut self, code: u8, value: &[u8]) {
        match code {
            1 => self.mask = value.first_chunk::<4>().map(|mask| Ipv4Addr::from(*mask)),
            6 if self.servers.len() < 1024 => self.servers.extend(value),
            51 => self.lease_time = value.first_chunk().map(|time| u32::from_be_bytes(*time)),
            52 => self.overload = value.first().copied().unwrap_or_default(),
            _ => {}
        }
    }
}

/// Parses a packet of DHCPv6 that was received at `received`, in seconds since 1970.
pub(super) fn parse_v6(packet: &[u8], interface: &str, received: i64) -> Option<Lease> {
    let mut lease = Lease { interface: Some(interface.to_owned()), ..Lease::default() };
    let mut longest = None;
    for (code, value) in V6Options(packet.get(4..)?) {
        let inner = match code {
            // Associations begin with an id, those of permanent addresses with two times as well.
            3 => value.get(12..),
            4 => value.get(4..),
            23 => {
                for server in value.as_chunks::<16>().0 {
                    lease.add_server(Ipv6Addr::from(*server).into());
                }
                None
            }
            _ => None,
        };
        for (code, value) in V6Options(inner.unwrap_or_default()) {
            if code == 5
                && let Some((address, rest)) = value.split_first_chunk::<16>()
                && lease.networks.len() < MAX_NETWORKS
            {
                lease.networks.push(IpNet::from(IpAddr::from(*address)));
                let lifetime = rest.get(4..).and_then(<[u8]>::first_chunk);
                longest = longest.max(lifetime.map(|time| u32::from_be_bytes(*time)));
            }
        }
    }
    lease.expires = end(received, longest);
    Some(lease)
}

/// The options of DHCPv6 in some bytes, each with its code.
struct V6Options<'a>(&'a [u8]);

impl<'a> Iterator for V6Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (code, rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some((u16::from_be_bytes(*code), value))
    }
}

fn end(received: i64, lifetime: Option<u32>) -> Option<i64> {
    let lifetime = lifetime.filter(|lifetime| *lifetime != INFINITE)?;
    Some(received.saturating_add(i64::from(lifetime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; OPTIONS];
        packet[YOUR_ADDRESS..YOUR_ADDRESS + 4].copy_from_slice(&[192, 0, 2, 7]);
        packet[OPTIONS - 4..].copy_from_slice(&MAGIC);
        packet.extend(options);
        packet
    }

    fn texts(lease: &Lease) -> Vec<String> {
        lease.servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_packet_of_version_4_is_read_with_split_options() {
        let packet = v4(&[
            0, 53, 1, 5, 1, 4, 255, 255, 255, 0, 6, 6, 192, 0, 2, 1, 192, 0, 6, 2, 2, 2, 51, 4, 0, 0, 14, 16,
            255, 6, 4, 9, 9, 9, 9,
        ]);
        let lease = parse_v4(&packet, "eth0", 1_000).unwrap();
        assert_eq!(texts(&lease), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(lease.networks[0].to_string(), "192.0.2.7/24");
        assert_eq!(lease.expires, Some(4_600));
    }

    #[test]
    fn options_continue_in_the_fields_that_the_packet_names() {
        let mut packet = v4(&[52, 1, 3, 255]);
        packet[FILE_NAME.start..FILE_NAME.start + 6].copy_from_slice(&[6, 4, 192, 0, 2, 1]);
        packet[SERVER_NAME.start..SERVER_NAME.start + 6].copy_from_slice(&[6, 4, 192, 0, 2, 2]);
        assert_eq!(texts(&parse_v4(&packet, "eth0", 0).unwrap()), ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn a_packet_of_version_6_is_read_with_its_addresses() {
        let server = "2001:db8::53".parse::<Ipv6Addr>().unwrap().octets();
        let address = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        let association = [&[0; 12], &[0, 5, 0, 24][..], &address, &[0, 0, 0, 1], &[0, 0, 14, 16]].concat();
        let packet = [&[7, 1, 2, 3, 0, 3, 0, 40][..], &association, &[0, 23, 0, 16], &server].concat();
        let lease = parse_v6(&packet, "eth0", 1_000).unwrap();
        assert_eq!(texts(&lease), ["2001:db8::53"]);
        assert_eq!(lease.networks[0].to_string(), "2001:db8::7/128");
        assert_eq!(lease.expires, Some(4_600));
        let stateless = [&[7, 1, 2, 3, 0, 23, 0, 16][..], &server].concat();
        assert_eq!(parse_v6(&stateless, "eth0", 0).unwrap().networks, []);
    }

    #[test]
    fn truncated_and_foreign_packets_yield_what_is_whole() {
        assert_eq!(parse_v4(&[], "eth0", 0), None);
        assert_eq!(parse_v4(&[0; 300], "eth0", 0), None);
        assert_eq!(parse_v6(&[7], "eth0", 0), None);
        for cut in [&[6][..], &[6, 4], &[6, 4, 192, 0, 2], &[6, 3, 192, 0, 2, 255]] {
            assert!(parse_v4(&v4(cut), "eth0", 0).unwrap().servers.is_empty(), "{cut:?}");
        }
        assert!(parse_v6(&[7, 0, 0, 0, 0, 23, 0, 200, 1], "eth0", 0).unwrap().servers.is_empty());
        let infinite = parse_v4(&v4(&[51, 4, 255, 255, 255, 255]), "eth0", 0).unwrap();
        assert_eq!(infinite.expires, None);
    }
}
