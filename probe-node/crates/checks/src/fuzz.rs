//! Entry points of the fuzzer to the decoders of this crate.
//!
//! Compiled by cargo-fuzz only, which sets `cfg(fuzzing)`.

use crate::{
    checks::exit::https_echo as echo_check,
    dns::{udp, whoami as whoami_answer},
    ownership::zone,
    protocols::stun,
};
use hickory_resolver::proto::{
    op::Message,
    rr::{RData, rdata::TXT},
};

/// Decodes a STUN response; with `repair`, its header is made valid first, to reach the attributes.
pub fn stun_response(bytes: &[u8], repair: bool) {
    stun::fuzz(bytes, repair);
}

/// Parses the body of an HTTPS service's response, which should be an address.
pub fn https_echo(body: &[u8]) {
    let _ = echo_check::parse_body(body);
}

/// Parses a DNS answer to a whoami question.
pub fn whoami(packet: &[u8]) {
    let Ok(message) = Message::from_vec(packet) else { return };
    let texts: Vec<&TXT> = message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text),
            _ => None,
        })
        .collect();
    let _ = whoami_answer::egress_addresses(texts.into_iter());
}

/// Decodes a datagram as an answer over plain DNS.
pub fn dns(packet: &[u8]) {
    let _ = udp::fuzz(packet);
}

/// Parses the answers of a zone that reports who operates an address.
pub fn ownership(text: &str) {
    let _ = (zone::parse_origin(text), zone::parse_operator(text));
}

/// Parses `resolv.conf`.
#[cfg(target_os = "linux")]
pub fn resolv_conf(bytes: &[u8]) {
    crate::platform::linux::fuzz::resolv_conf(bytes);
}

/// Parses `nsswitch.conf`.
#[cfg(target_os = "linux")]
pub fn nsswitch(bytes: &[u8]) {
    crate::platform::linux::fuzz::nsswitch(bytes);
}

/// Parses DHCP lease files in every supported format.
#[cfg(target_os = "linux")]
pub fn leases(bytes: &[u8]) {
    crate::platform::linux::fuzz::leases(bytes);
}

/// Decodes a datagram of the kernel's socket table.
#[cfg(target_os = "linux")]
pub fn socket_table(datagram: &[u8]) {
    crate::platform::linux::fuzz::socket_table(datagram);
}

/// Parses the body of a netlink message: a rule, a route, an IPsec policy, a WireGuard device.
#[cfg(target_os = "linux")]
pub fn netlink(bytes: &[u8]) {
    crate::platform::linux::fuzz::netlink(bytes);
}

/// Parses a WireGuard program's configuration, the description of an open file, and socket tables.
#[cfg(target_os = "linux")]
pub fn far_ends(text: &str) {
    crate::platform::linux::fuzz::far_ends(text);
}
