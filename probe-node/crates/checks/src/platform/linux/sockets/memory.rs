//! What one look at the socket table remembers for the next.

use super::{
    message::Row,
    owners::SocketOwner,
    users::{is_system_user, user_name},
};
use crate::platform::api::SocketQuery;
use sentinel_model::{
    Epoch, Family, Interface, InterfaceKind, Millis, Outcome, OutsideSocket, Reason, TransportProtocol,
};
use std::collections::BTreeMap;

/// By how many bytes a socket must exceed the tunnel to prove that they did not travel in it.
///
/// It covers data that was on its way, or received out of order, at the last look.
const MARGIN: u64 = 256 * 1024;

/// The sockets of the last look by cookie, and how much the tunnels had carried at its start.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) tracked: BTreeMap<u64, TrackedSocket>,
    pub(super) carried: BTreeMap<String, u64>,
}

/// A socket that may be outside the tunnel.
#[derive(Clone, Debug)]
pub(super) struct TrackedSocket {
    pub(super) protocol: TransportProtocol,
    pub(super) row: Row,
    /// The interface that has its source address.
    pub(super) interface: String,
    pub(super) user: String,
    /// Its owner; `None` until it was searched for.
    pub(super) owner: Option<Outcome<SocketOwner>>,
    /// The interface by which its packets leave, and the epoch in which the kernel said so.
    pub(super) route: Option<(Epoch, Outcome<String>)>,
    /// How many bytes it had moved at the last look.
    last_bytes: Option<u64>,
    exceeds_tunnel: bool,
}

impl TrackedSocket {
    /// Creates the socket of this look, with what was learned of the same socket in the last.
    pub(super) fn new(protocol: TransportProtocol, row: Row, interface: &str, last: Option<&Self>) -> Self {
        let is_same = |last: &&Self| last.row.inode == row.inode && last.row.peer == row.peer;
        let last = last.filter(is_same);
        Self {
            protocol,
            interface: interface.to_owned(),
            user: last.map_or_else(|| user_name(row.uid), |last| last.user.clone()),
            owner: last.and_then(|last| last.owner.clone()),
            route: last.and_then(|last| last.route.clone()),
            last_bytes: last.and_then(Self::bytes),
            exceeds_tunnel: false,
            row,
        }
    }

    fn bytes(&self) -> Option<u64> {
        self.row.tcp.and_then(|tcp| tcp.bytes)
    }

    /// Returns true if its owner holds the device of one of these tunnels: it is the VPN's client.
    pub(super) fn is_vpn_client(&self, interfaces: &[Interface]) -> bool {
        let is_tunnel = |name: &String| {
            let mut named = interfaces.iter().filter(|interface| interface.name == *name);
            named.any(|interface| interface.kind == InterfaceKind::Tunnel)
        };
        let owner = self.owner.as_ref().and_then(Outcome::measured);
        owner.is_some_and(|owner| owner.devices.iter().any(is_tunnel))
    }

    /// Returns the socket as the check reports it.
    pub(super) fn to_socket(&self) -> OutsideSocket {
        let heard = self.row.tcp.map(|tcp| Millis(u64::from(tcp.last_data_recv.min(tcp.last_ack_recv))));
        OutsideSocket {
            id: self.row.cookie,
            protocol: self.protocol,
            peer: self.row.peer,
            interface: self.interface.clone(),
            program: self.owner.clone().unwrap_or_else(|| unasked("its owner")).map(|owner| owner.program),
            user: self.user.clone(),
            is_system_user: is_system_user(self.row.uid),
            leaves_by: self.route.clone().map_or_else(|| unasked("its route"), |(_, route)| route),
            heard_ago: heard,
            exceeds_tunnel: self.exceeds_tunnel,
        }
    }
}

fn unasked<T>(what: &str) -> Outcome<T> {
    Outcome::Unknown(Reason::Failed(format!("{what} was not looked up")))
}

impl Memory {
    /// Returns true if a socket has moved data since the last look.
    pub(super) fn has_progress(&self) -> bool {
        self.tracked.values().any(|socket| socket.bytes() > socket.last_bytes)
    }

    /// Finds the sockets that have moved more data since the last look than their tunnel carried.
    ///
    /// `start` and `end` are what each interface had carried before and after the sockets were
    /// read. Since the last look's start was kept, the tunnel is counted for longer than the
    /// sockets.
    pub(super) fn compare_with_tunnel(
        &mut self,
        query: &SocketQuery,
        start: BTreeMap<String, u64>,
        end: &BTreeMap<String, u64>,
    ) {
        for socket in self.tracked.values_mut() {
            let tunnel = query.tunnels[Family::of(socket.row.peer.ip())].as_ref();
            let carried = |counts: &BTreeMap<String, u64>| counts.get(tunnel?).copied();
            let exceeds = || {
                let moved = socket.bytes()?.checked_sub(socket.last_bytes?)?;
                let by_tunnel = carried(end)?.checked_sub(carried(&self.carried)?)?;
                Some(moved > by_tunnel.saturating_add(MARGIN))
            };
            socket.exceeds_tunnel = exceeds().unwrap_or(false);
        }
        self.carried = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sockets::message::{Message, TcpState, messages, tests::encode_row};
    use sentinel_model::PerFamily;

    fn socket(bytes: u64, last: Option<&TrackedSocket>) -> TrackedSocket {
        let bytes_of_row =
            encode_row("192.168.1.2:1".parse().unwrap(), "203.0.113.7:443".parse().unwrap(), &[]);
        let Some(Ok(Message::Row(mut row))) = messages(&bytes_of_row).next() else { panic!() };
        row.tcp = Some(TcpState { last_data_recv: 9, last_ack_recv: 5, bytes: Some(bytes) });
        TrackedSocket::new(TransportProtocol::Tcp, row, "eth0", last)
    }

    /// Lets a socket move data between two looks, while the tunnel carries some.
    fn exceeds(moved: u64, carried: u64) -> bool {
        let tunnels = PerFamily { v4: Some("wg0".to_owned()), v6: None };
        let query = SocketQuery { tunnels, ..SocketQuery::default() };
        let counts = |bytes: u64| BTreeMap::from([("wg0".to_owned(), bytes)]);
        let first = socket(1000, None);
        let second = socket(1000 + moved, Some(&first));
        let mut memory = Memory { tracked: BTreeMap::from([(1, second)]), carried: counts(5000) };
        assert_eq!(memory.has_progress(), moved > 0);
        memory.compare_with_tunnel(&query, counts(0), &counts(5000 + carried));
        memory.tracked[&1].to_socket().exceeds_tunnel
    }

    #[test]
    fn a_socket_that_moved_more_than_the_tunnel_was_not_in_it() {
        assert!(exceeds(MARGIN + 1, 0) && exceeds(10 * MARGIN, 8 * MARGIN));
        assert!(!exceeds(MARGIN, 0) && !exceeds(10 * MARGIN, 10 * MARGIN));
        assert!(!exceeds(0, 0));
    }

    #[test]
    fn the_peer_was_heard_when_data_or_an_acknowledgement_arrived() {
        assert_eq!(socket(1, None).to_socket().heard_ago, Some(Millis(5)));
    }

    #[test]
    fn only_the_owner_of_a_tunnels_device_is_a_vpn_client() {
        let interface = |kind| Interface { name: "tun0".into(), kind, up: true, addresses: Vec::new() };
        let mut found = socket(1, None);
        let program = sentinel_model::Program { name: "client".into(), executable: None };
        let owner = SocketOwner { pid: 1, program, devices: vec!["tun0".to_owned()] };
        found.owner = Some(Outcome::Measured(owner));
        assert!(found.is_vpn_client(&[interface(InterfaceKind::Tunnel)]));
        assert!(!found.is_vpn_client(&[interface(InterfaceKind::Virtual)]), "a virtual machine's TAP");
        assert!(!found.is_vpn_client(&[]), "a device in another namespace");
        found.owner = None;
        assert!(!found.is_vpn_client(&[interface(InterfaceKind::Tunnel)]));
    }
}
