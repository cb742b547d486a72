//! The source address the system selects for a destination.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

/// Any port will do; this is the discard service's.
const PORT: u16 = 9;

/// Returns the source address of a packet to `destination`, or an error if there is no route.
///
/// It connects a UDP socket, which sends nothing.
pub(super) fn find_source_address(destination: IpAddr) -> io::Result<IpAddr> {
    let any = match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((destination, PORT))?;
    Ok(socket.local_addr()?.ip())
}
