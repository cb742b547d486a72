//! Probes: a UDP packet with few hops, and the routers' answers on an ICMP socket, which macOS opens for anybody.

use super::{icmp, routes};
use crate::{
    platform::{Echo, Probe},
    reason,
};
use sentinel_model::{Micros, Reason};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

/// What the packet carries: no protocol's first bytes.
const PAYLOAD: [u8; 8] = [0; 8];
/// The beginning of an ICMP message is enough.
const LONGEST: usize = 512;

/// Sends one packet and waits for the answer.
pub(super) async fn send(probe: &Probe) -> Result<Echo, Reason> {
    let (udp, icmp) = open(probe).map_err(|error| reason::of_io(&error))?;
    let port = udp.local_addr().map_err(|error| reason::of_io(&error))?.port();
    let started = Instant::now();
    udp.send(&PAYLOAD).await.map_err(|error| reason::of_io(&error))?;
    let by = timeout_at(started + probe.budget, answer(&udp, &icmp, probe.destination, port)).await;
    let by = by.map_err(|_| Reason::TimedOut)?.map_err(|error| reason::of_io(&error))?;
    let rtt = Micros(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    Ok(Echo { by, rtt })
}

/// The socket to send by, connected, and the one to hear errors on.
fn open(probe: &Probe) -> io::Result<(UdpSocket, UdpSocket)> {
    let v6 = probe.destination.is_ipv6();
    let (domain, protocol) =
        if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let icmp = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    let udp = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(interface) = &probe.interface {
        routes::bind(&udp, interface)?;
    }
    match probe.hops.map(u32::from) {
        Some(hops) if v6 => udp.set_unicast_hops_v6(hops)?,
        Some(hops) => udp.set_ttl_v4(hops)?,
        None => {}
    }
    udp.connect(&probe.destination.into())?;
    Ok((asynchronous(udp)?, asynchronous(icmp)?))
}

fn asynchronous(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Who answered: the destination on the UDP socket, or anybody whose error quotes our packet.
async fn answer(udp: &UdpSocket, icmp: &UdpSocket, destination: SocketAddr, port: u16) -> io::Result<IpAddr> {
    let (mut reply, mut error) = ([0; 1], [0; LONGEST]);
    loop {
        tokio::select! {
            received = udp.recv(&mut reply) => match received {
                Ok(_) => return Ok(destination.ip()),
                // The destination itself says that nothing listens there.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(destination.ip()),
                // A router's error; who it was comes on the other socket.
                Err(_) => {}
            },
            received = icmp.recv_from(&mut error) => {
                let (length, by) = received?;
                let message = error.get(..length).unwrap_or_default();
                let quoted = if by.is_ipv6() { icmp::quoted_v6(message) } else { icmp::quoted_v4(message) };
                if quoted.is_some_and(|quoted| quoted.source_port == port && quoted.destination == destination) {
                    return Ok(by.ip());
                }
            }
        }
    }
}
