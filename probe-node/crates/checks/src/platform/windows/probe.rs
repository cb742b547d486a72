//! Sends an ICMP echo request through the ICMP service.
//!
//! That service reports a router's Time Exceeded without privileges. For UDP, Windows reports it to
//! administrators only.

use super::{
    icmp,
    interfaces::{self, Adapter},
};
use crate::platform::api::{Probe, ProbeReply};
use ipnet::IpNet;
use sentinel_model::{Micros, Reason, is_link_local};
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

/// The content of the request.
const PAYLOAD: [u8; 8] = *b"sentinel";
/// The hop limit of an ordinary packet.
const DEFAULT_HOP_LIMIT: u8 = 128;
/// The size of the buffer for a reply, in words, which give it the alignment that a reply needs.
///
/// It has room for the reply, the packet quoted in it, and the service's own use.
const REPLY_WORDS: usize = 64;
/// The size of the same buffer in bytes.
const REPLY_BYTES: u32 = 512;

/// Sends one echo request and waits for the reply.
///
/// The interface is selected by its address: a packet with an interface's source address leaves by
/// that interface only (the strong host model).
pub(super) fn send(probe: &Probe) -> Result<ProbeReply, Reason> {
    let destination = probe.destination.ip();
    let all = interfaces::list_adapters()?;
    let source = match &probe.interface {
        Some(name) => Some(select_source(&all, name, destination)?),
        None => None,
    };
    let hop_limit = probe.hop_limit.unwrap_or(DEFAULT_HOP_LIMIT);
    let started = Instant::now();
    let result = match destination {
        IpAddr::V4(to) => send_v4(source_v4(source), to, hop_limit, probe.budget),
        IpAddr::V6(to) => send_v6(source_v6(source), to, hop_limit, probe.budget),
    };
    let elapsed = started.elapsed();
    let bytes = result.map_err(|error| describe_error(&error))?;
    let (sender, status) = icmp::parse_reply(&bytes, destination.is_ipv6())
        .ok_or_else(|| Reason::Malformed("the ICMP service's reply is too short".into()))?;
    let responder = icmp::find_responder(sender, status, &interfaces::own_addresses(&all))?;
    Ok(ProbeReply { responder, rtt: Micros(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX)) })
}

/// Returns the address of the interface to send from.
///
/// It is of the destination's family, and link-local exactly if the destination is.
fn select_source(all: &[Adapter], name: &str, destination: IpAddr) -> Result<IpAddr, Reason> {
    let adapter = all.iter().find(|adapter| adapter.interface.name == name || adapter.guid == name);
    let adapter = adapter.ok_or_else(|| Reason::Failed(format!("there is no interface called {name}")))?;
    let mut own = adapter.interface.addresses.iter().map(IpNet::addr);
    own.find(|own| {
        own.is_ipv4() == destination.is_ipv4() && is_link_local(*own) == is_link_local(destination)
    })
    .ok_or(Reason::Unreachable)
}

fn source_v4(source: Option<IpAddr>) -> Ipv4Addr {
    match source {
        Some(IpAddr::V4(v4)) => v4,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

fn source_v6(source: Option<IpAddr>) -> Ipv6Addr {
    match source {
        Some(IpAddr::V6(v6)) => v6,
        _ => Ipv6Addr::UNSPECIFIED,
    }
}

fn describe_error(error: &io::Error) -> Reason {
    let code = error.raw_os_error().and_then(|code| u32::try_from(code).ok());
    code.map_or_else(|| Reason::Failed(error.to_string()), icmp::describe_status)
}

/// An open handle of the ICMP service.
struct IcmpHandle(HANDLE);

impl IcmpHandle {
    fn new(handle: HANDLE) -> io::Result<Self> {
        if handle == INVALID_HANDLE_VALUE { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }
}

impl Drop for IcmpHandle {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle came from IcmpCreateFile or Icmp6CreateFile and is closed once.
        unsafe { IcmpCloseHandle(self.0) };
    }
}

#[allow(unsafe_code)]
fn send_v4(source: Ipv4Addr, to: Ipv4Addr, hop_limit: u8, budget: Duration) -> io::Result<Vec<u8>> {
    // SAFETY: the function has no parameters.
    let service = IcmpHandle::new(unsafe { IcmpCreateFile() })?;
    let (options, mut reply) = (ip_options(hop_limit), [0_u64; REPLY_WORDS]);
    // SAFETY: without an event and a callback, the call returns after the reply. Until then, every
    // pointer refers to a value of this function, of the size passed with it. Addresses are in
    // network byte order in memory.
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
    collect_reply(replies, &reply)
}

#[allow(unsafe_code)]
fn send_v6(source: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, budget: Duration) -> io::Result<Vec<u8>> {
    // SAFETY: the function has no parameters.
    let service = IcmpHandle::new(unsafe { Icmp6CreateFile() })?;
    let (options, mut reply) = (ip_options(hop_limit), [0_u64; REPLY_WORDS]);
    let (source, to) = (convert_address(source), convert_address(to));
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
    collect_reply(replies, &reply)
}

fn ip_options(hop_limit: u8) -> IP_OPTION_INFORMATION {
    IP_OPTION_INFORMATION { Ttl: hop_limit, ..IP_OPTION_INFORMATION::default() }
}

fn convert_address(address: Ipv6Addr) -> SOCKADDR_IN6 {
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

fn collect_reply(replies: u32, reply: &[u64; REPLY_WORDS]) -> io::Result<Vec<u8>> {
    if replies == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(reply.iter().flat_map(|word| word.to_ne_bytes()).collect())
}
