//! The entries of the kernel's routing tables.

use super::{
    attributes::{attributes, network_of, read_address, read_u16, read_u32},
    routes::{ROUTE_HEADER, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_VIA},
};
use ipnet::IpNet;
use sentinel_model::RouteOrigin;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The flag of entries that are not routes of their own but what was learnt about some.
const CLONED: u32 = 0x200;
/// The length of `struct rtnexthop`, and the alignment of next hops.
const HOP_HEADER: usize = 8;
/// More next hops than a route of a personal machine has.
const MAX_HOPS: usize = 32;

const RTPROT_REDIRECT: u8 = 1;
const RTPROT_KERNEL: u8 = 2;
const RTPROT_RA: u8 = 9;
const RTPROT_DHCP: u8 = 16;

/// One next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// The index of the interface, if the route names it.
    pub interface: Option<u32>,
    /// Whether it is a router, rather than the destination itself.
    pub has_gateway: bool,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteEntry {
    pub destination: IpNet,
    pub table: u32,
    /// The type of the route: unicast, blackhole ..
    pub kind: u8,
    pub origin: RouteOrigin,
    /// Orders routes to the same destination, the lowest first.
    pub metric: u32,
    pub hops: Vec<Hop>,
    /// Whether a next hop object decides where packets go, which may be a group of several.
    pub is_by_object: bool,
}

impl RouteEntry {
    /// Parses an entry of a list of routes; `None` if it is not an ordinary route, or malformed.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let [family, prefix_len, source_len, tos, table, protocol, _scope, kind, ..] = *message else {
            return None;
        };
        let unspecified: IpAddr = match family {
            AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        // Routes by type of service or by source do not apply to ordinary packets.
        if read_u32(message, 8)? & CLONED != 0 || tos != 0 || source_len != 0 {
            return None;
        }
        let mut destination = unspecified;
        let mut entry = Self {
            destination: network_of(unspecified, prefix_len)?,
            table: u32::from(table),
            kind,
            origin: origin_of(protocol),
            metric: 0,
            hops: Vec::new(),
            is_by_object: false,
        };
        let mut only = Hop { interface: None, has_gateway: false };
        for (kind, value) in attributes(message.get(ROUTE_HEADER..)?) {
            match kind {
                RTA_DST => destination = read_address(value)?,
                RTA_TABLE => entry.table = read_u32(value, 0)?,
                RTA_PRIORITY => entry.metric = read_u32(value, 0)?,
                RTA_MULTIPATH => entry.hops = parse_hops(value),
                RTA_NH_ID => entry.is_by_object = true,
                kind => only.add(kind, value),
            }
        }
        if destination.is_ipv4() != unspecified.is_ipv4() {
            return None;
        }
        entry.destination = network_of(destination, prefix_len)?;
        if entry.hops.is_empty() && only.interface.is_some() {
            entry.hops.push(only);
        }
        Some(entry)
    }

    /// Returns true if packets to the same network may take different paths.
    pub fn has_several_paths(&self) -> bool {
        self.hops.len() > 1 || self.is_by_object && self.hops.is_empty()
    }
}

impl Hop {
    fn add(&mut self, kind: u16, value: &[u8]) {
        match kind {
            RTA_OIF => self.interface = read_u32(value, 0),
            RTA_GATEWAY | RTA_VIA => self.has_gateway = true,
            _ => {}
        }
    }
}

/// Parses the next hops of a route that has several.
fn parse_hops(mut bytes: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(length) = read_u16(bytes, 0).map(usize::from).filter(|_| hops.len() < MAX_HOPS) {
        let Some(nested) = bytes.get(HOP_HEADER..length) else { break };
        let mut hop = Hop { interface: read_u32(bytes, 4), has_gateway: false };
        attributes(nested).for_each(|(kind, value)| hop.add(kind, value));
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

/// Returns who wrote a route, by the protocol that the kernel notes.
///
/// Programs write what they like; scripts of DHCP clients mostly write nothing, which is `boot`.
fn origin_of(protocol: u8) -> RouteOrigin {
    match protocol {
        RTPROT_KERNEL => RouteOrigin::Kernel,
        RTPROT_DHCP => RouteOrigin::Dhcp,
        RTPROT_RA => RouteOrigin::RouterAdvertisement,
        RTPROT_REDIRECT => RouteOrigin::Redirect,
        _ => RouteOrigin::Program,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attributes::push_attribute, *};

    fn message(prefix_len: u8, protocol: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![AF_INET, prefix_len, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0];
        for (kind, value) in attributes {
            push_attribute(&mut message, *kind, value);
        }
        message
    }

    fn hop(interface: u32, gateway: Option<[u8; 4]>) -> Vec<u8> {
        let mut nested = Vec::new();
        if let Some(gateway) = gateway {
            push_attribute(&mut nested, RTA_GATEWAY, &gateway);
        }
        let length = u16::try_from(HOP_HEADER + nested.len()).unwrap();
        [&length.to_ne_bytes()[..], &[0, 0], &interface.to_ne_bytes(), &nested].concat()
    }

    #[test]
    fn a_route_shows_its_destination_its_hops_and_who_wrote_it() {
        let two = 2_u32.to_ne_bytes();
        let dhcp = message(
            24,
            RTPROT_DHCP,
            &[
                (RTA_DST, &[203, 0, 113, 9]),
                (RTA_GATEWAY, &[192, 0, 2, 1]),
                (RTA_OIF, &two),
                (RTA_TABLE, &1000_u32.to_ne_bytes()),
                (RTA_PRIORITY, &7_u32.to_ne_bytes()),
                (4095, &[1, 2, 3]),
            ],
        );
        let entry = RouteEntry::parse(&dhcp).unwrap();
        assert_eq!(entry.destination, "203.0.113.0/24".parse().unwrap());
        assert_eq!((entry.table, entry.metric, entry.origin), (1000, 7, RouteOrigin::Dhcp));
        assert_eq!(entry.hops, [Hop { interface: Some(2), has_gateway: true }]);
        let default = RouteEntry::parse(&message(0, 3, &[(RTA_OIF, &two)])).unwrap();
        assert_eq!((default.destination.prefix_len(), default.origin), (0, RouteOrigin::Program));
        assert!(!default.hops[0].has_gateway && !default.has_several_paths());
    }

    #[test]
    fn several_next_hops_and_objects_are_several_paths() {
        let hops = [hop(2, Some([192, 0, 2, 1])), hop(7, None)].concat();
        let entry = RouteEntry::parse(&message(0, 3, &[(RTA_MULTIPATH, &hops)])).unwrap();
        let expected =
            [Hop { interface: Some(2), has_gateway: true }, Hop { interface: Some(7), has_gateway: false }];
        assert!(entry.has_several_paths());
        assert_eq!(entry.hops, expected);
        let object = RouteEntry::parse(&message(0, 3, &[(RTA_NH_ID, &9_u32.to_ne_bytes())])).unwrap();
        assert!(object.has_several_paths() && object.hops.is_empty());
    }

    #[test]
    fn hostile_routes_are_refused_or_read_as_far_as_they_go() {
        for length in 0..ROUTE_HEADER {
            assert_eq!(RouteEntry::parse(&vec![2; length]), None, "{length} bytes");
        }
        let refused = [
            (255, RTA_DST, vec![0; 4]),
            (24, RTA_DST, vec![1, 2, 3]),
            (24, RTA_DST, vec![0; 16]),
            (24, RTA_TABLE, vec![]),
        ];
        for (prefix_len, kind, value) in refused {
            let hostile = message(prefix_len, 3, &[(kind, &value)]);
            assert_eq!(RouteEntry::parse(&hostile), None, "{prefix_len} {kind} {value:?}");
        }
        for length in [0_u16, 7, 9, u16::MAX] {
            let mut hops = hop(2, None);
            hops.extend(length.to_ne_bytes());
            hops.extend([0; 6]);
            let entry = RouteEntry::parse(&message(0, 3, &[(RTA_MULTIPATH, &hops)])).unwrap();
            assert_eq!(entry.hops.len(), 1, "a next hop of length {length}");
        }
        let endless = hop(2, None).repeat(4000);
        let entry = RouteEntry::parse(&message(0, 3, &[(RTA_MULTIPATH, &endless)])).unwrap();
        assert_eq!(entry.hops.len(), MAX_HOPS);
    }
}
