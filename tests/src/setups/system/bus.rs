//! The system bus of a host.

use super::private_path;
use crate::{host::Host, process::Process, setups::wait::retry};
use anyhow::{Context, Result, ensure};
use std::{fs, time::Duration};

/// Longest time until the bus listens. It takes a few milliseconds on a quiet machine.
const READY: Duration = Duration::from_secs(10);

/// The configuration: everybody, which is one user, may do everything. Debian's own changes the
/// user, and starts services through systemd.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"#;

/// Starts the system bus of a host with [directories of its own](super::install).
///
/// Returns `None` if another part has started it already.
pub(crate) async fn start_bus(host: &Host) -> Result<Option<Process>> {
    let socket = private_path(host, "/run/dbus/system_bus_socket");
    if socket.exists() {
        return Ok(None);
    }
    let path = host.directory().join("bus.conf");
    fs::write(&path, CONFIGURATION).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = host.command("dbus-daemon");
    command.arg(format!("--config-file={}", path.display())).args(["--nofork", "--nopidfile"]);
    let mut process = host.start_daemon("dbus", command)?;
    let listening = retry(READY, || async {
        ensure!(socket.exists(), "the bus has no socket");
        Ok(())
    })
    .await;
    process.add_log(listening)?;
    Ok(Some(process))
}
