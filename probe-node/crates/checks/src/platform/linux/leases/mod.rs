//! The resolvers that the network offers, from the lease files of its DHCP clients.
//!
//! | client | files | format |
//! |---|---|---|
//! | systemd-networkd | `/run/systemd/netif/leases/INDEX` | lines, DHCPv4 |
//! | | `/run/systemd/netif/links/INDEX` | lines, router advertisements and DHCPv6 as well |
//! | NetworkManager | none, over D-Bus | |
//! | | `/var/lib/NetworkManager/internal-UUID-INTERFACE.lease` | lines |
//! | | `/var/lib/NetworkManager/dhclient-*.lease` | dhclient's |
//! | dhclient | in `/var/lib/dhcp`, `/var/lib/dhclient` | blocks, DHCPv4 and DHCPv6 |
//! | dhcpcd | in `/var/lib/dhcpcd`, `/var/lib/dhcpcd5`, `/var/db/dhcpcd` | packets |
//! | | `/run/dhcpcd/hook-state/resolv.conf/INTERFACE.SOURCE` | `resolv.conf` |
//! | udhcpc with resolvconf | `/run/resolvconf/interface/INTERFACE.SOURCE` | `resolv.conf` |
//!
//! udhcpc alone records nothing. Files that cannot be read, often for lack of privilege, are
//! skipped. All files together take bounded time and memory.

mod assignments;
mod dhclient;
mod lease;
mod network_manager;
mod packets;

pub(super) use lease::Lease;
pub(super) use network_manager::read_leases as read_network_manager;

use super::{
    bounded_file::{self, ReadError},
    c_library::CLibrary,
    resolv_conf,
};
use sentinel_model::{ConfiguredResolver, Interface, Reason, Timestamp};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// The most bytes of one lease file.
const MAX_FILE: u64 = 1024 * 1024;
/// The most bytes of all lease files.
const MAX_TOTAL: u64 = 16 * 1024 * 1024;
/// More servers than real leases offer.
const MAX_RESOLVERS: usize = 16;
/// The length of a UUID in text form.
const UUID_LEN: usize = 36;
/// Sources of resolvers that are offered by the network, as resolvconf and dhcpcd name them.
const OFFERED_BY: [&str; 7] = ["dhclient", "dhclient6", "dhcp", "dhcp6", "dhcpcd", "ra", "udhcpc"];

/// The names of the interfaces by their indices.
pub(super) type NamesByIndex = HashMap<u32, String>;

/// The lease files of all clients.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    /// The directory to which the paths of lease files are relative.
    root: PathBuf,
}

impl Leases {
    /// Returns this system's lease files.
    pub(super) fn system() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// Lists the resolvers offered by the networks that the interfaces are in now, each once.
    ///
    /// `others` are leases that are not in files. `now` is compared with the ends of the leases,
    /// which are in wall time. Without a result, the error says which file could not be read, if
    /// one could not.
    pub(super) fn list_resolvers(
        &self,
        interfaces: &[Interface],
        names: &NamesByIndex,
        others: Vec<Lease>,
        now: Timestamp,
    ) -> Result<Vec<ConfiguredResolver>, Reason> {
        let mut reader = Reader { root: &self.root, left: MAX_TOTAL, failure: None };
        let mut leases = reader.read_all(names);
        leases.extend(others);
        let now = now.0.div_euclid(1_000);
        let mut resolvers: Vec<ConfiguredResolver> = Vec::new();
        for lease in leases.iter().filter(|lease| lease.is_current(interfaces, now)) {
            for resolver in lease.resolvers() {
                if !resolvers.contains(&resolver) && resolvers.len() < MAX_RESOLVERS {
                    resolvers.push(resolver);
                }
            }
        }
        if resolvers.is_empty() {
            let because = reader.failure.map(|reason| format!(": {reason}")).unwrap_or_default();
            return Err(Reason::Failed(format!("no readable DHCP lease offers a resolver{because}")));
        }
        Ok(resolvers)
    }
}

/// A file that was read.
struct File {
    bytes: Vec<u8>,
    /// When it was last written, in seconds since 1970.
    written: i64,
}

impl File {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Reads lease files up to a total size.
struct Reader<'a> {
    root: &'a Path,
    /// How many more bytes are read.
    left: u64,
    /// The first file that is there and could not be read.
    failure: Option<Reason>,
}

impl Reader<'_> {
    /// Reads the leases of all clients.
    fn read_all(&mut self, names: &NamesByIndex) -> Vec<Lease> {
        let mut leases = self.read_networkd(names);
        leases.extend(self.read_network_manager(names));
        for folder in ["var/lib/dhcp", "var/lib/dhclient"] {
            for path in self.list(folder) {
                let text = self.read(&path).map(|file| file.text());
                leases.extend(text.map(|text| dhclient::parse(&text)).unwrap_or_default());
            }
        }
        for folder in ["var/lib/dhcpcd", "var/lib/dhcpcd5", "var/db/dhcpcd"] {
            leases.extend(self.read_packets(folder, names));
        }
        for folder in
            ["run/dhcpcd/hook-state/resolv.conf", "run/resolvconf/interface", "run/resolvconf/interfaces"]
        {
            leases.extend(self.read_resolvconf(folder));
        }
        leases
    }

    fn read_networkd(&mut self, names: &NamesByIndex) -> Vec<Lease> {
        let mut leases = Vec::new();
        for path in self.list("run/systemd/netif/leases") {
            let interface = file_name(&path).parse().ok().and_then(|index: u32| names.get(&index));
            let Some((interface, file)) = interface.zip(self.read(&path)) else { continue };
            leases.push(assignments::parse_lease(&file.text(), Some(interface), file.written));
        }
        for path in self.list("run/systemd/netif/links") {
            let interface = file_name(&path).parse().ok().and_then(|index: u32| names.get(&index));
            let Some((interface, file)) = interface.zip(self.read(&path)) else { continue };
            let state = assignments::parse_link_state(&file.text());
            if state.servers.is_empty() {
                continue;
            }
            // Of all the link's resolvers, those in its configuration are not the network's.
            let mut configured = Vec::new();
            for path in &state.configured_by {
                let path = self.root.join(path.trim_start_matches('/'));
                let text = self.read(&path).map(|file| file.text());
                configured.extend(text.map(|text| assignments::parse_configured(&text)).unwrap_or_default());
            }
            let mut lease = Lease { interface: Some(interface.clone()), ..Lease::default() };
            let offered = state.servers.into_iter().filter(|server| !configured.contains(server));
            offered.for_each(|server| lease.add_server(server));
            leases.push(lease);
        }
        leases
    }

    fn read_network_manager(&mut self, names: &NamesByIndex) -> Vec<Lease> {
        let connections = self.read_connections(names);
        let is_used = |connection: &str, interface: &str| {
            connections.get(interface).is_none_or(|used| used == connection)
        };
        let mut leases = Vec::new();
        for path in self.list("var/lib/NetworkManager") {
            let Some((client, connection, interface)) = split_lease_name(file_name(&path)) else { continue };
            if !is_used(connection, interface) {
                continue;
            }
            let Some(file) = self.read(&path) else { continue };
            match client {
                "internal" => {
                    leases.push(assignments::parse_lease(&file.text(), Some(interface), file.written));
                }
                _ => leases.extend(dhclient::parse(&file.text())),
            }
        }
        leases
    }

    /// Returns the UUID of the connection that NetworkManager uses on each interface.
    fn read_connections(&mut self, names: &NamesByIndex) -> HashMap<String, String> {
        let mut connections = HashMap::new();
        for path in self.list("run/NetworkManager/devices") {
            let interface = file_name(&path).parse().ok().and_then(|index: u32| names.get(&index));
            let Some((interface, file)) = interface.zip(self.read(&path)) else { continue };
            if let Some(connection) = assignments::parse_connection(&file.text()) {
                connections.insert(interface.clone(), connection.to_owned());
            }
        }
        connections
    }

    /// Reads the packets of dhcpcd: `eth0.lease`, `wlan0-SSID.lease6`, `dhcpcd-eth0.lease`.
    fn read_packets(&mut self, folder: &str, names: &NamesByIndex) -> Vec<Lease> {
        let mut leases = Vec::new();
        for path in self.list(folder) {
            let name = file_name(&path);
            let Some((stem, suffix)) = name.rsplit_once('.') else { continue };
            let stem = stem.strip_prefix("dhcpcd-").unwrap_or(stem);
            let is_of = |interface: &&String| {
                let rest = stem.strip_prefix(interface.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            };
            // A name may contain a hyphen itself, so the longest one that fits is meant.
            let Some(interface) = names.values().filter(is_of).max_by_key(|name| name.len()) else {
                continue;
            };
            let parse = match suffix {
                "lease" => packets::parse_v4,
                "lease6" => packets::parse_v6,
                _ => continue,
            };
            leases.extend(self.read(&path).and_then(|file| parse(&file.bytes, interface, file.written)));
        }
        leases
    }

    /// Reads files in the format of `resolv.conf`, one for each interface and source.
    ///
    /// They are removed when the network is left.
    fn read_resolvconf(&mut self, folder: &str) -> Vec<Lease> {
        let mut leases = Vec::new();
        for path in self.list(folder) {
            let Some((interface, source)) = file_name(&path).rsplit_once('.') else { continue };
            if !OFFERED_BY.contains(&source) {
                continue;
            }
            let Some(file) = self.read(&path) else { continue };
            let mut lease = Lease { interface: Some(interface.to_owned()), ..Lease::default() };
            let servers = resolv_conf::parse(&file.bytes, CLibrary::Glibc).servers;
            for server in servers {
                lease.add_server(server.address);
            }
            leases.push(lease);
        }
        leases
    }

    fn list(&self, folder: &str) -> Vec<PathBuf> {
        bounded_file::list(&self.root.join(folder))
    }

    fn read(&mut self, path: &Path) -> Option<File> {
        match bounded_file::read_dated(path, MAX_FILE.min(self.left)) {
            Ok((bytes, written)) => {
                self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Some(File { bytes, written })
            }
            Err(ReadError::Absent | ReadError::NotRegular("a folder")) => None,
            Err(error) => {
                let reason = error.reason(path);
                tracing::debug!(%reason, "skipped a DHCP lease");
                self.failure.get_or_insert(reason);
                None
            }
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Splits `internal-<UUID of the connection>-<interface>.lease`; dhclient may be in place of
/// `internal`, and `6` behind it.
fn split_lease_name(name: &str) -> Option<(&str, &str, &str)> {
    let (client, rest) = name.strip_suffix(".lease")?.split_once('-')?;
    let (connection, interface) = rest.split_at_checked(UUID_LEN)?;
    let is_known = matches!(client, "internal" | "internal6" | "dhclient" | "dhclient6");
    let client = if client.starts_with("internal") { "internal" } else { "dhclient" };
    is_known.then_some((client, connection, interface.strip_prefix('-')?))
}

/// Parses a file in each of the formats.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (assignments::parse_lease(&text, Some("eth0"), 0), assignments::parse_link_state(&text));
    let _ = (assignments::parse_configured(&text), assignments::parse_connection(&text));
    let _ = (dhclient::parse(&text), split_lease_name(&text));
    let _ = (packets::parse_v4(bytes, "eth0", 0), packets::parse_v6(bytes, "eth0", 0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::InterfaceKind;
    use std::fs;

    const UUID: &str = "0f1e2d3c-0000-1111-2222-333344445555";
    const OTHER_UUID: &str = "0f1e2d3c-0000-1111-2222-333344446666";

    /// The files of a machine with the interfaces eth0, eth1 and wlan0, each in its network.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn list(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
            let names = [(2, "eth0"), (3, "wlan0"), (4, "eth1"), (5, "wlan0-ap")];
            let interfaces = names.map(|(index, name)| Interface {
                name: name.to_owned(),
                kind: InterfaceKind::Physical,
                up: name != "wlan0-ap",
                addresses: vec![format!("192.0.2.{}/28", index * 16 + 1).parse().unwrap()],
            });
            let names = names.map(|(index, name)| (index, name.to_owned())).into();
            let leases = Leases { root: self.0.path().to_owned() };
            leases.list_resolvers(&interfaces, &names, Vec::new(), Timestamp(1_000_000))
        }

        fn resolvers(&self) -> Vec<String> {
            let line = |resolver: &ConfiguredResolver| {
                format!("{} {}", resolver.interface.as_deref().unwrap_or("-"), resolver.address)
            };
            self.list().unwrap_or_default().iter().map(line).collect()
        }
    }

    #[test]
    fn every_client_is_read() {
        let machine = Machine::new();
        assert!(machine.resolvers().is_empty());
        let networkd = "# private\nADDRESS=192.0.2.34\nNETMASK=255.255.255.240\nDNS=192.0.2.1 192.0.2.2\n";
        machine.put("run/systemd/netif/leases/2", networkd);
        machine.put("run/systemd/netif/leases/99", "DNS=192.0.2.66\n");
        let internal = "ADDRESS=192.0.2.50\nNETMASK=255.255.255.240\nDNS=192.0.2.3\n";
        machine.put(&format!("var/lib/NetworkManager/internal-{UUID}-wlan0.lease"), internal);
        machine.put("var/lib/NetworkManager/seen-bssids", "DNS=192.0.2.67\n");
        machine.put(
            "var/lib/dhcp/dhclient6.eth1.leases",
            "lease6 {\ninterface \"eth1\";\noption dhcp6.name-servers 2001:db8::53;\n}\n",
        );
        machine.put(
            "var/lib/dhcp/dhclient.leases",
            "lease {\ninterface \"gone0\";\noption domain-name-servers 192.0.2.68;\n}\n",
        );
        machine.put("run/dhcpcd/hook-state/resolv.conf/eth1.dhcp", "nameserver 192.0.2.4\n");
        machine.put("run/dhcpcd/hook-state/resolv.conf/eth1.static", "nameserver 192.0.2.69\n");
        machine.put("run/resolvconf/interface/eth1.udhcpc", "nameserver 192.0.2.5\n");
        machine.put("run/resolvconf/interface/eth1.openvpn", "nameserver 192.0.2.70\n");
        assert_eq!(
            machine.resolvers(),
            [
                "eth0 192.0.2.1",
                "eth0 192.0.2.2",
                "wlan0 192.0.2.3",
                "eth1 2001:db8::53",
                "eth1 192.0.2.4",
                "eth1 192.0.2.5"
            ]
        );
    }

    #[test]
    fn a_link_state_offers_what_its_configuration_does_not_name() {
        let machine = Machine::new();
        machine.put(
            "run/systemd/netif/links/2",
            "NETWORK_FILE=/etc/systemd/network/a.network\nDNS=9.9.9.9 192.0.2.1 2001:db8::53\n",
        );
        machine.put("etc/systemd/network/a.network", "[Network]\nDNS=9.9.9.9\n");
        assert_eq!(machine.resolvers(), ["eth0 192.0.2.1", "eth0 2001:db8::53"]);
    }

    #[test]
    fn a_lease_of_a_connection_that_is_not_used_is_ignored() {
        let machine = Machine::new();
        let lease = |server: &str| format!("ADDRESS=192.0.2.50\nNETMASK=255.255.255.240\nDNS={server}\n");
        machine.put(&format!("var/lib/NetworkManager/internal-{UUID}-wlan0.lease"), lease("192.0.2.1"));
        machine.put(&format!("var/lib/NetworkManager/internal-{OTHER_UUID}-wlan0.lease"), lease("192.0.2.2"));
        assert_eq!(machine.resolvers().len(), 2);
        machine.put("run/NetworkManager/devices/3", format!("[device]\nconnection-uuid={OTHER_UUID}\n"));
        assert_eq!(machine.resolvers(), ["wlan0 192.0.2.2"]);
    }

    #[test]
    fn packets_of_dhcpcd_belong_to_the_interface_in_their_name() {
        let machine = Machine::new();
        let packet = |address: [u8; 4], server: [u8; 4]| {
            let mut packet = vec![0; 240];
            packet[16..20].copy_from_slice(&address);
            packet[236..].copy_from_slice(&[99, 130, 83, 99]);
            packet.extend([1, 4, 255, 255, 255, 240, 6, 4]);
            packet.extend(server);
            packet
        };
        machine.put("var/lib/dhcpcd/eth0.lease", packet([192, 0, 2, 34], [192, 0, 2, 1]));
        machine.put("var/lib/dhcpcd/wlan0-Cafe.de.lease", packet([192, 0, 2, 50], [192, 0, 2, 2]));
        machine.put("var/lib/dhcpcd/wlan0-Home.lease", packet([198, 51, 100, 50], [192, 0, 2, 66]));
        machine.put("var/lib/dhcpcd/wlan0-ap.lease", packet([192, 0, 2, 82], [192, 0, 2, 67]));
        machine.put("var/lib/dhcpcd5/dhcpcd-eth1.lease", packet([192, 0, 2, 66], [192, 0, 2, 3]));
        machine.put("var/lib/dhcpcd/duid", "x");
        assert_eq!(machine.resolvers(), ["eth0 192.0.2.1", "wlan0 192.0.2.2", "eth1 192.0.2.3"]);
    }

    #[test]
    fn expired_leases_and_those_of_other_networks_are_ignored() {
        let machine = Machine::new();
        let lease = |address: &str, expire: &str| {
            format!(
                "lease {{ interface \"eth0\"; fixed-address {address}; option subnet-mask 255.255.255.240;\n\
                 option domain-name-servers 192.0.2.1; expire {expire}; }}\n"
            )
        };
        for (text, count) in [
            (lease("192.0.2.34", "epoch 1001"), 1),
            (lease("192.0.2.34", "epoch 1000"), 0),
            (lease("192.0.2.34", "never"), 1),
            (lease("198.51.100.34", "never"), 0),
            (lease("192.0.2.34", "4 1970/01/01 00:20:00"), 1),
            (lease("192.0.2.34", "4 1970/01/01 00:10:00"), 0),
            (lease("192.0.2.34", "epoch 2000") + &lease("192.0.2.34", "epoch 999"), 0),
        ] {
            machine.put("var/lib/dhcp/dhclient.leases", &text);
            assert_eq!(machine.resolvers().len(), count, "{text}");
        }
    }

    #[test]
    fn hostile_files_are_skipped_with_a_named_reason() {
        let machine = Machine::new();
        machine.put("var/lib/dhcp/huge.leases", vec![b'{'; 1024 * 1024 + 1]);
        let reason = machine.list().unwrap_err().to_string();
        assert!(reason.contains("huge.leases: it is larger than 1024 KiB"), "{reason}");
        let fifo = machine.0.path().join("var/lib/dhcp/fifo.leases");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        machine.put(
            "var/lib/dhcp/z.leases",
            "lease { interface \"eth0\"; option domain-name-servers 192.0.2.1; }",
        );
        fs::create_dir_all(machine.0.path().join("var/lib/dhcp/folder.leases")).unwrap();
        assert_eq!(machine.resolvers(), ["eth0 192.0.2.1"]);
    }

    #[test]
    fn names_of_lease_files_are_split() {
        let name = |client: &str| format!("{client}-{UUID}-wlp2s0-x.lease");
        for (client, expected) in
            [("internal", "internal"), ("dhclient", "dhclient"), ("dhclient6", "dhclient")]
        {
            assert_eq!(split_lease_name(&name(client)), Some((expected, UUID, "wlp2s0-x")));
        }
        for bad in
            ["", "internal-", "internal-x-eth0.lease", "secret_key", &name("other"), &format!("{UUID}.lease")]
        {
            assert_eq!(split_lease_name(bad), None, "{bad}");
        }
    }
}
