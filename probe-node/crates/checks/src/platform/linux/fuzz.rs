//! The parsers of files, for the fuzzer.

use super::{leases, resolv_conf};

/// `resolv.conf`.
pub(crate) fn resolv_conf(bytes: &[u8]) {
    let _ = resolv_conf::parse(bytes);
}

/// Lease files in every form.
pub(crate) fn leases(text: &str) {
    let _ = leases::assignments(text, Some("eth0"));
    let _ = leases::dhclient(text);
}
