//! What the fuzzer reaches of the decoders here. Built by cargo-fuzz only, which sets `cfg(fuzzing)`.

use crate::{https_echo, ownership, stun, udp, whoami};
use hickory_resolver::proto::{
    op::Message,
    rr::{RData, rdata::TXT},
};

/// A STUN response. With `repair` its header is made right, so that what lies behind it is reached.
pub fn stun_response(bytes: &[u8], repair: bool) {
    stun::fuzz(bytes, repair);
}

/// The body of an HTTPS service that should hold an address.
pub fn https_echo(body: &[u8]) {
    let _ = https_echo::parse(body);
}

/// A DNS answer to a question for who asks.
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
    let _ = whoami::egress_addresses(texts.into_iter());
}

/// A datagram in place of an answer over plain DNS.
pub fn dns(packet: &[u8]) {
    let _ = udp::fuzz(packet);
}

/// What a zone answers that tells who operates an address.
pub fn ownership(text: &str) {
    let _ = (ownership::origin(text), ownership::operator(text));
}

/// `resolv.conf`.
#[cfg(target_os = "linux")]
pub fn resolv_conf(bytes: &[u8]) {
    crate::platform::linux::fuzz::resolv_conf(bytes);
}

/// Lease files in every form.
#[cfg(target_os = "linux")]
pub fn leases(text: &str) {
    crate::platform::linux::fuzz::leases(text);
}
