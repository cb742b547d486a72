//! Who operates an address.

use ipnet::IpNet;
use sentinel_model::{Attributed, Owner};
use std::{cmp::Reverse, net::IpAddr};

/// Says who operates an address, from a table of networks. The most specific prefix wins.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// Longest prefix first, so that the first match is the most specific.
    networks: Vec<(IpNet, Owner)>,
}

impl Ownership {
    /// A table of networks and their operators, in any order.
    pub fn new(mut networks: Vec<(IpNet, Owner)>) -> Self {
        networks.sort_by_key(|(network, _)| Reverse(network.prefix_len()));
        Self { networks }
    }

    /// The address with its operator; without one if the table does not cover it.
    pub fn attribute(&self, address: IpAddr) -> Attributed {
        let address = address.to_canonical();
        let owner = self.networks.iter().find(|(network, _)| network.contains(&address));
        Attributed { address, owner: owner.map(|(_, owner)| owner.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Asn;

    fn owner(asn: u32) -> Owner {
        Owner { asn: Some(Asn(asn)), name: format!("net {asn}"), country: None }
    }

    fn asn_of(ownership: &Ownership, address: &str) -> Option<u32> {
        Some(ownership.attribute(address.parse().unwrap()).owner?.asn?.0)
    }

    #[test]
    fn the_most_specific_prefix_wins_whatever_the_order() {
        let wide = ("203.0.0.0/8".parse().unwrap(), owner(1));
        let narrow = ("203.0.113.0/24".parse().unwrap(), owner(2));
        let host = ("203.0.113.7/32".parse().unwrap(), owner(3));
        for networks in [
            vec![wide.clone(), narrow.clone(), host.clone()],
            vec![host.clone(), narrow.clone(), wide.clone()],
            vec![narrow, host, wide],
        ] {
            let ownership = Ownership::new(networks);
            assert_eq!(asn_of(&ownership, "203.0.113.7"), Some(3));
            assert_eq!(asn_of(&ownership, "203.0.113.8"), Some(2));
            assert_eq!(asn_of(&ownership, "203.9.9.9"), Some(1));
            assert_eq!(asn_of(&ownership, "198.51.100.1"), None);
        }
    }

    #[test]
    fn families_do_not_mix_and_mapped_addresses_are_unmapped() {
        let ownership = Ownership::new(vec![
            ("0.0.0.0/0".parse().unwrap(), owner(4)),
            ("::/0".parse().unwrap(), owner(6)),
        ]);
        assert_eq!(asn_of(&ownership, "2001:db8::1"), Some(6));
        assert_eq!(asn_of(&ownership, "::ffff:192.0.2.1"), Some(4));
    }
}
