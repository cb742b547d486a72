//! The resolvers that DHCP offered, from the lease files of the clients in use: systemd-networkd, NetworkManager,
//! dhclient and dhcpcd. What cannot be read, often for lack of privilege, is skipped.

use super::resolv_conf;
use sentinel_model::{ConfiguredResolver, ResolverRole};
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// More leases than a machine holds at once.
const MAX_FILES: usize = 64;
/// More servers than leases offer in earnest.
const MAX_RESOLVERS: usize = 16;

/// Where the clients keep their leases.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    root: PathBuf,
}

impl Leases {
    /// This system's.
    pub(super) fn system() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// The resolvers offered on the interfaces that are there, each once. `name_of` gives an interface's name by its
    /// index.
    pub(super) fn resolvers(
        &self,
        is_there: impl Fn(&str) -> bool,
        name_of: impl Fn(u32) -> Option<String>,
    ) -> Vec<ConfiguredResolver> {
        let mut found = Vec::new();
        for path in self.files("run/systemd/netif/leases") {
            let interface = file_name(&path).parse().ok().and_then(&name_of);
            found.extend(assignments(&read(&path), interface.as_deref()));
        }
        for path in self.files("var/lib/NetworkManager") {
            let name = file_name(&path);
            if name.starts_with("internal-") {
                found.extend(assignments(&read(&path), lease_interface(name)));
            } else if name.starts_with("dhclient-") {
                found.extend(dhclient(&read(&path)));
            }
        }
        for directory in ["var/lib/dhcp", "var/lib/dhclient"] {
            for path in self.files(directory) {
                found.extend(dhclient(&read(&path)));
            }
        }
        // One file per interface and source, `eth0.dhcp`, in the form of resolv.conf.
        for path in self.files("run/dhcpcd/hook-state/resolv.conf") {
            let interface = file_name(&path).rsplit_once('.').map(|(interface, _)| interface.to_owned());
            let servers = resolv_conf::parse(read(&path).as_bytes());
            found.extend(
                servers
                    .into_iter()
                    .map(|server| ConfiguredResolver { interface: interface.clone(), ..server }),
            );
        }
        let mut kept: Vec<ConfiguredResolver> = Vec::new();
        for resolver in found {
            let there = resolver.interface.as_deref().is_some_and(&is_there);
            if there && !kept.contains(&resolver) && kept.len() < MAX_RESOLVERS {
                kept.push(resolver);
            }
        }
        kept
    }

    fn files(&self, directory: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(directory)) else { return Vec::new() };
        let mut files: Vec<PathBuf> =
            entries.filter_map(io::Result::ok).map(|entry| entry.path()).take(MAX_FILES).collect();
        files.sort();
        files
    }
}

/// A file's text; nothing of one that cannot be read.
fn read(path: &Path) -> String {
    match resolv_conf::contents(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "lease not read");
            String::new()
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// `internal-<connection's UUID>-<interface>.lease`; the UUID has 36 characters.
fn lease_interface(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("internal-")?.strip_suffix(".lease")?;
    rest.get(36..)?.strip_prefix('-')
}

/// The `DNS=` line of a lease in systemd's form, which NetworkManager shares.
pub(super) fn assignments(text: &str, interface: Option<&str>) -> Vec<ConfiguredResolver> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("DNS="));
    let servers = lines.flat_map(str::split_ascii_whitespace).filter_map(|word| word.parse().ok());
    servers.take(MAX_RESOLVERS).map(|address| resolver(address, interface)).collect()
}

/// The servers of the last lease of each interface in dhclient's form (dhclient.leases(5)): blocks of `option` lines,
/// the younger ones later in the file.
pub(super) fn dhclient(text: &str) -> Vec<ConfiguredResolver> {
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
    let each =
        leases.iter().flat_map(|(name, servers)| servers.iter().map(move |at| resolver(*at, Some(name))));
    each.collect()
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

    fn shown(resolvers: &[ConfiguredResolver]) -> Vec<String> {
        let of = |each: &ConfiguredResolver| {
            format!("{} {}", each.interface.as_deref().unwrap_or("-"), each.address)
        };
        resolvers.iter().map(of).collect()
    }

    #[test]
    fn the_last_lease_of_each_interface_counts() {
        let text = "default-duid \"x\";\nlease {\n  interface \"eth0\";\n  option domain-name-servers 192.0.2.1;\n}\n\
                    lease {\n  interface \"wlan0\";\n  option domain-name-servers 192.0.2.9;\n}\n\
                    lease {\n  interface \"eth0\";\n  option domain-name-servers 192.0.2.2, 192.0.2.3,oops;\n}\n";
        assert_eq!(shown(&dhclient(text)), ["wlan0 192.0.2.9", "eth0 192.0.2.2", "eth0 192.0.2.3"]);
        assert!(dhclient("lease {\n interface \"eth0\";\n option domain-name-servers 192.0.2.1").is_empty());
        assert!(dhclient("}\n}\nlease {\n}\ninterface").is_empty());
    }

    #[test]
    fn every_client_is_read_and_only_interfaces_that_are_there_count() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let leases = Leases { root: dir.path().to_owned() };
        let resolvers = || {
            leases.resolvers(
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
            shown(&resolvers()),
            ["eth0 192.0.2.1", "eth0 192.0.2.2", "wlan0 192.0.2.3", "eth1 192.0.2.4"]
        );
    }
}
