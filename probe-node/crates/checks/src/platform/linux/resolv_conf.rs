//! The resolver configuration in files.
//!
//! These are `resolv.conf` (resolv.conf(5)), and the file in which systemd-resolved lists the
//! servers it forwards to.

use sentinel_model::{ConfiguredResolver, Reason, ResolverRole};
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

/// Far more than a resolver configuration or a lease file takes.
const MAX_BYTES: u64 = 64 * 1024;
/// More servers than any real configuration has.
const MAX_RESOLVERS: usize = 16;
/// The addresses on which systemd-resolved listens (systemd-resolved.service(8)).
pub(super) const LOCAL_LISTENERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

/// The files the configuration is read from.
#[derive(Clone, Debug)]
pub(super) struct ResolvConf {
    /// The file that the C library reads.
    main: PathBuf,
    /// The file that lists the servers systemd-resolved forwards to.
    upstream: PathBuf,
}

impl ResolvConf {
    /// Returns this system's files.
    pub(super) fn system() -> Self {
        Self::new("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    }

    /// Returns other files of the same format.
    pub(super) fn new(main: impl Into<PathBuf>, upstream: impl Into<PathBuf>) -> Self {
        Self { main: main.into(), upstream: upstream.into() }
    }

    /// Returns both files, the one that the C library reads first.
    pub(super) fn files(&self) -> [&Path; 2] {
        [&self.main, &self.upstream]
    }

    /// Lists the servers that the C library asks, in its order.
    ///
    /// It asks a server only when the one before does not answer, except with `options rotate`.
    pub(super) fn list_resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let bytes = read_file(&self.main)?;
        let mut resolvers = without_duplicates(parse(&bytes));
        if resolvers.is_empty() {
            // Without a server in the file, the C library asks this machine.
            let address = Ipv4Addr::LOCALHOST.into();
            resolvers.push(ConfiguredResolver { address, interface: None, role: ResolverRole::First });
        }
        let later = if has_rotate_option(&bytes) { ResolverRole::First } else { ResolverRole::Fallback };
        for (index, resolver) in resolvers.iter_mut().enumerate() {
            resolver.role = if index == 0 { ResolverRole::First } else { later };
        }
        Ok(resolvers)
    }

    /// Lists the servers that systemd-resolved forwards to; empty if its file cannot be read.
    ///
    /// The file does not show which names each server is asked for.
    pub(super) fn upstream_servers(&self) -> Vec<ConfiguredResolver> {
        without_duplicates(read_file(&self.upstream).map(|bytes| parse(&bytes)).unwrap_or_default())
    }

    /// Returns true if the C library asks systemd-resolved's listener.
    pub(super) fn uses_resolved(&self) -> bool {
        self.list_resolvers().is_ok_and(|resolvers| names_local_listener(&resolvers))
    }
}

/// Returns true if systemd-resolved's listener is among the servers.
pub(super) fn names_local_listener(resolvers: &[ConfiguredResolver]) -> bool {
    resolvers.iter().any(|resolver| LOCAL_LISTENERS.contains(&resolver.address))
}

fn without_duplicates(resolvers: Vec<ConfiguredResolver>) -> Vec<ConfiguredResolver> {
    let mut kept = Vec::new();
    for resolver in resolvers {
        if !kept.contains(&resolver) {
            kept.push(resolver);
        }
    }
    kept
}

/// Returns true if `options rotate` is set, which distributes the queries over all servers.
fn has_rotate_option(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("options") && words.any(|word| word == "rotate")
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Reason> {
    read_limited(path).map_err(|error| Reason::Failed(format!("could not read {}: {error}", path.display())))
}

/// Reads the first [`MAX_BYTES`] of a file; nothing if there is no such file.
pub(super) fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(bytes)
}

/// Parses the `nameserver` lines.
///
/// Other lines, and lines without a valid address, are skipped as by the C library.
pub(super) fn parse(bytes: &[u8]) -> Vec<ConfiguredResolver> {
    let text = String::from_utf8_lossy(bytes);
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let value = words.next().filter(|&keyword| keyword == "nameserver").and(words.next())?;
        let (address, scope) = match value.split_once('%') {
            Some((address, scope)) => (address, Some(scope.to_owned())),
            None => (value, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (address, role) = (address.to_canonical(), ResolverRole::Unspecified);
        Some(ConfiguredResolver { address, interface: scope, role })
    });
    servers.take(MAX_RESOLVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        parse(text.as_bytes()).iter().map(|resolver| resolver.address.to_string()).collect()
    }

    #[test]
    fn nameserver_lines_are_parsed_and_all_others_are_skipped() {
        let text = "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch lan\n\tnameserver\t192.0.2.1  # dhcp\r\n\
                    nameserver 2001:db8::53\nnameserver\nnameserver host.example\nnameservers 192.0.2.7\n";
        assert_eq!(servers(text), ["192.0.2.1", "2001:db8::53"]);
        assert_eq!(servers("\u{fffd}\0\0"), Vec::<String>::new());
        assert_eq!(parse(b"nameserver fe80::1%eth0")[0].interface.as_deref(), Some("eth0"));
    }

    #[test]
    fn only_the_main_file_names_the_servers_asked_and_its_absence_means_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let (main, upstream) = (dir.path().join("resolv.conf"), dir.path().join("upstream"));
        let conf = ResolvConf::new(&main, &upstream);
        let addresses = || -> Vec<String> {
            conf.list_resolvers().unwrap().iter().map(|resolver| resolver.address.to_string()).collect()
        };
        assert_eq!(addresses(), ["127.0.0.1"]);
        std::fs::write(&upstream, "nameserver 192.0.2.1\n").unwrap();
        std::fs::write(&main, "nameserver 192.0.2.2\n").unwrap();
        assert_eq!(addresses(), ["192.0.2.2"]);
        assert!(!conf.uses_resolved());
        std::fs::write(&main, "nameserver 127.0.0.53\noptions edns0 trust-ad\n").unwrap();
        assert_eq!(addresses(), ["127.0.0.53"]);
        assert!(conf.uses_resolved());
        let behind = conf.upstream_servers();
        assert_eq!(behind[0].address.to_string(), "192.0.2.1");
        assert_eq!(behind[0].role, ResolverRole::Unspecified);
        std::fs::remove_file(&upstream).unwrap();
        assert_eq!(conf.upstream_servers(), []);
    }

    #[test]
    fn the_first_server_is_asked_and_the_others_when_it_fails_or_in_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        let conf = ResolvConf::new(&main, "/nonexistent/upstream");
        let roles = |text: &str| -> Vec<ResolverRole> {
            std::fs::write(&main, text).unwrap();
            conf.list_resolvers().unwrap().iter().map(|resolver| resolver.role).collect()
        };
        let servers = "nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        assert_eq!(roles(servers), [ResolverRole::First, ResolverRole::Fallback]);
        assert_eq!(roles(&format!("{servers}options edns0 rotate\n")), [ResolverRole::First; 2]);
    }
}
