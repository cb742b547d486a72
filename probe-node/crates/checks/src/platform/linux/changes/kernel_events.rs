//! The kernel's events about links, addresses, routes and rules.

use super::network_state::NetworkState;
use crate::platform::{api::Change, timing::RETRY_AFTER};
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;
use rustix::io::Errno;
use std::io;
use tokio::time::sleep;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// A socket that receives the kernel's events.
pub(super) struct KernelEvents {
    socket: TokioSocket,
    state: NetworkState,
}

impl KernelEvents {
    /// Subscribes to all groups.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        // The address holds a bit for each group; all groups used here are among the first 31.
        let groups = GROUPS.iter().fold(0, |mask, group| mask | group_bit(*group));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(Self { socket, state: NetworkState::default() })
    }

    /// Receives the next changes, possibly none.
    ///
    /// It is cancel safe: a datagram is either not received or completely processed.
    pub(super) async fn receive(&mut self) -> Vec<Change> {
        match self.socket.recv_from_full().await {
            // Port 0 is the kernel; other processes can send to this socket too.
            Ok((datagram, sender)) if sender.port_number() == 0 => self.parse_datagram(&datagram),
            Ok(_) => Vec::new(),
            Err(error) => {
                if Errno::from_io_error(&error) != Some(Errno::NOBUFS) {
                    tracing::warn!(%error, "could not read the kernel's network events; trying again");
                    sleep(RETRY_AFTER).await;
                }
                // Events were lost, and they can have been of any kind.
                self.state = NetworkState::default();
                vec![Change::Link, Change::Address, Change::Route, Change::Rule]
            }
        }
    }

    fn parse_datagram(&mut self, mut datagram: &[u8]) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok(header) = NetlinkBuffer::new_checked(datagram) {
            let length = usize::try_from(header.length()).unwrap_or(datagram.len());
            let Some((message, rest)) = datagram.split_at_checked(length) else { break };
            changes.extend(self.parse_message(message));
            let padding = length.next_multiple_of(4) - length;
            datagram = rest.get(padding..).unwrap_or_default();
        }
        changes
    }

    fn parse_message(&mut self, message: &[u8]) -> Option<Change> {
        let Ok(parsed) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
            // A message that the library cannot parse is still a change.
            return Some(Change::Link);
        };
        match parsed.payload {
            NetlinkPayload::InnerMessage(message) => self.state.update(message),
            _ => None,
        }
    }
}

/// Returns the bit of a group in the address of a netlink socket.
fn group_bit(group: MulticastGroup) -> u32 {
    match group {
        MulticastGroup::Link => 1,
        MulticastGroup::Ipv4Ifaddr => 1 << 4,
        MulticastGroup::Ipv4Route => 1 << 6,
        MulticastGroup::Ipv4Rule => 1 << 7,
        MulticastGroup::Ipv6Ifaddr => 1 << 8,
        MulticastGroup::Ipv6Route => 1 << 10,
        MulticastGroup::Ipv6Rule => 1 << 18,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn malformed_messages_from_the_kernel_are_survived() {
        let mut kernel = KernelEvents::open().unwrap();
        for length in 0..64_u8 {
            let datagram: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            kernel.parse_datagram(&datagram);
        }
        let mut header = [0; 32];
        header[0] = 16; // a message with a header only, of a type that needs more
        header[4] = 16;
        assert_eq!(kernel.parse_datagram(&header[..16]), [Change::Link]);
    }
}
