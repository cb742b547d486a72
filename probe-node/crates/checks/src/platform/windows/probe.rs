//! Probes through Windows' ICMP service: an echo request with few hops, since it reports a router's TimeExceeded to
//! anybody, which for UDP only administrators are told.

use super::{
    echo,
    interfaces::{self, Adapter},
};
use crate::platform::{Echo, Probe};
use ipnet::IpNet;
use sentinel_model::{Micros, Reason};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr::null,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::{HANDLE, INVALID_HANDLE_VALUE},
    NetworkManagement::IpHelper::{
        IP_OPTION_INFORMATION, Icmp6CreateFile, Icmp6SendEcho2, IcmpCloseHandle, IcmpCreateFile,
        IcmpSendEcho2Ex,
    },
    Networking::WinSock::{AF_INET6, IN6_ADDR, IN6_ADDR_0, SOCKADDR_IN6, SOCKADDR_IN6_0},
};

/// What the request carries.
const PAYLOAD: [u8; 8] = *b"sentinel";
/// As many routers as an ordinary packet may cross.
const USUAL_HOPS: u8 = 128;
/// A reply, what it quotes, and room for the service's own use, in words so that it is aligned as a reply must be.
const REPLY_WORDS: usize = 64;
/// The same in bytes.
const REPLY_BYTES: u32 = 512;

/// Sends one echo request and waits for the answer. The interface is chosen by its address: Windows sends what has an
/// interface's address by that interface alone (the strong host model).
pub(super) fn send(probe: &Probe) -> Result<Echo, Reason> {
    let destination = probe.destination.ip();
    let all = interfaces::adapters()?;
    let source = match &probe.interface {
        Some(name) => Some(source(&all, name, destination)?),
        None => None,
    };
    let hops = probe.hops.unwrap_or(USUAL_HOPS);
    let started = Instant::now();
    let answered = match destination {
        IpAddr::V4(to) => v4(v4_of(source), to, hops, probe.budget),
        IpAddr::V6(to) => v6(v6_of(source), to, hops, probe.budget),
    };
    let elapsed = started.elapsed();
    let bytes = answered.map_err(|error| refusal(&error))?;
    let (by, status) = echo::reply(&bytes, destination.is_ipv6())
        .ok_or_else(|| Reason::Malformed("the ICMP service's reply is too short".into()))?;
    let by = echo::answer(by, status, &interfaces::own_addresses(&all))?;
    Ok(Echo { by, rtt: Micros(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX)) })
}

/// The interface's address that reaches as far as the destination.
fn source(all: &[Adapter], name: &str, destination: IpAddr) -> Result<IpAddr, Reason> {
    let adapter = all.iter().find(|adapter| adapter.interface.name == name || adapter.guid == name);
    let adapter = adapter.ok_or_else(|| Reason::Failed(format!("there is no interface called {name}")))?;
    let is_local = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mut own = adapter.interface.addresses.iter().map(IpNet::addr);
    own.find(|own| own.is_ipv4() == destination.is_ipv4() && is_local(*own) == is_local(destination))
        .ok_or(Reason::Unreachable)
}

fn v4_of(source: Option<IpAddr>) -> Ipv4Addr {
    match source {
        Some(IpAddr::V4(v4)) => v4,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

fn v6_of(source: Option<IpAddr>) -> Ipv6Addr {
    match source {
        Some(IpAddr::V6(v6)) => v6,
        _ => Ipv6Addr::UNSPECIFIED,
    }
}

fn refusal(error: &io::Error) -> Reason {
    let code = error.raw_os_error().and_then(|code| u32::try_from(code).ok());
    code.map_or_else(|| Reason::Failed(error.to_string()), echo::refusal)
}

/// An open ICMP handle.
struct Service(HANDLE);

impl Service {
    fn new(handle: HANDLE) -> io::Result<Self> {
        if handle == INVALID_HANDLE_VALUE { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }
}

impl Drop for Service {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle came from IcmpCreateFile or Icmp6CreateFile and is closed once.
        unsafe { IcmpCloseHandle(self.0) };
    }
}

#[allow(unsafe_code)]
fn v4(source: Ipv4Addr, to: Ipv4Addr, hops: u8, budget: Duration) -> io::Result<Vec<u8>> {
    // SAFETY: the function takes nothing.
    let service = Service::new(unsafe { IcmpCreateFile() })?;
    let (options, mut reply) = (options(hops), [0_u64; REPLY_WORDS]);
    // SAFETY: the call returns after the answer, since neither an event nor a routine is given; until then every
    // pointer is to a value of this function with the size told beside it. Addresses are in network order in memory.
    let replies = unsafe {
        IcmpSendEcho2Ex(
            service.0,
            std::ptr::null_mut(),
            None,
            null(),
            u32::from_ne_bytes(source.octets()),
            u32::from_ne_bytes(to.octets()),
            PAYLOAD.as_ptr().cast(),
            8,
            &raw const options,
            reply.as_mut_ptr().cast(),
            REPLY_BYTES,
            millis(budget),
        )
    };
    answered(replies, &reply)
}

#[allow(unsafe_code)]
fn v6(source: Ipv6Addr, to: Ipv6Addr, hops: u8, budget: Duration) -> io::Result<Vec<u8>> {
    // SAFETY: the function takes nothing.
    let service = Service::new(unsafe { Icmp6CreateFile() })?;
    let (options, mut reply) = (options(hops), [0_u64; REPLY_WORDS]);
    let (source, to) = (socket_address(source), socket_address(to));
    // SAFETY: as for IPv4.
    let replies = unsafe {
        Icmp6SendEcho2(
            service.0,
            std::ptr::null_mut(),
            None,
            null(),
            &raw const source,
            &raw const to,
            PAYLOAD.as_ptr().cast(),
            8,
            &raw const options,
            reply.as_mut_ptr().cast(),
            REPLY_BYTES,
            millis(budget),
        )
    };
    answered(replies, &reply)
}

fn options(hops: u8) -> IP_OPTION_INFORMATION {
    IP_OPTION_INFORMATION { Ttl: hops, ..IP_OPTION_INFORMATION::default() }
}

fn socket_address(address: Ipv6Addr) -> SOCKADDR_IN6 {
    SOCKADDR_IN6 {
        sin6_family: AF_INET6,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: IN6_ADDR { u: IN6_ADDR_0 { Byte: address.octets() } },
        Anonymous: SOCKADDR_IN6_0 { sin6_scope_id: 0 },
    }
}

fn millis(budget: Duration) -> u32 {
    u32::try_from(budget.as_millis()).unwrap_or(u32::MAX).max(1)
}

fn answered(replies: u32, reply: &[u64; REPLY_WORDS]) -> io::Result<Vec<u8>> {
    if replies == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(reply.iter().flat_map(|word| word.to_ne_bytes()).collect())
}
