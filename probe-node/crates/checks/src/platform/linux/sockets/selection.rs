//! Which sockets may be outside the tunnel: those whose source address belongs to another interface
//! and whose peer is public.

use super::{filter, message::Row};
use crate::platform::api::SocketQuery;
use ipnet::IpNet;
use sentinel_model::{Family, Interface, InterfaceKind, TransportProtocol, is_link_local, is_within};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

/// The server's ports of DHCP (RFC 2131, RFC 8415), by which the line itself is configured.
const DHCP: [u16; 2] = [67, 547];
/// The ports of IKE and of ESP in UDP (RFC 3947), which carry a tunnel.
const IKE: [u16; 2] = [500, 4500];

/// Selects the sockets of interest.
#[derive(Clone, Debug)]
pub(super) struct SocketSelection {
    /// The addresses of interfaces other than the tunnel, each with the interface's name.
    sources: BTreeMap<IpAddr, String>,
    /// Networks without peers of interest.
    ignored_peers: Vec<IpNet>,
}

impl SocketSelection {
    /// Creates the filter for the machine's present addresses.
    ///
    /// It accepts nothing in a family for which the query names no tunnel.
    pub(super) fn new(interfaces: &[Interface], query: &SocketQuery) -> Self {
        let mut selection = Self { sources: BTreeMap::new(), ignored_peers: query.ignored_peers.clone() };
        for interface in interfaces.iter().filter(|interface| interface.up) {
            for network in &interface.addresses {
                let address = network.addr();
                selection.ignored_peers.push(address.into());
                if is_local_network(network) {
                    selection.ignored_peers.push(network.trunc());
                }
                let tunnel = query.tunnels[Family::of(address)].as_ref();
                let is_outside = tunnel.is_some_and(|tunnel| *tunnel != interface.name);
                if is_outside && interface.kind != InterfaceKind::Loopback && !is_link_local(address) {
                    selection.sources.insert(address, interface.name.clone());
                }
            }
        }
        selection
    }

    /// Returns true if it selects no socket at all.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Returns the filter by which the kernel passes over most sockets that are not selected.
    pub(super) fn kernel_filter(&self) -> Vec<u8> {
        let sources: Vec<IpAddr> = self.sources.keys().copied().collect();
        filter::compile(&sources, &self.ignored_peers)
    }

    /// Returns the interface that has the socket's source address, if the socket is selected.
    pub(super) fn find_interface(&self, protocol: TransportProtocol, row: &Row) -> Option<&str> {
        let interface = self.sources.get(&row.source.ip())?;
        let (peer, port) = (row.peer.ip(), row.peer.port());
        let is_needed_outside =
            protocol == TransportProtocol::Udp && (DHCP.contains(&port) || IKE.contains(&port));
        let is_public = is_routed(peer) && !is_within(peer, &self.ignored_peers);
        (is_public && !is_needed_outside).then_some(interface.as_str())
    }
}

/// Returns true if an interface's network is not wider than that of a line.
///
/// Whoever runs the network could otherwise claim that the whole internet is local.
fn is_local_network(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => v4.prefix_len() >= 16,
        IpNet::V6(v6) => v6.prefix_len() >= 48,
    }
}

/// Returns true for an address that a router forwards.
fn is_routed(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || is_broadcast
        || is_link_local(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sockets::message::{Message, messages, tests::encode_row};
    use sentinel_model::PerFamily;

    fn interface(name: &str, kind: InterfaceKind, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Interface { name: name.into(), kind, up: true, addresses }
    }

    fn select(v6: Option<&str>) -> SocketSelection {
        let interfaces = [
            interface("lo", InterfaceKind::Loopback, &["127.0.0.1/8"]),
            interface("eth0", InterfaceKind::Physical, &["192.168.1.2/24", "2001:db8:1::2/64", "fe80::2/64"]),
            interface("wg0", InterfaceKind::Tunnel, &["10.64.0.2/32"]),
            interface("eth1", InterfaceKind::Physical, &["203.0.113.200/1"]),
        ];
        let tunnels = PerFamily { v4: Some("wg0".to_owned()), v6: v6.map(str::to_owned) };
        let ignored_peers = vec!["10.0.0.0/8".parse().unwrap(), "198.51.100.0/24".parse().unwrap()];
        SocketSelection::new(&interfaces, &SocketQuery { tunnels, ignored_peers, ..SocketQuery::default() })
    }

    fn row(source: &str, peer: &str) -> Row {
        let bytes = encode_row(source.parse().unwrap(), peer.parse().unwrap(), &[]);
        let Some(Ok(Message::Row(row))) = messages(&bytes).next() else { panic!() };
        row
    }

    fn found(source: &str, peer: &str) -> Option<String> {
        select(Some("wg0")).find_interface(TransportProtocol::Udp, &row(source, peer)).map(str::to_owned)
    }

    #[test]
    fn a_physical_source_and_a_public_peer_make_a_candidate() {
        let eth0 = Some("eth0".to_owned());
        assert_eq!(found("192.168.1.2:40000", "203.0.113.7:443"), eth0);
        assert_eq!(found("[::ffff:192.168.1.2]:40000", "[::ffff:203.0.113.7]:443"), eth0);
        assert_eq!(found("[2001:db8:1::2]:40000", "[2620:fe::fe]:443"), eth0);
    }

    #[test]
    fn everything_else_is_none() {
        for (source, peer, why) in [
            ("10.64.0.2:1", "203.0.113.7:443", "the tunnel's address"),
            ("192.168.1.2:1", "10.1.2.3:443", "a peer that is not public"),
            ("192.168.1.2:1", "198.51.100.7:443", "a peer in an excluded network"),
            ("192.168.1.2:1", "192.168.1.1:443", "a peer on the local network"),
            ("192.168.1.2:1", "224.0.0.251:5353", "multicast"),
            ("192.168.1.2:1", "255.255.255.255:9", "broadcast"),
            ("192.168.1.2:1", "192.168.1.2:9", "this machine"),
            ("192.168.1.2:1", "203.0.113.200:9", "another address of this machine"),
            ("192.168.1.2:68", "203.0.113.7:67", "DHCP"),
            ("192.168.1.2:1", "203.0.113.7:4500", "IKE"),
            ("[fe80::2]:1", "[2620:fe::fe]:443", "a link-local source"),
            ("127.0.0.1:1", "203.0.113.7:443", "loopback"),
        ] {
            assert_eq!(found(source, peer), None, "{why}");
        }
    }

    #[test]
    fn a_family_without_a_tunnel_has_no_candidates() {
        let six = row("[2001:db8:1::2]:40000", "[2620:fe::fe]:443");
        assert_eq!(select(None).find_interface(TransportProtocol::Tcp, &six), None);
        assert!(!select(None).is_empty());
    }
}
