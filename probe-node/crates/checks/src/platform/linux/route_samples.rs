//! Samples of the networks that may be routed otherwise than the default route says.
//!
//! Which route a packet takes depends on every rule and table, so nothing is concluded here. All
//! tables that rules lead to are read, whoever wrote their routes, and each network in them yields
//! packets to look up: to hosts as well as networks, and of the protocols and ports that rules
//! select. The kernel then answers for each packet.
//!
//! 1. Rules: their destinations, and packets of their ports.
//! 2. Routes in the tables of the rules, cut to the destinations of the rule.
//! 3. A destination per network, outside the narrower networks within it; several where the packets
//!    to one network may take different paths.

use super::{
    interfaces::assemble_interfaces,
    kernel_socket::KernelSocket,
    netlink,
    route_candidates::{Candidate, Candidates, Rank},
    route_entry::RouteEntry,
    routes::{ROUTE_HEADER, RTN_THROW, RTN_UNICAST},
    routing_rules::{RULE_HEADER, RoutingRule, parse_rule},
};
use crate::{
    platform::{api::RouteSample, on_link},
    reason,
};
use ipnet::IpNet;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use sentinel_model::{Family, Interface, InterfaceKind, Reason, RouteOrigin, is_link_local};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::ControlFlow,
};

const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// More rules than a machine has; those beyond it are ignored.
const MAX_RULES: usize = 1024;
/// How many routes are read; a router with a full table is not a subject.
const MAX_ROUTES: usize = 131_072;

/// Stands for all destinations where a rule selects packets by their port alone.
const ANY_V4: Ipv4Addr = Ipv4Addr::new(9, 96, 7, 11);
const ANY_V6: Ipv6Addr = Ipv6Addr::new(0x2600, 0x1f00, 0, 0, 0, 0, 0, 0x11);

/// Reads all rules and routes and samples the networks in them.
pub(super) async fn sample_routes() -> Result<Vec<RouteSample>, Reason> {
    let links = Links::read().await?;
    let mut candidates = Candidates::default();
    for (family, code) in [(Family::V4, AF_INET), (Family::V6, AF_INET6)] {
        let rules = list_rules(code).await?;
        for rule in rules.iter().filter(|rule| rule.family == family) {
            add_rule(&mut candidates, rule);
        }
        collect_routes(&mut candidates, code, &rules, &links).await?;
    }
    if candidates.is_incomplete() {
        tracing::debug!("there are more routes than are looked into; the least likely were left out");
    }
    Ok(candidates.into_samples())
}

/// The interfaces by their index.
struct Links(BTreeMap<u32, Interface>);

impl Links {
    async fn read() -> Result<Self, Reason> {
        let links = netlink::list_links().await?;
        let addresses = netlink::list_addresses().await?;
        let interfaces = assemble_interfaces(&links, &addresses);
        let index = |link: &LinkMessage| link.header.index;
        Ok(Self(links.iter().map(index).zip(interfaces).collect()))
    }
}

async fn list_rules(family: u8) -> Result<Vec<RoutingRule>, Reason> {
    let mut socket = KernelSocket::open(NETLINK_ROUTE).map_err(|error| reason::of_io(&error))?;
    let mut header = [0; RULE_HEADER];
    header[0] = family;
    let user = rustix::process::geteuid().as_raw();
    let (mut rules, mut left) = (Vec::new(), MAX_RULES);
    let visit = |message: &[u8]| {
        rules.extend(parse_rule(message, user));
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let listed = socket.list(RTM_GETRULE, &header, visit).await;
    // A kernel without policy routing, or without the family, has no rules.
    match listed {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(Vec::new()),
        listed => listed.map(|()| rules).map_err(|error| reason::of_io(&error)),
    }
}

/// Adds packets to the destinations and of the ports of a rule.
fn add_rule(candidates: &mut Candidates, rule: &RoutingRule) {
    let RoutingRule { selector, .. } = rule;
    let any: IpAddr = if rule.family == Family::V4 { ANY_V4.into() } else { ANY_V6.into() };
    let network = selector.to.unwrap_or(IpNet::from(any));
    if selector.to.is_some_and(on_link::is_private_network) {
        return;
    }
    let candidate =
        |traffic| Candidate { network, traffic, origin: None, metric: 0, has_several_paths: false };
    if selector.to.is_some() {
        candidates.insert(Rank::Rule, candidate(None));
    }
    for traffic in &selector.traffic {
        candidates.insert(Rank::Rule, candidate(Some(*traffic)));
    }
}

async fn collect_routes(
    candidates: &mut Candidates,
    family: u8,
    rules: &[RoutingRule],
    links: &Links,
) -> Result<(), Reason> {
    let mut socket = KernelSocket::open(NETLINK_ROUTE).map_err(|error| reason::of_io(&error))?;
    let mut header = [0; ROUTE_HEADER];
    header[0] = family;
    let mut left = MAX_ROUTES;
    let visit = |message: &[u8]| {
        if let Some(entry) = RouteEntry::parse(message) {
            add_route(candidates, &entry, rules, links);
        }
        left -= 1;
        if left == 0 {
            candidates.note_incomplete();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    socket.list(RTM_GETROUTE, &header, visit).await.map_err(|error| reason::of_io(&error))
}

/// Adds the packets that a route may apply to, by each rule that leads to its table.
fn add_route(candidates: &mut Candidates, entry: &RouteEntry, rules: &[RoutingRule], links: &Links) {
    let Some(rank) = rank(entry, links) else { return };
    for rule in rules.iter().filter(|rule| rule.table == Some(entry.table)) {
        let to = rule.selector.to.filter(|_| !rule.is_inverted);
        let Some(network) = intersect(entry.destination, to) else { continue };
        let candidate = |traffic| Candidate {
            network,
            traffic,
            origin: Some(entry.origin),
            metric: entry.metric,
            has_several_paths: entry.has_several_paths(),
        };
        let rank = if to.is_some() { Rank::Rule.min(rank) } else { rank };
        // What the default routes do is shown by the addresses spread over the space.
        let is_default = network.prefix_len() == 0;
        if rule.selector.traffic.is_empty() || rule.is_inverted {
            if !is_default {
                candidates.insert(rank, candidate(None));
            }
        } else if !is_default {
            for traffic in &rule.selector.traffic {
                candidates.insert(Rank::Rule.min(rank), candidate(Some(*traffic)));
            }
        }
    }
}

/// Returns the network within both; `None` if they do not overlap.
fn intersect(network: IpNet, to: Option<IpNet>) -> Option<IpNet> {
    let Some(to) = to else { return Some(network) };
    if network.contains(&to) { Some(to) } else { to.contains(&network).then_some(network) }
}

/// Returns how much a route matters; `None` if it is none that packets could leave by.
fn rank(entry: &RouteEntry, links: &Links) -> Option<Rank> {
    let address = entry.destination.addr();
    let is_unicast = [RTN_UNICAST, RTN_THROW].contains(&entry.kind);
    if !is_unicast || address.is_multicast() || address.is_loopback() || is_link_local(address) {
        return None;
    }
    let hops = || entry.hops.iter().map(|hop| (hop, hop.interface.and_then(|index| links.0.get(&index))));
    let is_of_kind = |kind| move |(_, link): (_, Option<&Interface>)| link.is_some_and(|it| it.kind == kind);
    if !entry.hops.is_empty() && hops().all(is_of_kind(InterfaceKind::Loopback)) {
        return None;
    }
    if !entry.hops.is_empty()
        && hops().all(|hop| is_of_kind(InterfaceKind::Tunnel)(hop) || is_of_kind(InterfaceKind::Sink)(hop))
    {
        return Some(Rank::Tunnel);
    }
    let has_gateway = entry.hops.is_empty() || entry.hops.iter().any(|hop| hop.has_gateway);
    if !has_gateway && entry.destination.prefix_len() > 0 && !is_unexpected_on_link(entry, links) {
        return None;
    }
    let is_host = entry.destination.prefix_len() == entry.destination.max_prefix_len();
    Some(match () {
        () if on_link::is_private_network(entry.destination) => Rank::Private,
        () if is_host => Rank::Host,
        () => Rank::Network,
    })
}

/// Returns true if a network on-link is none that its interfaces are expected to have.
fn is_unexpected_on_link(entry: &RouteEntry, links: &Links) -> bool {
    let is_host = entry.destination.prefix_len() == entry.destination.max_prefix_len();
    // The other end of a point-to-point link.
    if is_host && entry.origin == RouteOrigin::Kernel {
        return false;
    }
    let links = entry.hops.iter().filter_map(|hop| links.0.get(&hop.interface?));
    let own: Vec<IpNet> = links.flat_map(|link| link.addresses.iter().copied()).collect();
    on_link::is_unexpected(entry.destination, &own)
}
