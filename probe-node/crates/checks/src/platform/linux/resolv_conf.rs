//! `resolv.conf` as the C library reads it (resolv.conf(5)).
//!
//! Names go to the servers that the C library takes from the file, so its rules are followed to the
//! letter where it is stricter, or more lenient, than people expect:
//!
//! | | glibc (`resolv/res_init.c`) | musl (`network/resolvconf.c`) |
//! |---|---|---|
//! | a line is read | to its end, or to a NUL byte | the same, and skipped from 256 bytes on |
//! | a keyword stands | in the first column, before a blank or tab | before any white space |
//! | the address ends at | a blank, a tab | any white space, such as a carriage return |
//! | servers used | the first three valid ones, repeated or not | the same |
//! | they are asked | in turn; with `rotate` from any of them | all at once |
//!
//! An IPv4 address is one of `inet_aton(3)`. An IPv6 address may name its link.

use super::{
    bounded_file::{self, MAX_CONFIG, ReadError},
    c_library::CLibrary,
    inet_aton,
};
use nix::net::if_::if_indextoname;
use sentinel_model::{ConfiguredResolver, Reason, ResolverRole, is_link_local};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

/// The C library uses this many servers (`MAXNS`).
const MAX_USED: usize = 3;
/// More servers than any real configuration has.
const MAX_RESOLVERS: usize = 16;
/// The length from which musl skips a line.
const MUSL_LINE: usize = 256;
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
    c_library: CLibrary,
}

/// What a file of this format says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedFile {
    /// The valid servers in their order, repeated ones included; their roles are left open.
    pub(super) servers: Vec<ConfiguredResolver>,
    /// Whether `options rotate` is set, which distributes the queries over all servers.
    pub(super) rotates: bool,
}

impl ResolvConf {
    /// Returns this system's files.
    pub(super) fn system() -> Self {
        let c_library = CLibrary::detect(Path::new("/"));
        Self { c_library, ..Self::new("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf") }
    }

    /// Returns other files of the same format.
    pub(super) fn new(main: impl Into<PathBuf>, upstream: impl Into<PathBuf>) -> Self {
        Self { main: main.into(), upstream: upstream.into(), c_library: CLibrary::Glibc }
    }

    /// Returns both files, the one that the C library reads first.
    pub(super) fn files(&self) -> [&Path; 2] {
        [&self.main, &self.upstream]
    }

    /// Returns the C library that reads the file.
    pub(super) fn c_library(&self) -> CLibrary {
        self.c_library
    }

    /// Lists the servers that the C library asks, in its order.
    ///
    /// - glibc asks a server only when the one before does not answer, except with
    ///   `options rotate`.
    /// - musl asks all of them at once.
    ///
    /// A file that is absent or a folder is as good as an empty one, for the C library too.
    pub(super) fn list_resolvers(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let bytes = match bounded_file::read(&self.main, MAX_CONFIG) {
            Ok(bytes) => bytes,
            Err(ReadError::Absent | ReadError::NotRegular("a folder")) => Vec::new(),
            Err(error) => return Err(error.reason(&self.main)),
        };
        Ok(used_servers(&bytes, self.c_library))
    }

    /// Lists the servers that systemd-resolved forwards to; empty if its file cannot be read.
    ///
    /// The file does not show which names each server is asked for.
    pub(super) fn upstream_servers(&self) -> Vec<ConfiguredResolver> {
        let bytes = bounded_file::read(&self.upstream, MAX_CONFIG).unwrap_or_default();
        without_duplicates(parse(&bytes, CLibrary::Glibc).servers)
    }

    /// Returns true if the C library asks systemd-resolved's listener.
    pub(super) fn names_resolved(&self) -> bool {
        self.list_resolvers().is_ok_and(|resolvers| names_local_listener(&resolvers))
    }
}

/// Returns true if systemd-resolved's listener is among the servers.
pub(super) fn names_local_listener(resolvers: &[ConfiguredResolver]) -> bool {
    resolvers.iter().any(|resolver| LOCAL_LISTENERS.contains(&resolver.address))
}

/// Returns the servers that the C library asks, each once, with their roles.
fn used_servers(bytes: &[u8], c_library: CLibrary) -> Vec<ConfiguredResolver> {
    let ParsedFile { mut servers, rotates } = parse(bytes, c_library);
    // The limit counts lines, so a repeated server takes the place of another one.
    servers.truncate(MAX_USED);
    let mut servers = without_duplicates(servers);
    if servers.is_empty() {
        // Without a server in the file, the C library asks this machine.
        let address = Ipv4Addr::LOCALHOST.into();
        servers.push(ConfiguredResolver { address, interface: None, role: ResolverRole::First });
    }
    let is_any_first = rotates || c_library == CLibrary::Musl;
    let later = if is_any_first { ResolverRole::First } else { ResolverRole::Fallback };
    for (index, server) in servers.iter_mut().enumerate() {
        server.role = if index == 0 { ResolverRole::First } else { later };
    }
    servers
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

/// Parses the `nameserver` and `options` lines; all other lines are skipped.
pub(super) fn parse(bytes: &[u8], c_library: CLibrary) -> ParsedFile {
    let mut parsed = ParsedFile::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if c_library == CLibrary::Musl && line.len() >= MUSL_LINE - 1 {
            continue;
        }
        // For the C library, a line is a string, which ends at a NUL byte.
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(value) = strip_keyword(line, "nameserver", c_library) {
            let server = parse_server(value, c_library);
            parsed.servers.extend(server.filter(|_| parsed.servers.len() < MAX_RESOLVERS));
        } else if c_library == CLibrary::Glibc
            && let Some(value) = strip_keyword(line, "options", c_library)
        {
            let mut options = value.split(|byte| matches!(byte, b' ' | b'\t'));
            // glibc compares the beginning only, so a carriage return at the end does no harm.
            parsed.rotates |= options.any(|option| option.starts_with(b"rotate"));
        }
    }
    parsed
}

/// Returns what follows a keyword in the first column and the white space behind it.
fn strip_keyword<'a>(line: &'a [u8], keyword: &str, c_library: CLibrary) -> Option<&'a [u8]> {
    let value = line.strip_prefix(keyword.as_bytes())?;
    is_blank(*value.first()?, c_library).then_some(value)
}

fn is_blank(byte: u8, c_library: CLibrary) -> bool {
    match c_library {
        CLibrary::Glibc => matches!(byte, b' ' | b'\t'),
        CLibrary::Musl => byte.is_ascii_whitespace() || byte == 0x0b,
    }
}

/// Parses the first word of a value as the address of a server.
fn parse_server(value: &[u8], c_library: CLibrary) -> Option<ConfiguredResolver> {
    let mut words = value.split(|byte| is_blank(*byte, c_library));
    let word = str::from_utf8(words.find(|word| !word.is_empty())?).ok()?;
    let (address, interface) = match inet_aton::parse(word) {
        Some(address) => (IpAddr::V4(address), None),
        None => parse_v6(word)?,
    };
    // To the kernel, the unspecified address is this machine.
    let address = match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    Some(ConfiguredResolver { address, interface, role: ResolverRole::Unspecified })
}

/// Parses an IPv6 address with an optional link, by name or by index.
///
/// A link means something for a link-local address only.
fn parse_v6(word: &str) -> Option<(IpAddr, Option<String>)> {
    let (address, link) = match word.split_once('%') {
        Some((address, link)) => (address, Some(link)),
        None => (word, None),
    };
    let address = IpAddr::V6(address.parse().ok()?);
    let link = link.filter(|link| is_link_local(address) && !link.is_empty());
    Some((address, link.map(link_name)))
}

/// Returns the name of a link that is given by its name or index.
fn link_name(link: &str) -> String {
    let by_index = link.parse().ok().and_then(|index| if_indextoname(index).ok());
    let by_index = by_index.and_then(|name| name.into_string().ok());
    by_index.filter(|name| !name.is_empty()).unwrap_or_else(|| link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VPN: &str = "203.0.113.53";
    const ROUTER: &str = "198.51.100.1";

    fn describe(servers: &[ConfiguredResolver]) -> Vec<String> {
        let role = |role| match role {
            ResolverRole::First => "first",
            ResolverRole::Fallback => "fallback",
            _ => "?",
        };
        servers.iter().map(|server| format!("{} {}", server.address, role(server.role))).collect()
    }

    fn by_glibc(text: impl AsRef<[u8]>) -> Vec<String> {
        describe(&used_servers(text.as_ref(), CLibrary::Glibc))
    }

    fn by_musl(text: impl AsRef<[u8]>) -> Vec<String> {
        describe(&used_servers(text.as_ref(), CLibrary::Musl))
    }

    #[test]
    fn lines_that_glibc_skips_are_skipped() {
        for skipped in [
            "    nameserver 203.0.113.53\n",
            "\tnameserver 203.0.113.53\n",
            "nameserver 203.0.113.53\r\n",
            "nameserver 203.0.113.53#53\n",
            "nameserver 203.0.113.53;vpn\n",
            "nameserver 203.0.113.53%eth0\n",
            "nameserver 203.0.113\u{fffd}53\n",
            "nameserver\n",
            "nameserver \n",
            "nameserver\u{b}203.0.113.53\n",
            "nameserver=203.0.113.53\n",
            "nameservers 203.0.113.53\n",
            "Nameserver 203.0.113.53\n",
            "NAMESERVER 203.0.113.53\n",
            "\u{feff}nameserver 203.0.113.53\n",
            "# nameserver 203.0.113.53\n",
            ";nameserver 203.0.113.53\n",
            "\0nameserver 203.0.113.53\n",
            "nameserver resolver.example\n",
            "nameserver [2001:db8::53]\n",
            "nameserver 2001:db8::53:53:\n",
            "search lan\ndomain lan\nsortlist 192.0.2.0\n",
        ] {
            let text = format!("{skipped}nameserver {ROUTER}\n");
            assert_eq!(by_glibc(&text), [format!("{ROUTER} first")], "{skipped:?}");
        }
    }

    #[test]
    fn lines_that_glibc_reads_are_read() {
        for read in [
            "nameserver 203.0.113.53",
            "nameserver\t203.0.113.53",
            "nameserver \t  203.0.113.53\n",
            "nameserver 203.0.113.53 # the VPN\n",
            "nameserver 203.0.113.53 \n",
            "nameserver 203.0.113.53\t\n",
            "nameserver 203.0.113.53 198.51.100.1\n",
            "nameserver 203.0.113.53\0garbage\n",
            "nameserver 203.0.28981\n",
            "nameserver 0xcb007135\n",
            "nameserver ::ffff:203.0.113.53\n",
        ] {
            assert_eq!(by_glibc(read), [format!("{VPN} first")], "{read:?}");
        }
        let long = format!("nameserver {VPN} {}\n", "x".repeat(20_000));
        assert_eq!(by_glibc(&long), [format!("{VPN} first")]);
        assert!(
            by_glibc([b"nameserver 203.0.113.53\n".as_slice(), &[0xff, 0xfe, b'\n']].concat()).len() == 1
        );
    }

    #[test]
    fn the_router_in_any_notation_is_the_router() {
        for notation in ["198.51.25601", "198.3367937", "3325256705", "0xc6336401", "0306.063.0144.01"] {
            let text = format!("nameserver {notation}\nnameserver {VPN}\n");
            assert_eq!(by_glibc(&text), [format!("{ROUTER} first"), format!("{VPN} fallback")]);
        }
    }

    #[test]
    fn three_lines_count_whether_repeated_or_not_and_invalid_ones_do_not() {
        let lines = |servers: &[&str]| -> String {
            servers.iter().flat_map(|server| ["nameserver ", server, "\n"]).collect()
        };
        let four = lines(&[VPN, "192.0.2.200", "203.0.113.54", ROUTER]);
        assert_eq!(by_glibc(&four).len(), 3);
        assert!(by_glibc(format!("options rotate\n{four}")).iter().all(|server| server.ends_with("first")));
        assert!(!by_glibc(&four).join(" ").contains(ROUTER));
        let repeated = format!("options rotate\n{}", lines(&[VPN, VPN, VPN, ROUTER]));
        assert_eq!(by_glibc(repeated), [format!("{VPN} first")]);
        let invalid = lines(&["x", "y", "z", VPN, ROUTER]);
        assert_eq!(by_glibc(invalid), [format!("{VPN} first"), format!("{ROUTER} fallback")]);
    }

    #[test]
    fn rotation_is_read_as_glibc_reads_it() {
        let servers = format!("nameserver {VPN}\nnameserver {ROUTER}\n");
        let rotates = |options: &str| by_glibc(format!("{servers}{options}"))[1].ends_with("first");
        for options in
            ["options rotate", "options edns0 rotate\n", "options rotate\r\n", "options\trotate:1\n"]
        {
            assert!(rotates(options), "{options:?}");
        }
        for options in ["", " options rotate\n", "options norotate\n", "#options rotate\n", "option rotate\n"]
        {
            assert!(!rotates(options), "{options:?}");
        }
    }

    #[test]
    fn musl_asks_all_servers_at_once_and_takes_any_white_space() {
        let text = format!(
            "nameserver {VPN}\r\nnameserver\u{b}{ROUTER}\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
        );
        let first = |server: &str| format!("{server} first");
        assert_eq!(by_musl(&text), [first(VPN), first(ROUTER), first("192.0.2.1")]);
        assert_eq!(by_musl(format!(" nameserver {VPN}\n")), ["127.0.0.1 first"]);
        let long = format!("nameserver {VPN} {}\nnameserver {ROUTER}\n", "x".repeat(MUSL_LINE));
        assert_eq!(by_musl(long), [first(ROUTER)]);
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        for empty in ["", "# nothing\n", "search lan\n", "options rotate\n", "nameserver x\n", "\0\0\0"] {
            assert_eq!(by_glibc(empty), ["127.0.0.1 first"], "{empty:?}");
        }
        assert_eq!(by_glibc("nameserver 0.0.0.0\n"), ["127.0.0.1 first"]);
        assert_eq!(by_glibc("nameserver ::\n"), ["::1 first"]);
    }

    #[test]
    fn a_link_local_server_is_on_the_link_that_is_named_by_name_or_index() {
        let link = |value: &str| {
            let server = format!("nameserver {value}\n");
            parse(server.as_bytes(), CLibrary::Glibc).servers[0].interface.clone()
        };
        assert_eq!(link("fe80::1%eth0").as_deref(), Some("eth0"));
        assert_eq!(link("fe80::1%1").as_deref(), Some("lo"));
        assert_eq!(link("fe80::1%4000000"), Some("4000000".into()));
        assert_eq!(link("fe80::1"), None);
        assert_eq!(link("fe80::1%"), None);
        assert_eq!(link("2001:db8::53%eth0"), None);
    }

    #[test]
    fn only_the_main_file_names_the_servers_asked() {
        let dir = tempfile::tempdir().unwrap();
        let (main, upstream) = (dir.path().join("resolv.conf"), dir.path().join("upstream"));
        let conf = ResolvConf::new(&main, &upstream);
        let servers = || describe(&conf.list_resolvers().unwrap());
        assert_eq!(servers(), ["127.0.0.1 first"], "absent");
        std::fs::create_dir(&main).unwrap();
        assert_eq!(servers(), ["127.0.0.1 first"], "a folder");
        std::fs::remove_dir(&main).unwrap();
        std::fs::write(&upstream, "nameserver 192.0.2.1\n").unwrap();
        std::fs::write(&main, "nameserver 192.0.2.2\n").unwrap();
        assert_eq!(servers(), ["192.0.2.2 first"]);
        assert!(!conf.names_resolved());
        std::fs::write(&main, "nameserver 127.0.0.53\noptions edns0 trust-ad\n").unwrap();
        assert_eq!(servers(), ["127.0.0.53 first"]);
        assert!(conf.names_resolved());
        assert_eq!(describe(&conf.upstream_servers()), ["192.0.2.1 ?"]);
        std::fs::remove_file(&upstream).unwrap();
        assert_eq!(conf.upstream_servers(), []);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_undetermined_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        let reason = || ResolvConf::new(&main, "/nonexistent").list_resolvers().unwrap_err().to_string();
        nix::unistd::mkfifo(&main, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(reason().contains("resolv.conf: it is a FIFO"), "{}", reason());
        std::fs::remove_file(&main).unwrap();
        std::fs::write(&main, vec![b'\n'; 64 * 1024 + 1]).unwrap();
        assert!(reason().contains("larger than 64 KiB"), "{}", reason());
    }
}
