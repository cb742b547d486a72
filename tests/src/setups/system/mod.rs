//! A system of a host's own, for programs that expect one: packages, `/etc`, `/var/lib`, a bus.

mod bus;
mod directories;
mod software;

pub(crate) use bus::start_bus;
pub(crate) use directories::{name_service_order, private_path};
pub(crate) use software::Software;

use crate::host::Host;
use anyhow::Result;
use std::ffi::OsStr;
use tokio::process::Command;

/// Gives a host directories of its own, and installs packages on it.
///
/// Packages of earlier calls stay installed. Only processes started afterwards see the change.
///
/// # Errors
/// Fails if `scripts/setup` has not fetched a package.
pub(crate) fn install(host: &Host, packages: &[Software]) -> Result<()> {
    directories::create(host)?;
    for package in packages {
        directories::copy_configuration(host, &package.directory()?.join("etc"))?;
    }
    software::mount(host, packages)
}

/// Returns a command for a daemon that looks for udev unless `/sys` is read-only.
///
/// Without udev it would wait for ever until a link has been initialised.
pub(crate) fn command_without_udev(host: &Host, program: impl AsRef<OsStr>) -> Command {
    let mut command = host.command("sh");
    // Where this is refused, the machine's own /sys is visible, which is read-only in containers.
    command.args(["-c", "mount -o remount,bind,ro /sys 2>/dev/null; exec \"$0\" \"$@\""]).arg(program);
    command
}
