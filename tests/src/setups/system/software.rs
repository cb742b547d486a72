//! Debian packages that the lab runs without installing them on this machine.

use crate::{host::Host, sandbox};
use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount as mount_file_system};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

/// Environment variable with the directory of the packages.
const DIRECTORY: &str = "VPNSENTINEL_LAB_SOFTWARE";

/// A package, with what it needs besides.
///
/// Installing these would change this machine: they replace `/etc/resolv.conf`, or configure its
/// interfaces. `scripts/setup` unpacks each into a directory, which a host sees merged into `/usr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Software {
    /// systemd-resolved and its module for the C library.
    SystemdResolved,
    /// openresolv, the `resolvconf` command.
    Openresolv,
    /// NetworkManager, with its libraries.
    NetworkManager,
    /// ISC's dhclient.
    Dhclient,
    /// dhcpcd.
    Dhcpcd,
    /// strongSwan, with its plugins.
    StrongSwan,
}

impl Software {
    /// Returns the name of its directory, which is Debian's name of the main package.
    const fn name(self) -> &'static str {
        match self {
            Self::SystemdResolved => "systemd-resolved",
            Self::Openresolv => "openresolv",
            Self::NetworkManager => "network-manager",
            Self::Dhclient => "isc-dhcp-client",
            Self::Dhcpcd => "dhcpcd-base",
            Self::StrongSwan => "charon-systemd",
        }
    }

    /// Returns the directory in which it is unpacked.
    ///
    /// # Errors
    /// Fails if it is not there.
    pub(super) fn directory(self) -> Result<PathBuf> {
        let directory = find_directory()?.join(self.name());
        ensure!(
            directory.join("usr").is_dir(),
            "the lab's copy of {} is not in {}: run `scripts/setup test`, or name its directory in {DIRECTORY}",
            self.name(),
            directory.display()
        );
        Ok(directory)
    }
}

/// Returns the directory of all packages.
fn find_directory() -> Result<PathBuf> {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return Ok(directory.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("vpnsentinel/lab-software"))
}

/// Merges packages into the host's `/usr`, together with those installed on it before.
pub(super) fn mount(host: &Host, packages: &[Software]) -> Result<()> {
    let list = host.directory().join("packages");
    let before = fs::read_to_string(&list).unwrap_or_default();
    let names = before.lines().chain(packages.iter().map(|package| package.name()));
    let names: BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = names.into_iter().collect();
    fs::write(&list, names.join("\n")).with_context(|| format!("cannot write {}", list.display()))?;
    let target = Path::new(sandbox::DIRECTORY).with_file_name("usr").join(names.join("+"));
    if !target.exists() {
        let root = find_directory()?;
        let layers: Vec<_> = names.iter().map(|name| format!("{}/usr", root.join(name).display())).collect();
        fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
        let options = format!("lowerdir={}:/usr", layers.join(":"));
        mount_file_system(
            Some("overlay"),
            &target,
            Some("overlay"),
            MsFlags::MS_RDONLY,
            Some(options.as_str()),
        )
        .with_context(|| format!("cannot merge {} into /usr with overlayfs", names.join(", ")))?;
    }
    host.mount_over("/usr", target)
}
