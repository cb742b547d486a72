//! Leases and link states in lines such as `DNS=192.0.2.1`, as systemd-networkd writes them, and
//! NetworkManager's own client as well.

use super::lease::{Lease, network_of};
use std::net::IpAddr;

/// Parses a lease that was written at `written`, in seconds since 1970.
pub(super) fn parse_lease(text: &str, interface: Option<&str>, written: i64) -> Lease {
    let mut lease = Lease { interface: interface.map(str::to_owned), ..Lease::default() };
    let (mut address, mut mask): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    for (key, value) in assignments(text) {
        match key {
            "ADDRESS" => address = value.parse().ok(),
            "NETMASK" => mask = value.parse().ok(),
            "DNS" => servers(value).for_each(|server| lease.add_server(server)),
            "LIFETIME" => {
                lease.expires = parse_time_span(value).map(|lifetime| written.saturating_add(lifetime));
            }
            _ => {}
        }
    }
    lease.networks.extend(address.map(|address| network_of(address, mask)));
    lease
}

/// The state of a link as systemd-networkd records it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    /// Its resolvers: those of DHCP, of router advertisements, and of its configuration.
    pub servers: Vec<IpAddr>,
    /// The files of its configuration.
    pub configured_by: Vec<String>,
}

/// Parses the state of a link.
pub(super) fn parse_link_state(text: &str) -> LinkState {
    let mut state = LinkState::default();
    for (key, value) in assignments(text) {
        match key {
            "DNS" => state.servers.extend(servers(value)),
            "NETWORK_FILE" => state.configured_by.push(value.to_owned()),
            "NETWORK_FILE_DROPINS" => {
                state.configured_by.extend(value.trim_matches('"').split([':', ' ']).map(str::to_owned));
            }
            _ => {}
        }
    }
    state
}

/// Returns the servers that a configuration file of systemd-networkd names (systemd.network(5)).
pub(super) fn parse_configured(text: &str) -> Vec<IpAddr> {
    assignments(text).filter(|(key, _)| *key == "DNS").flat_map(|(_, value)| servers(value)).collect()
}

/// Returns the connection that NetworkManager uses on a device, from the file with its state.
pub(super) fn parse_connection(text: &str) -> Option<&str> {
    assignments(text).find(|(key, _)| *key == "connection-uuid").map(|(_, value)| value)
}

fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim()))
}

/// Parses servers such as `192.0.2.1`, `[2001:db8::53]:853%eth0#dns.example`.
fn servers(value: &str) -> impl Iterator<Item = IpAddr> {
    value.split_ascii_whitespace().filter_map(|word| {
        let word = word.trim_matches('"');
        let word = word.split(['#', '%']).next().unwrap_or_default();
        let bracketed = word.strip_prefix('[').and_then(|word| word.split_once(']'));
        let with_port = || word.split_once(':').map(|(address, _)| address);
        match bracketed {
            Some((address, _)) => address.parse().ok(),
            None => word.parse().ok().or_else(|| with_port()?.parse().ok()),
        }
    })
}

/// Parses a time span in seconds: `3600`, or in later versions `1h 30min`; an endless one is none.
fn parse_time_span(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds).filter(|seconds| *seconds < i64::from(u32::MAX));
    }
    let mut total: i64 = 0;
    for word in text.split_ascii_whitespace() {
        let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit())?);
        let seconds = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            "month" => 2_629_800,
            "y" => 31_557_600,
            "ms" | "us" => 0,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(seconds)?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addresses: &[IpAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lease_is_read_with_its_network_and_its_end() {
        let text = "# This is private data. Do not parse.\nADDRESS=192.0.2.7\nNETMASK=255.255.255.0\n\
                    ROUTER=192.0.2.1\nSERVER_ADDRESS=192.0.2.1\nT1=1800\nLIFETIME=3600\n\
                    DNS=192.0.2.1 192.0.2.2\nNTP=192.0.2.8\nDOMAINNAME=lan\n";
        let lease = parse_lease(text, Some("eth0"), 1_000);
        assert_eq!(texts(&lease.servers), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(lease.networks[0].to_string(), "192.0.2.7/24");
        assert_eq!(lease.expires, Some(4_600));
        assert_eq!(lease.interface.as_deref(), Some("eth0"));
        assert_eq!(parse_lease("", None, 0), Lease::default());
    }

    #[test]
    fn time_spans_of_old_and_new_versions_are_read() {
        for (text, seconds) in [
            ("3600", Some(3_600)),
            ("1h", Some(3_600)),
            ("1d 2h 30min 5s", Some(95_405)),
            ("4294967295", None),
            ("infinity", None),
            ("", None),
            ("1x", None),
            ("h", None),
            ("99999999999999999999y", None),
        ] {
            assert_eq!(parse_time_span(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_link_state_lists_resolvers_and_where_some_are_configured() {
        let text = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/eth.network\n\
                    NETWORK_FILE_DROPINS=\"/etc/systemd/network/eth.network.d/a.conf:/run/b.conf\"\n\
                    DNS=192.0.2.1 9.9.9.9#dns.quad9.net [2001:db8::53]:853 fe80::1%eth0 192.0.2.3:5353\n";
        let state = parse_link_state(text);
        let servers = ["192.0.2.1", "9.9.9.9", "2001:db8::53", "fe80::1", "192.0.2.3"];
        assert_eq!(texts(&state.servers), servers);
        assert_eq!(state.configured_by.len(), 3);
        let configured =
            parse_configured("[Network]\nDHCP=yes\n# DNS=192.0.2.9\nDNS = 9.9.9.9#dns.quad9.net\n");
        assert_eq!(texts(&configured), ["9.9.9.9"]);
    }

    #[test]
    fn the_connection_of_a_device_is_found() {
        let text = "[device]\nmanaged=true\nconnection-uuid=0f1e2d3c-0000-1111-2222-333344445555\n";
        assert_eq!(parse_connection(text), Some("0f1e2d3c-0000-1111-2222-333344445555"));
        assert_eq!(parse_connection("[device]\n"), None);
    }
}
