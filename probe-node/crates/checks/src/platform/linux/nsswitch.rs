//! `nsswitch.conf`, which says where the C library looks up a host (nsswitch.conf(5)).
//!
//! Of the sources in use, two ask the network for ordinary names: `dns` asks the servers of
//! `resolv.conf`, and `resolve` asks systemd-resolved by its own socket, whatever `resolv.conf`
//! says. The others know a few names only: `files`, `myhostname`, `mymachines`, `libvirt`, and
//! `mdns` and `wins` for the local network.

use super::bounded_file::{self, MAX_CONFIG, ReadError};
use sentinel_model::Reason;
use std::path::{Path, PathBuf};

/// More sources than any real configuration has.
const MAX_SOURCES: usize = 32;

/// Where glibc looks up an ordinary name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HostLookup {
    /// At the servers of `resolv.conf`. This is also glibc's default.
    #[default]
    ResolvConf,
    /// At systemd-resolved; at the servers of `resolv.conf` if it is not running.
    Resolved,
    /// Nowhere in the DNS.
    Local,
}

/// The file with the sources.
#[derive(Clone, Debug)]
pub(super) struct Nsswitch {
    path: PathBuf,
}

impl Nsswitch {
    /// Returns this system's file.
    pub(super) fn system() -> Self {
        Self::new("/etc/nsswitch.conf")
    }

    /// Returns another file of the same format.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the file.
    pub(super) fn file(&self) -> &Path {
        &self.path
    }

    /// Reads where ordinary names are looked up.
    ///
    /// A file that glibc cannot read either, or without a line for hosts, means its default.
    pub(super) fn read(&self) -> Result<HostLookup, Reason> {
        match bounded_file::read(&self.path, MAX_CONFIG) {
            Ok(bytes) => Ok(parse(&bytes)),
            Err(ReadError::Absent | ReadError::NotRegular("a folder")) => Ok(HostLookup::default()),
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Ok(HostLookup::default())
            }
            Err(error) => Err(error.reason(&self.path)),
        }
    }
}

/// What a source says about an ordinary name of the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It has no such name.
    NotFound,
    /// It does not handle such names.
    Unavailable,
}

/// Returns what a source that is not a part of the DNS says about an ordinary name.
fn status_of(source: &[u8]) -> Status {
    // nss-mdns leaves names outside of `.local` to others.
    if source.starts_with(b"mdns") { Status::Unavailable } else { Status::NotFound }
}

/// Parses the file; the last line for hosts counts, as for glibc.
pub(super) fn parse(bytes: &[u8]) -> HostLookup {
    let mut lookup = HostLookup::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| matches!(byte, b'#' | 0)).next().unwrap_or_default();
        let line = line.trim_ascii_start();
        let name_len = line.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b':');
        let Some((name, rest)) = name_len.map(|len| line.split_at(len)) else { continue };
        if name != b"hosts" {
            continue;
        }
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b':');
        lookup = start.map_or(HostLookup::Local, |start| find_lookup(&rest[start..]));
    }
    lookup
}

/// Follows the sources of a line until one asks the network, or ends the search.
fn find_lookup(mut line: &[u8]) -> HostLookup {
    for _ in 0..MAX_SOURCES {
        line = line.trim_ascii_start();
        let end = line.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'[');
        let (source, rest) = line.split_at(end.unwrap_or(line.len()));
        match source {
            b"" => break,
            b"dns" => return HostLookup::ResolvConf,
            b"resolve" => return HostLookup::Resolved,
            _ => {}
        }
        let (actions, rest) = take_actions(rest);
        if ends_search(actions, status_of(source)) {
            break;
        }
        line = rest;
    }
    HostLookup::Local
}

/// Splits off the actions in brackets behind a source.
fn take_actions(rest: &[u8]) -> (&[u8], &[u8]) {
    let Some(inner) = rest.trim_ascii_start().strip_prefix(b"[") else { return (b"", rest) };
    let end = inner.iter().position(|byte| *byte == b']').unwrap_or(inner.len());
    (&inner[..end], inner.get(end + 1..).unwrap_or_default())
}

/// Returns true if the actions end the search where a source has this status.
fn ends_search(actions: &[u8], status: Status) -> bool {
    let name: &[u8] = match status {
        Status::NotFound => b"NOTFOUND",
        Status::Unavailable => b"UNAVAIL",
    };
    let mut ends = false;
    let words = actions.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for word in words {
        let Some(equals) = word.iter().position(|byte| *byte == b'=') else { continue };
        let (condition, action) = (&word[..equals], &word[equals + 1..]);
        let (condition, is_negated) = match condition.strip_prefix(b"!") {
            Some(condition) => (condition, true),
            None => (condition, false),
        };
        if condition.eq_ignore_ascii_case(name) != is_negated {
            ends = action.eq_ignore_ascii_case(b"return");
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use HostLookup::{Local, ResolvConf, Resolved};

    #[test]
    fn real_configurations_are_understood() {
        for (line, expected) in [
            // Debian, Ubuntu with and without nss-resolve, Fedora, Arch, openSUSE, NixOS.
            ("files dns", ResolvConf),
            ("files mdns4_minimal [NOTFOUND=return] dns", ResolvConf),
            ("files mdns4_minimal [NOTFOUND=return] dns myhostname mymachines", ResolvConf),
            ("files myhostname mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns", Resolved),
            ("mymachines resolve [!UNAVAIL=return] files myhostname dns", Resolved),
            ("files mymachines myhostname resolve [!UNAVAIL=return] dns", Resolved),
            ("mymachines mdns_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] files dns", Resolved),
            ("files libvirt libvirt_guest dns", ResolvConf),
            ("files wins dns", ResolvConf),
            ("files dns resolve", ResolvConf),
            ("dns [!UNAVAIL=return] files", ResolvConf),
            ("files resolve", Resolved),
            ("files", Local),
            ("", Local),
        ] {
            assert_eq!(parse(format!("passwd: files\nhosts: {line}\n").as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn actions_can_end_the_search_before_the_network_is_asked() {
        for (line, expected) in [
            ("files [NOTFOUND=return] dns", Local),
            ("files[notfound=RETURN]dns", Local),
            ("files [!SUCCESS=return] resolve", Local),
            ("files [NOTFOUND=return NOTFOUND=continue] dns", ResolvConf),
            ("files [SUCCESS=return UNAVAIL=return] dns", ResolvConf),
            ("files [!NOTFOUND=return] dns", ResolvConf),
            ("mdns4_minimal [UNAVAIL=return] dns", Local),
            ("mdns4_minimal [!UNAVAIL=return] resolve dns", Resolved),
            ("files [SUCCESS=merge] dns", ResolvConf),
            ("files [NOTFOUND=return", Local),
        ] {
            assert_eq!(parse(format!("hosts: {line}\n").as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn the_line_is_found_as_glibc_finds_it() {
        assert_eq!(parse(b""), ResolvConf);
        assert_eq!(parse(b"hosts"), ResolvConf);
        assert_eq!(parse(b"  hosts :\tresolve\n"), Resolved);
        assert_eq!(parse(b"hosts resolve\n"), Resolved);
        assert_eq!(parse(b"#hosts: resolve\n"), ResolvConf);
        assert_eq!(parse(b"hosts: files # resolve\n"), Local);
        assert_eq!(parse(b"hosts: resolve\nhosts: files dns\n"), ResolvConf);
        assert_eq!(parse(b"Hosts: resolve\n"), ResolvConf);
        assert_eq!(parse(b"hosts: files resolve\r\n"), Resolved);
        assert_eq!(parse(b"\xff\xfe\nhosts: resolve"), Resolved);
    }

    #[test]
    fn a_file_that_glibc_cannot_read_means_its_default_and_others_are_undetermined() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nsswitch.conf");
        let nsswitch = Nsswitch::new(&file);
        assert_eq!(nsswitch.read(), Ok(ResolvConf));
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(nsswitch.read().unwrap_err().to_string().contains("nsswitch.conf: it is a FIFO"));
    }
}
