//! The sockets of given processes, from the kernel's tables in `/proc/net` (proc(5)).

use sentinel_model::is_link_local;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

/// More of a table is not read.
const MAX_TABLE: u64 = 8 * 1024 * 1024;
/// The longest row; one without an end is not read further.
const MAX_ROW: u64 = 1024;
/// The state of a connected TCP socket.
const ESTABLISHED: &str = "01";
const DNS_PORT: u16 = 53;
const INODE_COLUMN: usize = 9;

/// What the sockets of some processes are connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnedSockets {
    /// The peers of connected sockets; not resolvers, and none on this machine.
    pub connected: BTreeSet<IpAddr>,
    /// Whether there is a UDP socket without a peer.
    pub has_unconnected: bool,
}

impl OwnedSockets {
    /// Finds the sockets with these inode numbers; ends when the time is up.
    pub fn find(inodes: &BTreeSet<u64>, until: Instant) -> Self {
        let mut found = Self::default();
        for (table, is_tcp) in [("udp", false), ("udp6", false), ("tcp", true), ("tcp6", true)] {
            // Of the thread, whose network namespace may differ from the process's.
            let Ok(file) = File::open(format!("/proc/thread-self/net/{table}")) else { continue };
            found.read_table(BufReader::new(file.take(MAX_TABLE)), is_tcp, inodes, until);
        }
        found
    }

    fn read_table(&mut self, mut table: impl BufRead, is_tcp: bool, inodes: &BTreeSet<u64>, until: Instant) {
        let mut row = String::new();
        while Instant::now() < until {
            row.clear();
            match table.by_ref().take(MAX_ROW).read_line(&mut row) {
                Ok(length) if length > 0 => {}
                _ => return,
            }
            if let Some(socket) = parse_socket(&row).filter(|socket| inodes.contains(&socket.inode)) {
                self.add(&socket, is_tcp);
            }
        }
    }

    fn add(&mut self, socket: &SocketRow, is_tcp: bool) {
        let (address, port) = (socket.remote.ip().to_canonical(), socket.remote.port());
        if address.is_unspecified() {
            self.has_unconnected |= !is_tcp;
        } else if (!is_tcp && port != DNS_PORT || is_tcp && socket.is_established)
            && !address.is_loopback()
            && !is_link_local(address)
        {
            self.connected.insert(address);
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketRow {
    remote: SocketAddr,
    is_established: bool,
    inode: u64,
}

/// Parses a row of a table; `None` for the heading, or one that is malformed.
pub(crate) fn parse_socket(row: &str) -> Option<SocketRow> {
    let mut columns = row.split_ascii_whitespace();
    let remote = parse_address(columns.nth(2)?)?;
    let is_established = columns.next()? == ESTABLISHED;
    let inode = columns.nth(INODE_COLUMN - 4)?.parse().ok()?;
    Some(SocketRow { remote, is_established, inode })
}

/// Parses an address as the kernel prints it: words in the machine's byte order, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..(at + 1) * 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_flattened()).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use std::time::Duration;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    fn row(remote: &str, state: &str, inode: &str) -> String {
        format!(
            "  12: 00000000:1194 {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 2 x 0"
        )
    }

    #[test]
    fn peers_of_the_given_sockets_are_found_and_resolvers_and_others_are_not() {
        let table = [
            HEADING.to_owned(),
            row("077100CB:04AA", "01", "11"), // 203.0.113.7
            row("087100CB:0035", "01", "12"), // a resolver
            row("0100007F:04AA", "01", "13"), // this machine
            row("00000000:0000", "07", "14"), // no peer
            row("097100CB:04AA", "01", "99"), // another process's
            row("B80D0120000000000000000007000000:04AA", "01", "15"), // 2001:db8::7
        ]
        .join("\n");
        let inodes = BTreeSet::from([11, 12, 13, 14, 15]);
        let until = Instant::now() + Duration::from_mins(1);
        let mut found = OwnedSockets::default();
        found.read_table(table.as_bytes(), false, &inodes, until);
        assert!(found.has_unconnected);
        let expected: BTreeSet<IpAddr> =
            ["203.0.113.7", "2001:db8::7"].map(|text| text.parse().unwrap()).into();
        assert_eq!(found.connected, expected);

        let mut tcp = OwnedSockets::default();
        tcp.read_table(row("077100CB:01BB", "06", "11").as_bytes(), true, &inodes, until);
        assert_eq!(tcp, OwnedSockets::default(), "a connection that is over");
    }

    #[test]
    fn hostile_rows_are_left_out() {
        let endless = "7".repeat(5000);
        for bad in [
            "",
            " ",
            HEADING,
            "1: 2 3 4",
            &row("0771:04AA", "01", "11"),
            &row("0771ÄÖ00:1", "01", "11"),
            &endless,
        ] {
            assert_eq!(parse_socket(bad), None, "{bad}");
        }
        assert_eq!(parse_socket(&row("077100CB:04AA", "01", "-1")), None);
    }
}
