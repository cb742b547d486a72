//! Makes a socket use one interface, whatever the routes say.

use super::interfaces;
use socket2::Socket;
use std::{io, os::windows::io::AsRawSocket};
use windows_sys::Win32::Networking::WinSock::{
    IP_UNICAST_IF, IPPROTO_IP, IPPROTO_IPV6, IPV6_UNICAST_IF, SOCKET, setsockopt,
};

/// Binds by the interface's name.
pub(super) fn to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    let adapter = interfaces::named(interface).map_err(|reason| io::Error::other(reason.to_string()))?;
    // A socket does not tell its family before it is bound. Each option fails on a socket of the other family, except
    // that a dual one takes both. The index is in network order for IPv4 and in this machine's for IPv6.
    let v6 = set(socket, IPPROTO_IPV6, IPV6_UNICAST_IF, adapter.index.to_ne_bytes());
    let v4 = set(socket, IPPROTO_IP, IP_UNICAST_IF, adapter.index.to_be_bytes());
    v6.or(v4)
}

#[allow(unsafe_code)]
fn set(socket: &Socket, level: i32, option: i32, value: [u8; 4]) -> io::Result<()> {
    let handle = SOCKET::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    // SAFETY: the handle is the borrowed socket's and stays open for the call, which reads the four bytes pointed to.
    let failed = unsafe { setsockopt(handle, level, option, value.as_ptr(), 4) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
