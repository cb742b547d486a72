//! What is known of links and addresses, so that only real changes are told. The kernel repeats itself: a radio's
//! statistics come as link messages, and every router advertisement renews addresses.

use crate::platform::{
    Change,
    linux::interfaces::{controller, is_up, name, network},
};
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkFlags, LinkMessage},
    route::{RouteFlags, RouteMessage, RouteType},
};
use std::collections::{HashMap, HashSet};

/// More than any machine has; beyond it repetitions are told as changes, which is harmless.
const MAX_KNOWN: usize = 4096;

/// What matters of a link: its name, whether it is on, whether packets can pass, and whose port it is.
type Link = (String, bool, bool, Option<u32>);

/// Links and addresses already told of.
#[derive(Default)]
pub(super) struct Known {
    links: HashMap<u32, Link>,
    addresses: HashSet<(u32, IpNet)>,
}

impl Known {
    /// The change a message stands for, if it is one.
    pub(super) fn change(&mut self, message: RouteNetlinkMessage) -> Option<Change> {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.new_link(&link),
            RouteNetlinkMessage::DelLink(link) => self.gone_link(&link),
            RouteNetlinkMessage::NewAddress(address) => self.new_address(&address),
            RouteNetlinkMessage::DelAddress(address) => self.gone_address(&address),
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                is_of_interest(&route).then_some(Change::Route)
            }
            RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => Some(Change::Rule),
            _ => None,
        }
    }

    fn new_link(&mut self, link: &LinkMessage) -> Option<Change> {
        if link.header.interface_family == AddressFamily::Bridge {
            return None; // a bridge telling of its port
        }
        let state = (name(link), link.header.flags.contains(LinkFlags::Up), is_up(link), controller(link));
        if self.links.len() >= MAX_KNOWN {
            self.links.clear();
        }
        let before = self.links.insert(link.header.index, state.clone());
        (before != Some(state)).then_some(Change::Link)
    }

    fn gone_link(&mut self, link: &LinkMessage) -> Option<Change> {
        if link.header.interface_family == AddressFamily::Bridge {
            return None;
        }
        self.links.remove(&link.header.index);
        self.addresses.retain(|(index, _)| *index != link.header.index);
        Some(Change::Link)
    }

    fn new_address(&mut self, message: &AddressMessage) -> Option<Change> {
        if self.addresses.len() >= MAX_KNOWN {
            self.addresses.clear();
        }
        let new = self.addresses.insert((message.header.index, network(message)?));
        new.then_some(Change::Address)
    }

    fn gone_address(&mut self, message: &AddressMessage) -> Option<Change> {
        self.addresses.remove(&(message.header.index, network(message)?));
        Some(Change::Address)
    }
}

/// Neither a cached exception (a path MTU), nor a multicast or broadcast route.
fn is_of_interest(route: &RouteMessage) -> bool {
    let casts = [RouteType::Multicast, RouteType::Broadcast, RouteType::Anycast];
    !route.header.flags.contains(RouteFlags::Cloned) && !casts.contains(&route.header.kind)
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
    fn repetitions_are_not_told_and_changes_are() {
        let mut known = Known::default();
        assert_eq!(known.change(link(true)), Some(Change::Link));
        assert_eq!(known.change(link(true)), None);
        assert_eq!(known.change(link(false)), Some(Change::Link));
        assert_eq!(known.change(RouteNetlinkMessage::NewAddress(address())), Some(Change::Address));
        assert_eq!(known.change(RouteNetlinkMessage::NewAddress(address())), None);
        assert_eq!(known.change(RouteNetlinkMessage::DelAddress(address())), Some(Change::Address));
        assert_eq!(known.change(RouteNetlinkMessage::NewAddress(address())), Some(Change::Address));
    }

    #[test]
    fn routes_are_told_but_not_cached_ones() {
        let mut known = Known::default();
        let mut route = RouteMessage::default();
        assert_eq!(known.change(RouteNetlinkMessage::NewRoute(route.clone())), Some(Change::Route));
        route.header.flags = RouteFlags::Cloned;
        assert_eq!(known.change(RouteNetlinkMessage::NewRoute(route)), None);
    }
}
