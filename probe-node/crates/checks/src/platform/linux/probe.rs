//! Sends a small UDP packet and waits for a reply, which is usually an ICMP error.
//!
//! The kernel puts ICMP errors about a socket's packets on that socket's error queue (`IP_RECVERR`,
//! ip(7)). So neither a raw socket nor a privilege is needed.

use crate::{
    platform::api::{Probe, ProbeReply},
    reason,
};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use sentinel_model::{Micros, Reason};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io::{self, ErrorKind, IoSliceMut},
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{Instant, timeout},
};

/// The packet's content, which does not identify its sender.
const PAYLOAD: [u8; 8] = [0; 8];
/// More errors than one packet can cause.
const MAX_ERRORS: usize = 8;

/// ICMP message types (RFC 792, RFC 4443).
const TIME_EXCEEDED_V4: u8 = 11;
const TIME_EXCEEDED_V6: u8 = 3;

/// Sends the packet and waits for the first reply to it.
pub(super) async fn send(probe: &Probe) -> Result<ProbeReply, Reason> {
    let socket = open_socket(probe).map_err(|error| describe_error(&error))?;
    let own = socket.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.ip());
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| reason::of_io(&error))?;
    let sent = Instant::now();
    SockRef::from(&socket).send(&PAYLOAD).map_err(|error| describe_error(&error))?;
    let interest = Interest::READABLE | Interest::ERROR;
    let reply = socket.async_io(interest, || read_reply(&socket, probe.destination.ip(), own));
    let reply = timeout(probe.budget, reply).await.map_err(|_| Reason::TimedOut)?;
    let responder = reply.map_err(|error| describe_error(&error))??;
    Ok(ProbeReply { responder, rtt: Micros::from(sent.elapsed()) })
}

/// Opens a socket connected to the destination, so that it receives only what concerns this packet.
fn open_socket(probe: &Probe) -> io::Result<Socket> {
    let destination = probe.destination;
    let socket = Socket::new(Domain::for_address(destination), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = &probe.interface {
        // Missing permission to bind must not look like a firewall's refusal of the packet.
        bind_to_interface(&socket, interface)
            .map_err(|error| io::Error::other(format!("could not bind to {interface}: {error}")))?;
    }
    match destination {
        SocketAddr::V4(_) => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            if let Some(limit) = probe.hop_limit {
                socket.set_ttl_v4(limit.into())?;
            }
        }
        SocketAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            if let Some(limit) = probe.hop_limit {
                socket.set_unicast_hops_v6(limit.into())?;
            }
        }
    }
    socket.connect(&destination.into())?;
    Ok(socket)
}

/// Binds a socket to an interface.
///
/// Needs no privilege since Linux 5.7, provided that the socket has not been bound to one before.
pub(super) fn bind_to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

/// Returns who replied, or why there will be no reply; `WouldBlock` while neither is known.
///
/// The error queue is read first: while it has an entry, `recv` returns that error without its
/// sender.
fn read_reply(
    socket: &UdpSocket,
    destination: IpAddr,
    own: Option<IpAddr>,
) -> io::Result<Result<IpAddr, Reason>> {
    for _ in 0..MAX_ERRORS {
        match next_error(socket) {
            Ok(Some(error)) => return Ok(error.responder(destination, own)),
            Ok(None) => {}
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = [MaybeUninit::uninit(); 1];
    SockRef::from(socket).recv(&mut buffer)?;
    Ok(Ok(destination)) // a reply to the content itself
}

/// One entry of the error queue (`sock_extended_err`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct QueuedError {
    errno: i32,
    origin: u8,
    kind: u8,
    offender: Option<IpAddr>,
}

impl QueuedError {
    fn new(error: libc::sock_extended_err, offender: Option<IpAddr>) -> Self {
        let errno = i32::try_from(error.ee_errno).unwrap_or(libc::EIO);
        let offender =
            offender.map(|address| address.to_canonical()).filter(|address| !address.is_unspecified());
        Self { errno, origin: error.ee_origin, kind: error.ee_type, offender }
    }

    /// Returns who replied: the destination, or a router at which the hop limit ran out.
    ///
    /// A router that refuses to forward the packet does not count, because the packet did not get
    /// as far as it was meant to. Nor does an error from this machine itself, such as a neighbour
    /// that cannot be resolved.
    fn responder(self, destination: IpAddr, own: Option<IpAddr>) -> Result<IpAddr, Reason> {
        let expired = match self.origin {
            libc::SO_EE_ORIGIN_ICMP => self.kind == TIME_EXCEEDED_V4,
            libc::SO_EE_ORIGIN_ICMP6 => self.kind == TIME_EXCEEDED_V6,
            _ => return Err(describe_error(&io::Error::from_raw_os_error(self.errno))),
        };
        match self.offender {
            Some(by) if Some(by) == own && by != destination => Err(Reason::Unreachable),
            Some(by) if expired || by == destination => Ok(by),
            _ => Err(Reason::Unreachable),
        }
    }
}

/// Takes the next entry off the error queue; `None` if it is of another kind.
fn next_error(socket: &UdpSocket) -> Result<Option<QueuedError>, Errno> {
    let mut buffer = [0; PAYLOAD.len()];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let mut space = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    Ok(message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, offender) => Some(QueuedError::new(
            error,
            offender.map(|by| Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr)).into()),
        )),
        ControlMessageOwned::Ipv6RecvErr(error, offender) => {
            Some(QueuedError::new(error, offender.map(|by| Ipv6Addr::from(by.sin6_addr.s6_addr).into())))
        }
        _ => None,
    }))
}

/// Converts an error of the socket itself.
///
/// Missing permission means that a local firewall or a prohibit route refused the packet.
fn describe_error(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::PermissionDenied => Reason::Refused("this machine does not let the packet out".into()),
        _ => reason::of_io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATION: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn responder(origin: u8, kind: u8, offender: Option<IpAddr>) -> Result<IpAddr, Reason> {
        QueuedError { errno: libc::EHOSTUNREACH, origin, kind, offender }.responder(DESTINATION, Some(OWN))
    }

    #[test]
    fn only_the_destination_and_a_router_at_the_hop_limit_count_as_replies() {
        let icmp = libc::SO_EE_ORIGIN_ICMP;
        assert_eq!(responder(icmp, TIME_EXCEEDED_V4, Some(ROUTER)), Ok(ROUTER));
        assert_eq!(responder(icmp, 3, Some(DESTINATION)), Ok(DESTINATION));
        // A router without a route, this machine without a neighbour, an unknown sender.
        assert_eq!(responder(icmp, 3, Some(ROUTER)), Err(Reason::Unreachable));
        assert_eq!(responder(icmp, 3, Some(OWN)), Err(Reason::Unreachable));
        assert_eq!(responder(icmp, TIME_EXCEEDED_V4, None), Err(Reason::Unreachable));
        assert_eq!(responder(libc::SO_EE_ORIGIN_ICMP6, TIME_EXCEEDED_V6, Some(ROUTER)), Ok(ROUTER));
        assert_eq!(responder(libc::SO_EE_ORIGIN_LOCAL, 0, None), Err(Reason::Unreachable));
    }

    #[test]
    fn a_local_firewall_is_distinguished_from_a_missing_route() {
        let reason = |errno| describe_error(&io::Error::from_raw_os_error(errno));
        assert!(matches!(reason(libc::EPERM), Reason::Refused(_)));
        assert!(matches!(reason(libc::EACCES), Reason::Refused(_)));
        assert_eq!(reason(libc::ENETUNREACH), Reason::Unreachable);
        assert_eq!(reason(libc::EHOSTUNREACH), Reason::Unreachable);
    }
}
