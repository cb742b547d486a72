//! The directories that a host with a system of its own does not share with other hosts.

use crate::host::Host;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Where the machine's own `/etc` stays visible.
///
/// It lies outside of the hosts' directories, which are deleted with everything in them.
const MACHINE_ETC: &str = "/run/machine-etc";

/// Directories of `/run` in which daemons leave sockets and state.
const RUN: [&str; 6] = ["dbus", "systemd", "NetworkManager", "resolvconf", "dhcpcd", "dnsmasq"];

/// Users to which daemons change. The sandbox has one user only, so that they all are this one.
const USERS: [&str; 3] = ["systemd-resolve", "systemd-network", "messagebus"];

/// Creates and mounts the directories, unless that has happened.
pub(super) fn create(host: &Host) -> Result<()> {
    let etc = host.directory().join("etc");
    if etc.exists() {
        return Ok(());
    }
    show_machine_etc()?;
    let resolv_conf = fs::read(host.directory().join("resolv.conf"))?;
    create_etc(&etc, &resolv_conf).with_context(|| format!("cannot fill {}", etc.display()))?;
    host.mount_over("/etc", &etc)?;
    for name in RUN {
        let (own, shared) = (host.directory().join("run").join(name), Path::new("/run").join(name));
        for directory in [&own, &shared] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        host.mount_over(shared, own)?;
    }
    let state = host.directory().join("var-lib");
    fs::create_dir_all(&state).with_context(|| format!("cannot create {}", state.display()))?;
    host.mount_over("/var/lib", state)
}

/// Returns where a file of the host's own `/etc`, `/run` or `/var/lib` lies outside of it.
pub(crate) fn private_path(host: &Host, path: &str) -> PathBuf {
    let inside = path.trim_start_matches('/');
    match inside.strip_prefix("var/lib") {
        Some(rest) => host.directory().join("var-lib").join(rest.trim_start_matches('/')),
        None => host.directory().join(inside),
    }
}

/// Sets where the C library looks up hosts, as in `nsswitch.conf`: `files dns`.
pub(crate) fn name_service_order(host: &Host, order: &str) -> Result<()> {
    let path = private_path(host, "/etc/nsswitch.conf");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, replace_hosts_line(&text, order))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn replace_hosts_line(text: &str, order: &str) -> String {
    let others = text.lines().filter(|line| !line.trim_start().starts_with("hosts:"));
    let mut replaced: String = others.flat_map(|line| [line, "\n"]).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(replaced, "hosts: {order}");
    replaced
}

/// Merges a package's `/etc` into the host's own. Files that are there already stay.
pub(super) fn copy_configuration(host: &Host, from: &Path) -> Result<()> {
    merge(from, &host.directory().join("etc")).with_context(|| format!("cannot copy {}", from.display()))
}

fn merge(from: &Path, into: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    make_own(into)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            merge(&entry.path(), &target)?;
        } else if target.symlink_metadata().is_err() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Replaces a link to a directory by a directory with links to what is in it.
fn make_own(directory: &Path) -> io::Result<()> {
    if let Ok(target) = fs::read_link(directory) {
        fs::remove_file(directory)?;
        fs::create_dir(directory)?;
        return link_entries(&target, directory);
    }
    fs::create_dir_all(directory)
}

fn link_entries(from: &Path, into: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        symlink(from.join(&name), into.join(&name))?;
    }
    Ok(())
}

fn show_machine_etc() -> Result<()> {
    let path = Path::new(MACHINE_ETC);
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(path).with_context(|| format!("cannot create {MACHINE_ETC}"))?;
    let none = None::<&str>;
    mount(Some("/etc"), path, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .with_context(|| format!("cannot mount /etc on {MACHINE_ETC}"))
}

/// Fills `/etc` with links to the machine's, and with files of its own that daemons change.
fn create_etc(etc: &Path, resolv_conf: &[u8]) -> io::Result<()> {
    fs::create_dir_all(etc)?;
    link_entries(Path::new(MACHINE_ETC), etc)?;
    let write = |name: &str, content: &[u8]| {
        let path = etc.join(name);
        // Writing through the link would change the machine's file.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(path, content)
    };
    write("resolv.conf", resolv_conf)?;
    write("hostname", b"laptop\n")?;
    write("machine-id", b"0123456789abcdef0123456789abcdef\n")?;
    let machine = |name: &str| fs::read_to_string(Path::new(MACHINE_ETC).join(name));
    write("nsswitch.conf", replace_hosts_line(&machine("nsswitch.conf")?, "files dns").as_bytes())?;
    write("passwd", add_users(&machine("passwd")?, ":x:0:0::/:/usr/sbin/nologin").as_bytes())?;
    write("group", add_users(&machine("group")?, ":x:0:").as_bytes())
}

/// Replaces the lines of the daemons' users.
fn add_users(text: &str, fields: &str) -> String {
    let is_daemon = |line: &&str| line.split(':').next().is_some_and(|user| USERS.contains(&user));
    let others = text.lines().filter(|line| !is_daemon(line)).flat_map(|line| [line, "\n"]);
    others.chain(USERS.iter().flat_map(|user| [*user, fields, "\n"])).collect()
}
