//! The routing table of the Internet, and the links of the attached hosts.

use super::link::Link;
use sentinel_model::IpNet;
use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The state that the forwarder shares with the [`Internet`](super::Internet).
#[derive(Debug, Default)]
pub(super) struct RoutingTable {
    /// One link per attached host, in the order of attachment.
    pub(super) links: Vec<Link>,
    /// The longest prefix first.
    pub(super) routes: Vec<Route>,
}

/// A prefix and the attached host that it leads to.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) prefix: IpNet,
    /// Index of the host that gets the packets.
    pub(super) to: usize,
    /// Indices of the hosts to whose packets this route does not apply.
    pub(super) except_from: Vec<usize>,
}

impl RoutingTable {
    /// Returns the index of the host that gets a packet, by the longest matching prefix.
    pub(super) fn find_route(&self, from: usize, destination: IpAddr) -> Option<usize> {
        let applies =
            |route: &&Route| route.prefix.contains(&destination) && !route.except_from.contains(&from);
        self.routes.iter().find(applies).map(|route| route.to)
    }

    /// Adds a route in front of those with an equal prefix length.
    pub(super) fn add_route(&mut self, route: Route) {
        let at = self.routes.partition_point(|other| other.prefix.prefix_len() > route.prefix.prefix_len());
        self.routes.insert(at, route);
    }
}

/// Locks the table. It is consistent at any time, so the panic of another thread does not spoil it.
pub(super) fn lock(table: &Mutex<RoutingTable>) -> MutexGuard<'_, RoutingTable> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RoutingTable {
        let mut table = RoutingTable::default();
        for (prefix, to) in [("192.0.2.0/24", 1), ("192.0.2.7/32", 2), ("2001:db8:a::/48", 3)] {
            table.add_route(Route { prefix: prefix.parse().unwrap(), to, except_from: Vec::new() });
        }
        table
    }

    #[test]
    fn the_longest_prefix_wins_and_an_unknown_destination_has_no_route() {
        let table = table();
        let to = |text: &str| table.find_route(0, text.parse().unwrap());
        assert_eq!(to("192.0.2.7"), Some(2));
        assert_eq!(to("192.0.2.8"), Some(1));
        assert_eq!(to("2001:db8:a::10"), Some(3));
        assert_eq!(to("10.0.0.1"), None);
    }

    #[test]
    fn a_route_can_exclude_senders() {
        let mut table = table();
        table
            .routes
            .insert(0, Route { prefix: "192.0.2.7/32".parse().unwrap(), to: 9, except_from: vec![5] });
        assert_eq!(table.find_route(0, "192.0.2.7".parse().unwrap()), Some(9));
        assert_eq!(table.find_route(5, "192.0.2.7".parse().unwrap()), Some(2));
    }
}
