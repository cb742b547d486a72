//! One small UDP packet, and what the network says to it. The kernel hands ICMP errors about a socket's own packets to
//! that socket's error queue (`IP_RECVERR`, ip(7)), so neither a raw socket nor a privilege is needed.

use crate::{
    platform::{Echo, Probe},
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

/// What the packet carries: nothing that says who sent it.
const PAYLOAD: [u8; 8] = [0; 8];
/// More errors than one packet can cause.
const MAX_ERRORS: usize = 8;

/// ICMP types and codes (RFC 792, RFC 4443).
const TIME_EXCEEDED_V4: u8 = 11;
const TIME_EXCEEDED_V6: u8 = 3;

/// Sends the packet and waits for the first word about it.
pub(super) async fn send(probe: &Probe) -> Result<Echo, Reason> {
    let socket = open(probe).map_err(|error| refused(&error))?;
    let own = socket.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.ip());
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| reason::of_io(&error))?;
    let sent = Instant::now();
    SockRef::from(&socket).send(&PAYLOAD).map_err(|error| refused(&error))?;
    let interest = Interest::READABLE | Interest::ERROR;
    let heard = socket.async_io(interest, || look(&socket, probe.destination.ip(), own));
    let heard = timeout(probe.budget, heard).await.map_err(|_| Reason::TimedOut)?;
    let by = heard.map_err(|error| refused(&error))??;
    Ok(Echo { by, rtt: Micros::from(sent.elapsed()) })
}

/// A socket connected to the destination, so that only what concerns this packet reaches it.
fn open(probe: &Probe) -> io::Result<Socket> {
    let destination = probe.destination;
    let socket = Socket::new(Domain::for_address(destination), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = &probe.interface {
        // Lack of permission to bind says nothing about the packet.
        bind(&socket, interface)
            .map_err(|error| io::Error::other(format!("binding to it failed: {error}")))?;
    }
    match destination {
        SocketAddr::V4(_) => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            if let Some(hops) = probe.hops {
                socket.set_ttl_v4(hops.into())?;
            }
        }
        SocketAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            if let Some(hops) = probe.hops {
                socket.set_unicast_hops_v6(hops.into())?;
            }
        }
    }
    socket.connect(&destination.into())?;
    Ok(socket)
}

/// Makes a socket use this interface. Needs no privilege since Linux 5.7, as long as it was not bound before.
pub(super) fn bind(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

/// Who answered, or why nobody will; `WouldBlock` while there is no word. The error queue comes first: with something in
/// it, `recv` gives the error alone and not who sent it.
fn look(socket: &UdpSocket, destination: IpAddr, own: Option<IpAddr>) -> io::Result<Result<IpAddr, Reason>> {
    for _ in 0..MAX_ERRORS {
        match next_error(socket) {
            Ok(Some(error)) => return Ok(error.meaning(destination, own)),
            Ok(None) => {}
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = [MaybeUninit::uninit(); 1];
    SockRef::from(socket).recv(&mut buffer)?;
    Ok(Ok(destination)) // it even understood
}

/// One entry of the error queue.
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

    /// Who answered. A router that will not pass the packet on is no answer from where the packet was to get; neither
    /// is what this machine says to itself, such as "no such neighbour".
    fn meaning(self, destination: IpAddr, own: Option<IpAddr>) -> Result<IpAddr, Reason> {
        let expired = match self.origin {
            libc::SO_EE_ORIGIN_ICMP => self.kind == TIME_EXCEEDED_V4,
            libc::SO_EE_ORIGIN_ICMP6 => self.kind == TIME_EXCEEDED_V6,
            _ => return Err(refused(&io::Error::from_raw_os_error(self.errno))),
        };
        match self.offender {
            Some(by) if Some(by) == own && by != destination => Err(Reason::Unreachable),
            Some(by) if expired || by == destination => Ok(by),
            _ => Err(Reason::Unreachable),
        }
    }
}

/// The next entry; `None` if it was one of another kind.
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

/// An error of the socket itself. Lack of permission is a local firewall's word, or a prohibiting route's.
fn refused(error: &io::Error) -> Reason {
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

    fn meaning(origin: u8, kind: u8, offender: Option<IpAddr>) -> Result<IpAddr, Reason> {
        QueuedError { errno: libc::EHOSTUNREACH, origin, kind, offender }.meaning(DESTINATION, Some(OWN))
    }

    #[test]
    fn only_the_destination_and_a_router_whose_hops_ran_out_answer() {
        let icmp = libc::SO_EE_ORIGIN_ICMP;
        assert_eq!(meaning(icmp, TIME_EXCEEDED_V4, Some(ROUTER)), Ok(ROUTER));
        assert_eq!(meaning(icmp, 3, Some(DESTINATION)), Ok(DESTINATION));
        // A router without a way there, this machine without a neighbour, nobody in particular.
        assert_eq!(meaning(icmp, 3, Some(ROUTER)), Err(Reason::Unreachable));
        assert_eq!(meaning(icmp, 3, Some(OWN)), Err(Reason::Unreachable));
        assert_eq!(meaning(icmp, TIME_EXCEEDED_V4, None), Err(Reason::Unreachable));
        assert_eq!(meaning(libc::SO_EE_ORIGIN_ICMP6, TIME_EXCEEDED_V6, Some(ROUTER)), Ok(ROUTER));
        assert_eq!(meaning(libc::SO_EE_ORIGIN_LOCAL, 0, None), Err(Reason::Unreachable));
    }

    #[test]
    fn a_firewall_of_this_machine_is_told_from_a_missing_route() {
        let of = |errno| refused(&io::Error::from_raw_os_error(errno));
        assert!(matches!(of(libc::EPERM), Reason::Refused(_)));
        assert!(matches!(of(libc::EACCES), Reason::Refused(_)));
        assert_eq!(of(libc::ENETUNREACH), Reason::Unreachable);
        assert_eq!(of(libc::EHOSTUNREACH), Reason::Unreachable);
    }
}
