//! Requests to the kernel for its socket table (sock_diag(7)).

use super::message::{
    AF_INET, AF_INET6, HEADER, Message, Row, SOCK_DIAG_BY_FAMILY, TCP, TcpState, UDP, messages,
};
use crate::reason;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress, protocols::NETLINK_SOCK_DIAG};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use sentinel_model::{Reason, TransportProtocol};
use std::{io, time::Duration};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Asks for `tcp_info`: the bit of the attribute INET_DIAG_INFO.
const WITH_TCP_INFO: u8 = 1 << 1;

/// The states in which a TCP connection can carry data, and in which a UDP socket is connected:
/// ESTABLISHED and CLOSE_WAIT.
const CONNECTED: u32 = (1 << 1) | (1 << 8);

/// Longer than any datagram of a dump (32 KiB).
const DATAGRAM: usize = 64 * 1024;
/// The longest wait for one datagram, which the kernel normally writes within a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether to go on reading a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Pass on the next socket.
    Continue,
    /// Enough is known.
    Stop,
}

/// A connection to the kernel's socket table.
pub(super) struct SocketDiag {
    socket: Socket,
    buffer: Vec<u8>,
}

impl SocketDiag {
    /// Opens the connection.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&NetlinkAddress::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Passes each connected socket of a protocol and family to `take`, until it stops.
    ///
    /// The kernel passes on only sockets that `filter` accepts; all, if it is empty. After a stop,
    /// nothing more can be asked on this connection.
    ///
    /// # Errors
    /// Fails if the kernel refuses the request or writes something unexpected, or if it has nothing
    /// to list such sockets with.
    pub(super) fn list(
        &mut self,
        protocol: TransportProtocol,
        family: u8,
        filter: &[u8],
        mut take: impl FnMut(Row) -> Reading,
    ) -> Result<(), Reason> {
        let mut payload = request_body(protocol, family, 0, &[0; 48]);
        if let Some(length) = u16::try_from(4 + filter.len()).ok().filter(|_| !filter.is_empty()) {
            payload.extend(length.to_ne_bytes());
            payload.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
            payload.extend(filter);
        }
        self.send(NLM_F_REQUEST | NLM_F_DUMP, &payload)?;
        loop {
            self.receive()?;
            for message in messages(&self.buffer) {
                match message.map_err(|malformed| Reason::Malformed(malformed.0.to_owned()))? {
                    Message::Row(row) => {
                        if take(row) == Reading::Stop {
                            return Ok(());
                        }
                    }
                    Message::Done => return Ok(()),
                    Message::Error(number) => return Err(describe_refusal(number)),
                    Message::Other => {}
                }
            }
        }
    }

    /// Returns the state of one TCP connection, or none if it has ended.
    pub(super) fn read_tcp_state(&mut self, row: &Row) -> Result<Option<TcpState>, Reason> {
        let payload = request_body(TransportProtocol::Tcp, row.family, WITH_TCP_INFO, &row.id);
        self.send(NLM_F_REQUEST, &payload)?;
        self.receive()?;
        match messages(&self.buffer).next() {
            Some(Ok(Message::Row(row))) => Ok(row.tcp),
            Some(Ok(_)) => Ok(None),
            Some(Err(malformed)) => Err(Reason::Malformed(malformed.0.to_owned())),
            None => Err(Reason::Malformed("an empty answer".to_owned())),
        }
    }

    fn send(&self, flags: u16, payload: &[u8]) -> Result<(), Reason> {
        let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence number and port, which the kernel repeats
        message.extend(payload);
        self.socket.send(&message, 0).map(drop).map_err(|error| reason::of_io(&error))
    }

    fn receive(&mut self) -> Result<(), Reason> {
        self.buffer.clear();
        let received = self.socket.recv(&mut self.buffer, 0).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Reason::TimedOut,
            _ => Reason::Failed(format!("the kernel's socket table could not be read: {error}")),
        })?;
        if received == 0 {
            return Err(Reason::Malformed("an empty answer".to_owned()));
        }
        Ok(())
    }
}

/// Encodes an `inet_diag_req_v2`.
fn request_body(protocol: TransportProtocol, family: u8, extensions: u8, id: &[u8; 48]) -> Vec<u8> {
    let protocol = match protocol {
        TransportProtocol::Tcp => TCP,
        TransportProtocol::Udp => UDP,
    };
    let mut body = vec![family, protocol, extensions, 0];
    body.extend(CONNECTED.to_ne_bytes());
    body.extend(id);
    body
}

fn describe_refusal(number: i32) -> Reason {
    let error = io::Error::from_raw_os_error(number);
    match error.kind() {
        io::ErrorKind::NotFound => Reason::Failed(
            "the kernel cannot list sockets: its module tcp_diag or udp_diag is missing".to_owned(),
        ),
        _ => Reason::Refused(format!("the kernel does not list its sockets: {error}")),
    }
}

/// The families of sockets, with the families of the source addresses that they can have.
pub(super) const SOCKET_FAMILIES: [u8; 2] = [AF_INET, AF_INET6];
