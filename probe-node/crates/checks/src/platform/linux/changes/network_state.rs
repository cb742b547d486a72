//! The state of links and addresses, which distinguishes real changes from repeated messages.
//!
//! The kernel repeats itself: a Wi-Fi card's statistics come as link messages, and every router
//! advertisement renews addresses.

use crate::platform::{
    api::Change,
    linux::interfaces::{controller_index, is_up, link_name, own_network},
};
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkFlags, LinkMessage},
    route::{RouteFlags, RouteMessage, RouteType},
};
use std::collections::{HashMap, HashSet};

/// More entries than a machine has.
///
/// Beyond it the state is cleared, and repeated messages are reported as changes, which is
/// harmless.
const MAX_ENTRIES: usize = 4096;

/// The properties of a link whose change is reported.
#[derive(PartialEq, Eq)]
struct LinkState {
    name: String,
    is_enabled: bool,
    is_up: bool,
    controller: Option<u32>,
}

/// The links and addresses reported so far, by interface index.
#[derive(Default)]
pub(super) struct NetworkState {
    links: HashMap<u32, LinkState>,
    addresses: HashSet<(u32, IpNet)>,
}

impl NetworkState {
    /// Applies a message and returns the change, if it is one.
    pub(super) fn update(&mut self, message: RouteNetlinkMessage) -> Option<Change> {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.add_link(&link),
            RouteNetlinkMessage::DelLink(link) => self.remove_link(&link),
            RouteNetlinkMessage::NewAddress(address) => self.add_address(&address),
            RouteNetlinkMessage::DelAddress(address) => self.remove_address(&address),
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                is_relevant(&route).then_some(Change::Route)
            }
            RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => Some(Change::Rule),
            _ => None,
        }
    }

    fn add_link(&mut self, link: &LinkMessage) -> Option<Change> {
        if link.header.interface_family == AddressFamily::Bridge {
            return None; // a bridge reports on its port
        }
        let state = LinkState {
            name: link_name(link),
            is_enabled: link.header.flags.contains(LinkFlags::Up),
            is_up: is_up(link),
            controller: controller_index(link),
        };
        if self.links.len() >= MAX_ENTRIES {
            self.links.clear();
        }
        let is_repeated = self.links.get(&link.header.index) == Some(&state);
        self.links.insert(link.header.index, state);
        (!is_repeated).then_some(Change::Link)
    }

    fn remove_link(&mut self, link: &LinkMessage) -> Option<Change> {
        if link.header.interface_family == AddressFamily::Bridge {
            return None;
        }
        self.links.remove(&link.header.index);
        self.addresses.retain(|(index, _)| *index != link.header.index);
        Some(Change::Link)
    }

    fn add_address(&mut self, message: &AddressMessage) -> Option<Change> {
        if self.addresses.len() >= MAX_ENTRIES {
            self.addresses.clear();
        }
        let is_new = self.addresses.insert((message.header.index, own_network(message)?));
        is_new.then_some(Change::Address)
    }

    fn remove_address(&mut self, message: &AddressMessage) -> Option<Change> {
        self.addresses.remove(&(message.header.index, own_network(message)?));
        Some(Change::Address)
    }
}

/// Returns false for cached exceptions (such as a path MTU) and for routes that are not unicast.
fn is_relevant(route: &RouteMessage) -> bool {
    let other_casts = [RouteType::Multicast, RouteType::Broadcast, RouteType::Anycast];
    !route.header.flags.contains(RouteFlags::Cloned) && !other_casts.contains(&route.header.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::{address::AddressAttribute, link::LinkAttribute};

    fn link(up: bool) -> RouteNetlinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = 3;
        link.attributes.push(LinkAttribute::IfName("wg0".into()));
        if up {
            link.header.flags = LinkFlags::Up | LinkFlags::Running;
        }
        RouteNetlinkMessage::NewLink(link)
    }

    fn address() -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = 3;
        message.header.prefix_len = 64;
        message.attributes.push(AddressAttribute::Address("2001:db8::1".parse().unwrap()));
        message
    }

    #[test]
    fn changes_are_reported_and_repetitions_are_not() {
        let mut state = NetworkState::default();
        assert_eq!(state.update(link(true)), Some(Change::Link));
        assert_eq!(state.update(link(true)), None);
        assert_eq!(state.update(link(false)), Some(Change::Link));
        assert_eq!(state.update(RouteNetlinkMessage::NewAddress(address())), Some(Change::Address));
        assert_eq!(state.update(RouteNetlinkMessage::NewAddress(address())), None);
        assert_eq!(state.update(RouteNetlinkMessage::DelAddress(address())), Some(Change::Address));
        assert_eq!(state.update(RouteNetlinkMessage::NewAddress(address())), Some(Change::Address));
    }

    #[test]
    fn routes_are_reported_except_for_cached_ones() {
        let mut state = NetworkState::default();
        let mut route = RouteMessage::default();
        assert_eq!(state.update(RouteNetlinkMessage::NewRoute(route.clone())), Some(Change::Route));
        route.header.flags = RouteFlags::Cloned;
        assert_eq!(state.update(RouteNetlinkMessage::NewRoute(route)), None);
    }
}
