//! Lists of servers in the forms that programs read.

use std::net::IpAddr;

/// Returns the lines of a `resolv.conf`.
pub(super) fn nameserver_lines(servers: &[IpAddr]) -> String {
    servers.iter().map(|server| format!("nameserver {server}\n")).collect::<Vec<_>>().concat()
}

/// Returns the addresses in text form.
pub(super) fn addresses(servers: &[IpAddr]) -> Vec<String> {
    servers.iter().map(ToString::to_string).collect()
}
