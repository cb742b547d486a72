//! Sends a UDP packet and receives ICMP errors about it.
//!
//! macOS opens ICMP sockets without privileges.

use super::{icmp, routes};
use crate::{
    platform::api::{Probe, ProbeReply},
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

/// The packet's content, which is not the start of any protocol's message.
const PAYLOAD: [u8; 8] = [0; 8];
/// How much to read of an ICMP message; its beginning is sufficient.
const MAX_MESSAGE: usize = 512;

/// Sends the packet and waits for the first reply to it.
pub(super) async fn send(probe: &Probe) -> Result<ProbeReply, Reason> {
    let (udp, icmp) = open_sockets(probe).map_err(|error| reason::of_io(&error))?;
    let port = udp.local_addr().map_err(|error| reason::of_io(&error))?.port();
    let started = Instant::now();
    udp.send(&PAYLOAD).await.map_err(|error| reason::of_io(&error))?;
    let responder =
        timeout_at(started + probe.budget, receive_reply(&udp, &icmp, probe.destination, port)).await;
    let responder = responder.map_err(|_| Reason::TimedOut)?.map_err(|error| reason::of_io(&error))?;
    let rtt = Micros(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    Ok(ProbeReply { responder, rtt })
}

/// Opens the connected socket to send from, and the socket to receive ICMP errors on.
fn open_sockets(probe: &Probe) -> io::Result<(UdpSocket, UdpSocket)> {
    let v6 = probe.destination.is_ipv6();
    let (domain, protocol) =
        if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let icmp = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    let udp = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(interface) = &probe.interface {
        routes::bind_to_interface(&udp, interface)?;
    }
    match probe.hop_limit.map(u32::from) {
        Some(limit) if v6 => udp.set_unicast_hops_v6(limit)?,
        Some(limit) => udp.set_ttl_v4(limit)?,
        None => {}
    }
    udp.connect(&probe.destination.into())?;
    Ok((into_async(udp)?, into_async(icmp)?))
}

fn into_async(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Returns who replied: the destination, or the sender of an ICMP error that quotes the packet.
async fn receive_reply(
    udp: &UdpSocket,
    icmp: &UdpSocket,
    destination: SocketAddr,
    port: u16,
) -> io::Result<IpAddr> {
    let (mut reply, mut error) = ([0; 1], [0; MAX_MESSAGE]);
    loop {
        tokio::select! {
            received = udp.recv(&mut reply) => match received {
                Ok(_) => return Ok(destination.ip()),
                // The destination replied that nothing listens on the port.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(destination.ip()),
                // A router's error, whose sender is received on the other socket.
                Err(_) => {}
            },
            received = icmp.recv_from(&mut error) => {
                let (length, sender) = received?;
                let message = error.get(..length).unwrap_or_default();
                let quoted = if sender.is_ipv6() { icmp::parse_v6(message) } else { icmp::parse_v4(message) };
                if quoted.is_some_and(|quoted| quoted.source_port == port && quoted.destination == destination) {
                    return Ok(sender.ip());
                }
            }
        }
    }
}
