//! Sockets for the STUN responder and the canary zone.
//!
//! An IPv6 socket serves only IPv6. Both families can then be bound to one port, and source
//! addresses are never IPv4-mapped.

use crate::error::SwarmError;
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, UdpSocket};

/// The most pending connections per listener.
const BACKLOG: i32 = 256;

/// Binds a UDP socket. `purpose` names the service in the error.
pub(crate) fn bind_udp(address: SocketAddr, purpose: &'static str) -> Result<UdpSocket, SwarmError> {
    bind(address, Type::DGRAM, Protocol::UDP)
        .and_then(|socket| UdpSocket::from_std(socket.into()))
        .map_err(|cause| SwarmError::Bind { address, purpose, cause })
}

/// Binds a TCP listener. `purpose` names the service in the error.
pub(crate) fn bind_tcp(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, SwarmError> {
    bind(address, Type::STREAM, Protocol::TCP)
        .and_then(|socket| {
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        })
        .map_err(|cause| SwarmError::Bind { address, purpose, cause })
}

fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
