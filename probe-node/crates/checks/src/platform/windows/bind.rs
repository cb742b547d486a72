//! Binds sockets to an interface, regardless of the routing table.

use super::interfaces;
use socket2::Socket;
use std::{io, os::windows::io::AsRawSocket};
use windows_sys::Win32::Networking::WinSock::{
    IP_UNICAST_IF, IPPROTO_IP, IPPROTO_IPV6, IPV6_UNICAST_IF, SOCKET, setsockopt,
};

/// Binds a socket to the interface of this name.
pub(super) fn bind_to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    let adapter =
        interfaces::find_adapter(interface).map_err(|reason| io::Error::other(reason.to_string()))?;
    // The family of a socket cannot be queried before it is bound. Each option fails on a socket of
    // the other family, except that a dual-stack socket accepts both. The index is in network byte
    // order for IPv4 and in host byte order for IPv6.
    let v6 = set_option(socket, IPPROTO_IPV6, IPV6_UNICAST_IF, adapter.index.to_ne_bytes());
    let v4 = set_option(socket, IPPROTO_IP, IP_UNICAST_IF, adapter.index.to_be_bytes());
    v6.or(v4)
}

#[allow(unsafe_code)]
fn set_option(socket: &Socket, level: i32, option: i32, value: [u8; 4]) -> io::Result<()> {
    let handle = SOCKET::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    // SAFETY: the handle belongs to the borrowed socket, so it stays open during the call. The call
    // reads the four bytes of `value`.
    let failed = unsafe { setsockopt(handle, level, option, value.as_ptr(), 4) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
