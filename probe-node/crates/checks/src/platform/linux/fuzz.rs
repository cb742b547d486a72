//! Entry points for fuzzing the file parsers.

use super::{c_library::CLibrary, inet_aton, leases, nsswitch, resolv_conf, sockets};

/// Parses `resolv.conf` as each C library does.
pub(crate) fn resolv_conf(bytes: &[u8]) {
    for library in [CLibrary::Glibc, CLibrary::Musl] {
        let _ = resolv_conf::parse(bytes, library);
    }
    let _ = str::from_utf8(bytes).map(inet_aton::parse);
}

/// Parses `nsswitch.conf`.
pub(crate) fn nsswitch(bytes: &[u8]) {
    let _ = nsswitch::parse(bytes);
}

/// Parses a lease file in each of the formats.
pub(crate) fn leases(bytes: &[u8]) {
    leases::fuzz(bytes);
}

/// Decodes a datagram of the socket table.
pub(crate) fn socket_table(datagram: &[u8]) {
    sockets::decode(datagram);
}
