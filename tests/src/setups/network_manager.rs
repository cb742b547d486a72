//! NetworkManager on a host, for the parts that use it: as a resolver, as a DHCP client, as both.

use super::{
    system::{self, Software, private_path},
    wait::retry,
};
use crate::{host::Host, process::Process};
use anyhow::{Context, Result};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// Longest time until it answers.
const READY: Duration = Duration::from_secs(10);
/// The directory of its configuration.
const CONFIGURATION: &str = "/etc/NetworkManager";

/// A running NetworkManager, and the bus if it was started for it.
#[derive(Debug)]
pub(super) struct NetworkManager {
    _daemon: Process,
    _bus: Option<Process>,
}

/// Starts NetworkManager on a host.
///
/// It manages no device until [`activate`] asks it to. `dns` is its plug-in for resolvers:
/// `default` writes `/etc/resolv.conf`.
pub(super) async fn start(host: &Host, dns: &str) -> Result<NetworkManager> {
    system::install(host, &[Software::NetworkManager])?;
    let bus = system::start_bus(host).await?;
    let text = format!(
        "[main]\nplugins=keyfile\ndns={dns}\nrc-manager=symlink\nno-auto-default=*\nauth-polkit=false\n\
         hostname-mode=none\n[device-all]\nmatch-device=*\nmanaged=0\n[logging]\nlevel=INFO\n"
    );
    let directory = private_path(host, CONFIGURATION);
    fs::create_dir_all(directory.join("system-connections"))?;
    fs::write(directory.join("NetworkManager.conf"), text)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let mut command = system::command_without_udev(host, "/usr/sbin/NetworkManager");
    command.arg("--debug");
    let mut daemon = host.start_daemon("network-manager", command)?;
    let answers = retry(READY, || nmcli(host, &["general", "status"])).await;
    daemon.add_log(answers)?;
    Ok(NetworkManager { _daemon: daemon, _bus: bus })
}

/// Makes NetworkManager configure an Ethernet device, with these lines of the section `[ipv4]`.
pub(super) async fn activate(host: &Host, device: &str, ipv4: &str) -> Result<()> {
    let file = format!("{CONFIGURATION}/system-connections/{device}.nmconnection");
    let path = private_path(host, &file);
    let text = format!(
        "[connection]\nid={device}\nuuid=11111111-2222-3333-4444-555555555555\ntype=ethernet\n\
         interface-name={device}\nautoconnect=false\n[ipv4]\n{ipv4}[ipv6]\nmethod=ignore\n"
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    // It ignores profiles that others can read.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    nmcli(host, &["connection", "load", &file]).await?;
    nmcli(host, &["device", "set", device, "managed", "yes"]).await?;
    reactivate(host, device).await
}

/// Activates the profile of a device anew, as when its Wi-Fi reconnects.
pub(super) async fn reactivate(host: &Host, device: &str) -> Result<()> {
    nmcli(host, &["--wait", "20", "connection", "up", device]).await
}

pub(super) async fn nmcli(host: &Host, arguments: &[&str]) -> Result<()> {
    host.output("/usr/bin/nmcli", arguments, "").await.map(drop)
}
