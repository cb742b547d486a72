//! The resolvers offered by DHCP, from the clients' lease files.
//!
//! The clients are systemd-networkd, NetworkManager, dhclient and dhcpcd. Files that cannot be
//! read, often for lack of privilege, are skipped.

use super::resolv_conf;
use sentinel_model::{ConfiguredResolver, ResolverRole};
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// More leases than a machine holds at once.
const MAX_FILES: usize = 64;
/// More servers than real leases offer.
const MAX_RESOLVERS: usize = 16;
/// The length of a UUID in text form.
const UUID_LEN: usize = 36;

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

    /// Lists the resolvers offered on the interfaces accepted by `is_up`, without duplicates.
    ///
    /// `name_of` returns an interface's name by its index.
    pub(super) fn list_resolvers(
        &self,
        is_up: impl Fn(&str) -> bool,
        name_of: impl Fn(u32) -> Option<String>,
    ) -> Vec<ConfiguredResolver> {
        let mut resolvers: Vec<ConfiguredResolver> = Vec::new();
        for resolver in self.read_all(name_of) {
            let on_interface = resolver.interface.as_deref().is_some_and(&is_up);
            if on_interface && !resolvers.contains(&resolver) && resolvers.len() < MAX_RESOLVERS {
                resolvers.push(resolver);
            }
        }
        resolvers
    }

    /// Reads the resolvers in all lease files.
    fn read_all(&self, name_of: impl Fn(u32) -> Option<String>) -> Vec<ConfiguredResolver> {
        let mut resolvers = Vec::new();
        for path in self.list_files("run/systemd/netif/leases") {
            let interface = file_name(&path).parse().ok().and_then(&name_of);
            resolvers.extend(parse_assignments(&read_text(&path), interface.as_deref()));
        }
        for path in self.list_files("var/lib/NetworkManager") {
            let name = file_name(&path);
            if name.starts_with("internal-") {
                resolvers.extend(parse_assignments(&read_text(&path), parse_interface(name)));
            } else if name.starts_with("dhclient-") {
                resolvers.extend(parse_dhclient(&read_text(&path)));
            }
        }
        for directory in ["var/lib/dhcp", "var/lib/dhclient"] {
            for path in self.list_files(directory) {
                resolvers.extend(parse_dhclient(&read_text(&path)));
            }
        }
        // One file per interface and source, such as `eth0.dhcp`, in the format of resolv.conf.
        for path in self.list_files("run/dhcpcd/hook-state/resolv.conf") {
            let interface = file_name(&path).rsplit_once('.').map(|(interface, _)| interface.to_owned());
            let servers = resolv_conf::parse(read_text(&path).as_bytes());
            resolvers.extend(
                servers
                    .into_iter()
                    .map(|server| ConfiguredResolver { interface: interface.clone(), ..server }),
            );
        }
        resolvers
    }

    fn list_files(&self, directory: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(directory)) else { return Vec::new() };
        let mut files: Vec<PathBuf> =
            entries.filter_map(io::Result::ok).map(|entry| entry.path()).take(MAX_FILES).collect();
        files.sort();
        files
    }
}

/// Returns a file's text; empty if it cannot be read.
fn read_text(path: &Path) -> String {
    match resolv_conf::read_limited(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "could not read a DHCP lease");
            String::new()
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Parses the interface from `internal-<UUID of the connection>-<interface>.lease`.
fn parse_interface(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("internal-")?.strip_suffix(".lease")?;
    rest.get(UUID_LEN..)?.strip_prefix('-')
}

/// Parses the `DNS=` lines of a lease in systemd's format, which NetworkManager uses as well.
pub(super) fn parse_assignments(text: &str, interface: Option<&str>) -> Vec<ConfiguredResolver> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("DNS="));
    let servers = lines.flat_map(str::split_ascii_whitespace).filter_map(|word| word.parse().ok());
    servers.take(MAX_RESOLVERS).map(|address| resolver(address, interface)).collect()
}

/// Parses the servers of each interface's last lease in dhclient's format (dhclient.leases(5)).
///
/// Each lease is a block of `option` lines; newer leases come later in the file.
pub(super) fn parse_dhclient(text: &str) -> Vec<ConfiguredResolver> {
    let mut leases: Vec<(String, Vec<IpAddr>)> = Vec::new();
    let (mut interface, mut servers) = (None, Vec::new());
    for line in text.lines() {
        let line = line.trim().trim_end_matches(';');
        if let Some(name) = line.strip_prefix("interface ") {
            interface = Some(name.trim_matches('"').to_owned());
        } else if let Some(list) = ["option domain-name-servers ", "option dhcp6.name-servers "]
            .iter()
            .find_map(|option| line.strip_prefix(option))
        {
            servers =
                list.split(',').filter_map(|word| word.trim().parse().ok()).take(MAX_RESOLVERS).collect();
        } else if line.starts_with("lease") {
            (interface, servers) = (None, Vec::new());
        } else if line == "}"
            && let Some(name) = interface.take()
        {
            leases.retain(|(other, _)| *other != name);
            leases.push((name, std::mem::take(&mut servers)));
            if leases.len() > MAX_FILES {
                leases.remove(0);
            }
        }
    }
    leases
        .iter()
        .flat_map(|(name, servers)| servers.iter().map(move |server| resolver(*server, Some(name))))
        .collect()
}

fn resolver(address: IpAddr, interface: Option<&str>) -> ConfiguredResolver {
    ConfiguredResolver {
        address: address.to_canonical(),
        interface: interface.map(str::to_owned),
        role: ResolverRole::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(resolvers: &[ConfiguredResolver]) -> Vec<String> {
        let of = |each: &ConfiguredResolver| {
            format!("{} {}", each.interface.as_deref().unwrap_or("-"), each.address)
        };
        resolvers.iter().map(of).collect()
    }

    #[test]
    fn only_the_last_lease_of_each_interface_is_used() {
        let text = "default-duid \"x\";\nlease {\n  interface \"eth0\";\n  option domain-name-servers 192.0.2.1;\n}\n\
                    lease {\n  interface \"wlan0\";\n  option domain-name-servers 192.0.2.9;\n}\n\
                    lease {\n  interface \"eth0\";\n  option domain-name-servers 192.0.2.2, 192.0.2.3,oops;\n}\n";
        assert_eq!(describe(&parse_dhclient(text)), ["wlan0 192.0.2.9", "eth0 192.0.2.2", "eth0 192.0.2.3"]);
        assert!(
            parse_dhclient("lease {\n interface \"eth0\";\n option domain-name-servers 192.0.2.1").is_empty()
        );
        assert!(parse_dhclient("}\n}\nlease {\n}\ninterface").is_empty());
    }

    #[test]
    fn every_client_is_read_and_absent_interfaces_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let leases = Leases { root: dir.path().to_owned() };
        let resolvers = || {
            leases.list_resolvers(
                |name| ["eth0", "wlan0", "eth1"].contains(&name),
                |index| (index == 2).then(|| "eth0".to_owned()),
            )
        };
        assert!(resolvers().is_empty());
        put(
            "run/systemd/netif/leases/2",
            "# private\nADDRESS=192.0.2.7\nDNS=192.0.2.1 192.0.2.2\nNTP=192.0.2.8\n",
        );
        put("run/systemd/netif/leases/99", "DNS=192.0.2.66\n");
        put(
            "var/lib/NetworkManager/internal-0f1e2d3c-0000-1111-2222-333344445555-wlan0.lease",
            "ADDRESS=192.0.2.7\nDNS=192.0.2.3\n",
        );
        put("var/lib/NetworkManager/seen-bssids", "DNS=192.0.2.67\n");
        put("run/dhcpcd/hook-state/resolv.conf/eth1.dhcp", "nameserver 192.0.2.4\n");
        put(
            "var/lib/dhcp/dhclient.leases",
            "lease {\ninterface \"gone0\";\noption domain-name-servers 192.0.2.68;\n}\n",
        );
        assert_eq!(
            describe(&resolvers()),
            ["eth0 192.0.2.1", "eth0 192.0.2.2", "wlan0 192.0.2.3", "eth1 192.0.2.4"]
        );
    }
}
