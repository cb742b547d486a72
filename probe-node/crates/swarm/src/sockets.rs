//! Sockets for the STUN responder and the canary zone. An IPv6 socket serves IPv6 alone, so that both families can be
//! bound to one port and a mapped address never hides the asker's family.

use crate::error::SwarmError;
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, UdpSocket};

/// Pending connections the system keeps for a listener.
const BACKLOG: i32 = 64;

/// Binds a UDP socket.
pub(crate) fn udp(address: SocketAddr, purpose: &'static str) -> Result<UdpSocket, SwarmError> {
    bind(address, Type::DGRAM, Protocol::UDP)
        .and_then(|socket| UdpSocket::from_std(socket.into()))
        .map_err(|cause| SwarmError::Bind { address, purpose, cause })
}

/// Binds a TCP listener.
pub(crate) fn tcp(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, SwarmError> {
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
