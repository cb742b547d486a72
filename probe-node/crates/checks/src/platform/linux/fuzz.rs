//! Entry points for fuzzing the file parsers.

use super::{leases, resolv_conf, sockets};

/// Parses `resolv.conf`.
pub(crate) fn resolv_conf(bytes: &[u8]) {
    let _ = resolv_conf::parse(bytes);
}

/// Parses a lease file in each of the formats.
pub(crate) fn leases(text: &str) {
    let _ = leases::parse_assignments(text, Some("eth0"));
    let _ = leases::parse_dhclient(text);
}

/// Decodes a datagram of the socket table.
pub(crate) fn socket_table(datagram: &[u8]) {
    sockets::decode(datagram);
}
