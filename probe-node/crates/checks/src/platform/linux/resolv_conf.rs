//! The resolver configuration: `resolv.conf` (resolv.conf(5)), and the file in which systemd-resolved lists the servers
//! it forwards to.

use sentinel_model::{ConfiguredResolver, Reason, ResolverRole};
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

/// A resolver configuration is a few lines.
const MAX_BYTES: u64 = 64 * 1024;
/// More servers than any configuration has in earnest.
const MAX_RESOLVERS: usize = 16;
/// Where systemd-resolved listens (systemd-resolved.service(8)).
pub(super) const LOCAL_LISTENERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

/// The files the configuration is read from.
#[derive(Clone, Debug)]
pub(super) struct ResolvConf {
    /// What the C library reads.
    main: PathBuf,
    /// What systemd-resolved forwards to.
    uplink: PathBuf,
}

impl ResolvConf {
    /// This system's files.
    pub(super) fn system() -> Self {
        Self::new("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    }

    /// Other files of the same form.
    pub(super) fn new(main: impl Into<PathBuf>, uplink: impl Into<PathBuf>) -> Self {
        Self { main: main.into(), uplink: uplink.into() }
    }

    /// All files, the one the C library reads first.
    pub(super) fn files(&self) -> [&Path; 2] {
        [&self.main, &self.uplink]
    }

    /// The servers the C library asks, in the order in which it does: the first, and the next only when that does not
    /// answer, unless it is told to take turns.
    pub(super) fn resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let bytes = read(&self.main)?;
        let mut resolvers = each_once(parse(&bytes));
        if resolvers.is_empty() {
            // It then asks this machine.
            let address = Ipv4Addr::LOCALHOST.into();
            resolvers.push(ConfiguredResolver { address, interface: None, role: ResolverRole::First });
        }
        let later = if takes_turns(&bytes) { ResolverRole::First } else { ResolverRole::Fallback };
        for (index, resolver) in resolvers.iter_mut().enumerate() {
            resolver.role = if index == 0 { ResolverRole::First } else { later };
        }
        Ok(resolvers)
    }

    /// The servers systemd-resolved forwards to, without a word on which names it asks which of them. None where the
    /// file cannot be read.
    pub(super) fn uplinks(&self) -> Vec<ConfiguredResolver> {
        each_once(read(&self.uplink).map(|bytes| parse(&bytes)).unwrap_or_default())
    }

    /// Whether the C library asks systemd-resolved's listener.
    pub(super) fn asks_resolved(&self) -> bool {
        self.resolvers().is_ok_and(|resolvers| has_local_listener(&resolvers))
    }
}

/// Whether systemd-resolved's listener is among the servers.
pub(super) fn has_local_listener(resolvers: &[ConfiguredResolver]) -> bool {
    resolvers.iter().any(|resolver| LOCAL_LISTENERS.contains(&resolver.address))
}

fn each_once(resolvers: Vec<ConfiguredResolver>) -> Vec<ConfiguredResolver> {
    let mut kept = Vec::new();
    for resolver in resolvers {
        if !kept.contains(&resolver) {
            kept.push(resolver);
        }
    }
    kept
}

/// `options rotate`: every server gets its share of the questions.
fn takes_turns(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("options") && words.any(|word| word == "rotate")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Reason> {
    contents(path).map_err(|error| Reason::Failed(format!("could not read {}: {error}", path.display())))
}

/// A file's bytes, as far as they may be of interest; none if there is no such file.
pub(super) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(bytes)
}

/// The `nameserver` lines. Whatever is not one, or names no address, is skipped as the C library does.
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
    fn nameserver_lines_are_read_and_all_else_is_skipped() {
        let text = "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch lan\n\tnameserver\t192.0.2.1  # dhcp\r\n\
                    nameserver 2001:db8::53\nnameserver\nnameserver host.example\nnameservers 192.0.2.7\n";
        assert_eq!(servers(text), ["192.0.2.1", "2001:db8::53"]);
        assert_eq!(servers("\u{fffd}\0\0"), Vec::<String>::new());
        assert_eq!(parse(b"nameserver fe80::1%eth0")[0].interface.as_deref(), Some("eth0"));
    }

    #[test]
    fn what_is_behind_a_local_listener_is_not_what_is_asked_and_an_absent_file_means_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let (main, uplink) = (dir.path().join("resolv.conf"), dir.path().join("uplink"));
        let conf = ResolvConf::new(&main, &uplink);
        let addresses = || -> Vec<String> {
            conf.resolvers().unwrap().iter().map(|resolver| resolver.address.to_string()).collect()
        };
        assert_eq!(addresses(), ["127.0.0.1"]);
        std::fs::write(&uplink, "nameserver 192.0.2.1\n").unwrap();
        std::fs::write(&main, "nameserver 192.0.2.2\n").unwrap();
        assert_eq!(addresses(), ["192.0.2.2"]);
        assert!(!conf.asks_resolved());
        std::fs::write(&main, "nameserver 127.0.0.53\noptions edns0 trust-ad\n").unwrap();
        assert_eq!(addresses(), ["127.0.0.53"]);
        assert!(conf.asks_resolved());
        let behind = conf.uplinks();
        assert_eq!(behind[0].address.to_string(), "192.0.2.1");
        assert_eq!(behind[0].role, ResolverRole::Unspecified);
        std::fs::remove_file(&uplink).unwrap();
        assert_eq!(conf.uplinks(), []);
    }

    #[test]
    fn the_first_server_is_asked_and_the_others_when_it_fails_or_in_turns() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        let conf = ResolvConf::new(&main, "/nonexistent/uplink");
        let roles = |text: &str| -> Vec<ResolverRole> {
            std::fs::write(&main, text).unwrap();
            conf.resolvers().unwrap().iter().map(|resolver| resolver.role).collect()
        };
        let servers = "nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        assert_eq!(roles(servers), [ResolverRole::First, ResolverRole::Fallback]);
        assert_eq!(roles(&format!("{servers}options edns0 rotate\n")), [ResolverRole::First; 2]);
    }
}
