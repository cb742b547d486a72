//! Entry points for fuzzing the parsers of files and of the kernel's messages.

use super::{
    c_library::CLibrary, far_ends, inet_aton, ipsec, leases, nsswitch, resolv_conf, route_entry::RouteEntry,
    routes, routing_rules, sockets,
};

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

/// Parses the body of a netlink message as everything that may be in one.
pub(crate) fn netlink(bytes: &[u8]) {
    let _ = routing_rules::parse_rule(bytes, 0);
    let _ = RouteEntry::parse(bytes);
    let _ = routes::parse_reply(bytes);
    let _ = (ipsec::parse_policy(bytes, true), ipsec::parse_association(bytes));
    let _ = far_ends::parse_device(bytes).count();
}

/// Parses what programs and `/proc` say of tunnels and sockets.
pub(crate) fn far_ends(text: &str) {
    let _ = far_ends::parse_configuration(text);
    let _ = far_ends::parse_device_name(text);
    let _ = text.lines().filter_map(far_ends::parse_socket).count();
}
