//! Policy routing rules (ip-rule(8)): which tables an ordinary packet may be routed by.
//!
//! The rules are not evaluated here, which is the kernel's work. They show where to look: which
//! tables may be used at all, and which destinations and ports are treated differently from others.

use super::attributes::{attributes, network_of, read_address, read_text, read_u16, read_u32};
use ipnet::IpNet;
use sentinel_model::{Family, Traffic, Transport};

// The attributes of rules (linux/fib_rules.h).
const FRA_DST: u16 = 1;
const FRA_IIFNAME: u16 = 3;
const FRA_FWMARK: u16 = 10;
const FRA_TUN_ID: u16 = 12;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_UID_RANGE: u16 = 20;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

/// The length of `struct fib_rule_hdr`.
pub(super) const RULE_HEADER: usize = 12;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const ACTION_TO_TABLE: u8 = 1;
/// The flag of a rule with `not`.
const INVERTED: u32 = 2;

const TABLE_LOCAL: u32 = 255;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ICMPV6: u8 = 58;
/// Stands for any port where a rule is by protocol alone.
const ANY_PORT: u16 = 443;

/// What packets a rule selects, as far as an ordinary packet can be selected at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    /// The destinations.
    pub to: Option<IpNet>,
    /// The protocols and ports: some of those that the rule selects. Empty if it selects by
    /// neither.
    pub traffic: Vec<Traffic>,
}

/// A rule that may apply to an ordinary packet of this process.
///
/// Such a packet has no mark and no type of service, and is bound to no interface. Whether a rule
/// by source address applies depends on the route, so that rule is included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoutingRule {
    pub family: Family,
    /// The packets that the rule distinguishes from others, by selecting or by sparing them.
    pub selector: Selector,
    /// The table that it leads to, if it leads to one.
    pub table: Option<u32>,
    /// True if the selected packets are those that the rule does not apply to.
    pub is_inverted: bool,
}

/// Parses a rule; `None` if no ordinary packet can be subject to it, or it is malformed.
pub(super) fn parse_rule(message: &[u8], user: u32) -> Option<RoutingRule> {
    let [family, to_len, _from_len, tos, table, _, _, action, ..] = *message else { return None };
    let family = match family {
        AF_INET => Family::V4,
        AF_INET6 => Family::V6,
        _ => return None,
    };
    let is_inverted = read_u32(message, 8)? & INVERTED != 0;
    let mut conditions = Conditions::default();
    let mut table = u32::from(table);
    let mut to = None;
    for (kind, value) in attributes(message.get(RULE_HEADER..)?) {
        match kind {
            FRA_TABLE => table = read_u32(value, 0).unwrap_or(table),
            FRA_DST => to = read_address(value).and_then(|address| network_of(address, to_len)),
            kind => conditions.add(kind, value, user),
        }
    }
    conditions.excludes_ordinary |= tos != 0;
    let table = (action == ACTION_TO_TABLE).then_some(table);
    // The table of this machine's own addresses leads nowhere else.
    if table == Some(TABLE_LOCAL) {
        return None;
    }
    if conditions.excludes_ordinary_packets() {
        // An inverted rule then applies to every ordinary packet, whatever else it names.
        let all = RoutingRule { family, selector: Selector::default(), table, is_inverted };
        return is_inverted.then_some(all);
    }
    let selector = Selector { to, traffic: conditions.traffic() };
    Some(RoutingRule { family, selector, table, is_inverted })
}

/// The conditions of a rule other than the destination.
#[derive(Default)]
struct Conditions {
    /// A condition that an ordinary packet never meets.
    excludes_ordinary: bool,
    mark: u32,
    mask: Option<u32>,
    protocol: Option<u8>,
    ports: Option<(u16, u16)>,
}

impl Conditions {
    fn add(&mut self, kind: u16, value: &[u8], user: u32) {
        match kind {
            FRA_FWMARK => self.mark = read_u32(value, 0).unwrap_or_default(),
            FRA_FWMASK => self.mask = read_u32(value, 0),
            // Packets of this machine count as received by the loopback interface.
            FRA_IIFNAME => self.excludes_ordinary |= read_text(value) != Some("lo"),
            FRA_OIFNAME | FRA_SPORT_RANGE => self.excludes_ordinary = true,
            FRA_TUN_ID => self.excludes_ordinary |= value.iter().any(|byte| *byte != 0),
            FRA_UID_RANGE => {
                let range = read_u32(value, 0).zip(read_u32(value, 4));
                self.excludes_ordinary |= range.is_some_and(|(first, last)| user < first || user > last);
            }
            FRA_IP_PROTO => self.protocol = value.first().copied(),
            FRA_DPORT_RANGE => self.ports = read_u16(value, 0).zip(read_u16(value, 2)),
            _ => {}
        }
    }

    fn excludes_ordinary_packets(&self) -> bool {
        let transports = [IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6];
        let is_other_protocol = self.protocol.is_some_and(|protocol| !transports.contains(&protocol));
        let mask = self.mask.unwrap_or(u32::MAX);
        self.excludes_ordinary || self.mark & mask != 0 || is_other_protocol
    }

    /// Returns packets that meet the conditions: both ends of a range of ports, of each protocol.
    fn traffic(&self) -> Vec<Traffic> {
        let transports: &[Transport] = match self.protocol {
            Some(IPPROTO_TCP) => &[Transport::Tcp],
            Some(IPPROTO_UDP) => &[Transport::Udp],
            Some(IPPROTO_ICMP | IPPROTO_ICMPV6) => {
                return vec![Traffic { transport: Transport::Icmp, port: 0 }];
            }
            _ => &[Transport::Udp, Transport::Tcp],
        };
        let ports = match (self.ports, self.protocol) {
            (Some((first, last)), _) if first == last => vec![first],
            (Some((first, last)), _) => vec![first, last],
            (None, Some(_)) => vec![ANY_PORT],
            (None, None) => return Vec::new(),
        };
        let of_port = |port| transports.iter().map(move |transport| Traffic { transport: *transport, port });
        ports.into_iter().flat_map(of_port).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attributes::push_attribute, *};

    const USER: u32 = 1000;

    fn rule(header: [u8; 12], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = header.to_vec();
        for (kind, value) in attributes {
            push_attribute(&mut message, *kind, value);
        }
        message
    }

    fn to_table(attributes: &[(u16, &[u8])]) -> Option<RoutingRule> {
        parse_rule(&rule([AF_INET, 0, 0, 0, 100, 0, 0, ACTION_TO_TABLE, 0, 0, 0, 0], attributes), USER)
    }

    fn inverted(attributes: &[(u16, &[u8])]) -> Option<RoutingRule> {
        let flags = INVERTED.to_ne_bytes();
        let mut header = [AF_INET, 0, 0, 0, 100, 0, 0, ACTION_TO_TABLE, 0, 0, 0, 0];
        header[8..].copy_from_slice(&flags);
        parse_rule(&rule(header, attributes), USER)
    }

    fn uids(first: u32, last: u32) -> Vec<u8> {
        [first.to_ne_bytes(), last.to_ne_bytes()].concat()
    }

    #[test]
    fn a_rule_that_no_ordinary_packet_meets_is_left_out() {
        assert_eq!(to_table(&[]).unwrap().table, Some(100));
        let mark = 0xca6c_u32.to_ne_bytes();
        let foreign: [&[(u16, &[u8])]; 6] = [
            &[(FRA_FWMARK, &mark)],
            &[(FRA_OIFNAME, b"eth0\0")],
            &[(FRA_IIFNAME, b"eth0\0")],
            &[(FRA_UID_RANGE, &uids(0, 999))],
            &[(FRA_SPORT_RANGE, &[53, 0, 53, 0])],
            &[(FRA_IP_PROTO, &[47])],
        ];
        for conditions in foreign {
            assert_eq!(to_table(conditions), None, "{conditions:?}");
            let all = inverted(conditions).unwrap();
            assert_eq!((all.table, all.selector), (Some(100), Selector::default()), "{conditions:?}");
        }
        let ordinary: [&[(u16, &[u8])]; 4] = [
            &[(FRA_FWMARK, &mark), (FRA_FWMASK, &0_u32.to_ne_bytes())],
            &[(FRA_IIFNAME, b"lo\0")],
            &[(FRA_UID_RANGE, &uids(1000, 1000))],
            &[(FRA_TUN_ID, &[0; 8])],
        ];
        for conditions in ordinary {
            assert!(to_table(conditions).is_some(), "{conditions:?}");
        }
    }

    #[test]
    fn ports_and_protocols_become_packets_that_meet_them() {
        let ports = |first: u16, last: u16| [first.to_ne_bytes(), last.to_ne_bytes()].concat();
        let traffic = |transport, port| Traffic { transport, port };
        let by_port = to_table(&[(FRA_DPORT_RANGE, &ports(53, 53))]).unwrap();
        let both = vec![traffic(Transport::Udp, 53), traffic(Transport::Tcp, 53)];
        assert_eq!(by_port.selector.traffic, both);
        let range = to_table(&[(FRA_IP_PROTO, &[17]), (FRA_DPORT_RANGE, &ports(1, 9))]).unwrap();
        assert_eq!(range.selector.traffic, [traffic(Transport::Udp, 1), traffic(Transport::Udp, 9)]);
        let icmp = to_table(&[(FRA_IP_PROTO, &[1])]).unwrap();
        assert_eq!(icmp.selector.traffic, [traffic(Transport::Icmp, 0)]);
    }

    #[test]
    fn hostile_rules_are_refused_or_read_as_far_as_they_go() {
        for length in 0..RULE_HEADER {
            assert_eq!(parse_rule(&vec![2; length], USER), None, "{length} bytes");
        }
        let long = rule([AF_INET, 255, 0, 0, 100, 0, 0, 1, 0, 0, 0, 0], &[(FRA_DST, &[203, 0, 113, 0])]);
        assert_eq!(parse_rule(&long, USER).unwrap().selector.to, None, "a prefix of 255 bits");
        let empty = to_table(&[(FRA_TABLE, &[]), (FRA_DPORT_RANGE, &[1]), (FRA_DST, &[1, 2])]).unwrap();
        assert_eq!((empty.table, empty.selector), (Some(100), Selector::default()));
        assert_eq!(parse_rule(&[9; 40], USER), None, "an unknown family");
    }
}
