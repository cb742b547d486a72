//! The peers of WireGuard interfaces, in the kernel or in a program.
//!
//! The kernel shows them over generic netlink (linux/wireguard.h) to `CAP_NET_ADMIN`. Programs
//! serve the cross-platform configuration protocol on a Unix socket per interface.

use super::super::{
    attributes::{attributes, push_attribute, read_address, read_u16},
    interfaces::{info_kind, link_name},
    kernel_socket::KernelSocket,
};
use netlink_packet_route::link::{InfoKind, LinkMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Where programs keep their sockets: `wg0.sock` for the interface `wg0`.
const DIRECTORIES: [&str; 4] =
    ["/var/run/wireguard", "/run/amneziawg", "/var/run/amneziawg", "/run/wireguard"];
/// How long a program may take to answer.
const BUDGET: Duration = Duration::from_millis(100);
/// More than the configuration of a mesh.
const MAX_ANSWER: u64 = 256 * 1024;
/// More peers than are far ends of one machine's tunnels.
const MAX_PEERS: usize = 64;
/// The most interfaces looked into.
const MAX_DEVICES: usize = 16;

// Generic netlink (linux/genetlink.h).
const GENL_ID_CTRL: u16 = 16;
const GENL_HEADER: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const WG_CMD_GET_DEVICE: u8 = 0;
const WGDEVICE_A_IFINDEX: u16 = 1;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_ENDPOINT: u16 = 4;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The peers of all WireGuard interfaces.
#[derive(Debug, Default)]
pub(super) struct WireguardPeers {
    /// The peers' addresses.
    pub endpoints: BTreeSet<IpAddr>,
    /// The interfaces whose peers are known.
    pub devices: BTreeSet<String>,
}

/// Finds the peers of the WireGuard interfaces among these links, as far as they are readable.
pub(super) async fn find_peers(links: &[&LinkMessage]) -> WireguardPeers {
    let mut found = WireguardPeers::default();
    let mut left = MAX_DEVICES;
    for link in links {
        let peers = match info_kind(link) {
            Some(InfoKind::Wireguard) => kernel_peers("wireguard", link.header.index).await.ok(),
            Some(InfoKind::Other(kind)) if kind == "amneziawg" => {
                kernel_peers("amneziawg", link.header.index).await.ok()
            }
            Some(InfoKind::Tun) if left > 0 => program_peers(&link_name(link)).await,
            _ => continue,
        };
        left = left.saturating_sub(1);
        if let Some(peers) = peers {
            found.endpoints.extend(peers);
            found.devices.insert(link_name(link));
        }
    }
    found
}

/// Asks the kernel for the peers of one interface.
async fn kernel_peers(family: &str, index: u32) -> io::Result<BTreeSet<IpAddr>> {
    let mut socket = KernelSocket::open(NETLINK_GENERIC)?;
    let mut request = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
    push_attribute(&mut request, CTRL_ATTR_FAMILY_NAME, format!("{family}\0").as_bytes());
    let reply = socket.ask(GENL_ID_CTRL, &request)?;
    let mut all = attributes(reply.get(GENL_HEADER..).unwrap_or_default());
    let id = all.find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID).and_then(|(_, value)| read_u16(value, 0));
    let id = id.ok_or(io::ErrorKind::NotFound)?;
    let mut request = vec![WG_CMD_GET_DEVICE, 1, 0, 0];
    push_attribute(&mut request, WGDEVICE_A_IFINDEX, &index.to_ne_bytes());
    let mut peers = BTreeSet::new();
    let visit = |message: &[u8]| {
        peers.extend(parse_device(message));
        if peers.len() < MAX_PEERS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    socket.list(id, &request, visit).await?;
    Ok(peers)
}

/// Parses the kernel's description of an interface, or a part of it.
pub(crate) fn parse_device(message: &[u8]) -> impl Iterator<Item = IpAddr> {
    let all = attributes(message.get(GENL_HEADER..).unwrap_or_default());
    let lists = all.filter(|(kind, _)| *kind == WGDEVICE_A_PEERS).map(|(_, value)| value);
    let peers = lists.flat_map(attributes).map(|(_, peer)| peer);
    let endpoints = peers.flat_map(attributes).filter(|(kind, _)| *kind == WGPEER_A_ENDPOINT);
    endpoints.filter_map(|(_, address)| match read_u16(address, 0)? {
        AF_INET => read_address(address.get(4..8)?),
        AF_INET6 => read_address(address.get(8..24)?),
        _ => None,
    })
}

/// Asks the program that serves an interface for its peers; `None` if none answers.
async fn program_peers(name: &str) -> Option<BTreeSet<IpAddr>> {
    let paths = DIRECTORIES.iter().map(|directory| Path::new(directory).join(format!("{name}.sock")));
    let path: PathBuf = paths.into_iter().find(|path| path.exists())?;
    let answer = timeout(BUDGET, async {
        let mut stream = UnixStream::connect(path).await.ok()?;
        stream.write_all(b"get=1\n\n").await.ok()?;
        read_answer(&mut stream).await.ok()
    });
    let text = answer.await.ok()??;
    Some(parse_configuration(&String::from_utf8_lossy(&text)))
}

/// Reads until the empty line that ends an answer, the end of the stream, or the limit.
async fn read_answer(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_ANSWER);
    while !answer.ends_with(b"\n\n") && limited.read_buf(&mut answer).await? > 0 {}
    Ok(answer)
}

/// Returns the peers' addresses in an answer of the configuration protocol.
pub(crate) fn parse_configuration(text: &str) -> BTreeSet<IpAddr> {
    let endpoints = text.lines().filter_map(|line| line.strip_prefix("endpoint="));
    let addresses = endpoints.filter_map(|endpoint| endpoint.trim().parse::<SocketAddr>().ok());
    addresses.map(|address| address.ip().to_canonical()).take(MAX_PEERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut attribute = Vec::new();
        push_attribute(&mut attribute, kind | 0x8000, &parts.concat());
        attribute
    }

    fn endpoint(bytes: &[u8]) -> Vec<u8> {
        nested(WGPEER_A_ENDPOINT, &[bytes.to_vec()])
    }

    fn v4(address: [u8; 4]) -> Vec<u8> {
        [&AF_INET.to_ne_bytes()[..], &[0xca, 0x6c], &address, &[0; 8]].concat()
    }

    #[test]
    fn the_kernels_peers_are_read_in_both_families() {
        let v6 = [&AF_INET6.to_ne_bytes()[..], &[0xca, 0x6c, 0, 0, 0, 0], &[0x20; 16], &[0; 4]].concat();
        let peers = nested(
            WGDEVICE_A_PEERS,
            &[
                nested(0, &[nested(1, &[vec![7; 32]]), endpoint(&v4([203, 0, 113, 7]))]),
                nested(0, &[endpoint(&v6)]),
                nested(0, &[endpoint(&[9; 28])]),
                nested(0, &[endpoint(&AF_INET.to_ne_bytes())]),
                nested(0, &[vec![255, 255, 4, 0]]),
            ],
        );
        let found: Vec<IpAddr> =
            parse_device(&[&[0; 4][..], &nested(2, &[vec![1, 2]]), &peers].concat()).collect();
        assert_eq!(found, [IpAddr::from([203, 0, 113, 7]), IpAddr::from([0x20; 16])]);
        for length in 0..8 {
            assert_eq!(parse_device(&vec![0; length]).count(), 0);
        }
    }

    #[test]
    fn a_programs_peers_are_the_endpoints_in_its_answer() {
        let text = "private_key=00\nlisten_port=51820\npublic_key=aa\nendpoint=203.0.113.7:51820\n\
                    allowed_ip=0.0.0.0/0\npublic_key=bb\nendpoint=[2001:db8::7]:1\nendpoint=[::ffff:192.0.2.1]:1\n\
                    endpoint=no\nendpoint=\nerrno=0\n\n";
        let found: Vec<String> = parse_configuration(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "203.0.113.7", "2001:db8::7"]);
        let many: String = (0..250).map(|n| format!("endpoint=10.0.0.{n}:1\n")).collect::<Vec<_>>().concat();
        assert_eq!(parse_configuration(&many).len(), MAX_PEERS);
    }
}
