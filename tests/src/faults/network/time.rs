//! Faults of the laptop's time: all processes stop for a while, or the wall clock jumps.

use crate::{host::Host, world::World};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Stops every process on the laptop, and continues them after a time.
///
/// Returns at once; the rest of the world keeps running.
pub(crate) fn suspend_laptop(world: &World, for_ms: u64) -> Result<()> {
    let processes = world.laptop()?.list_processes()?;
    ensure!(!processes.is_empty(), "nothing runs on the laptop");
    for process in &processes {
        // A process may just have ended.
        let _ = kill(*process, Signal::SIGSTOP);
    }
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(for_ms)).await;
        for process in processes {
            let _ = kill(process, Signal::SIGCONT);
        }
    });
    Ok(())
}

/// Makes a program read its wall clock through libfaketime, initially without an offset.
///
/// This affects only calls of the C library. Monotonic clocks and file times are not changed.
pub(crate) fn fake_clock(host: &Host, command: &mut Command) -> Result<()> {
    let file = offset_file(host);
    fs::write(&file, format_offset(0)).with_context(|| format!("cannot write {}", file.display()))?;
    command
        .env("LD_PRELOAD", find_library()?)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    Ok(())
}

/// Moves the wall clock of the laptop's node by an offset from its present time.
pub(crate) fn shift_clock(world: &World, by_ms: i64) -> Result<()> {
    ensure!(world.spec.fake_clock, "the clock can only jump in a world with fake_clock = true");
    let file = offset_file(world.laptop()?);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // There are always three digits after the point; without the point the number is milliseconds.
    let before: i64 =
        text.trim().replace('.', "").parse().with_context(|| format!("{text} is not an offset"))?;
    fs::write(&file, format_offset(before + by_ms))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Formats an offset for libfaketime: seconds with a sign.
fn format_offset(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03}\n", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn offset_file(host: &Host) -> PathBuf {
    host.directory().join("faketime")
}

/// Finds libfaketime, which is installed under a directory named after the architecture.
fn find_library() -> Result<PathBuf> {
    let installed = |directory: &Path| directory.join("faketime/libfaketimeMT.so.1");
    let folders = fs::read_dir("/usr/lib").context("cannot read /usr/lib")?;
    let mut candidates = folders.filter_map(|entry| Some(installed(&entry.ok()?.path())));
    candidates.find(|path| path.is_file()).context("libfaketime is not installed (package faketime)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_formatted_with_its_sign() {
        assert_eq!(format_offset(0), "+0.000\n");
        assert_eq!(format_offset(10_800_050), "+10800.050\n");
        assert_eq!(format_offset(-1500), "-1.500\n");
        assert_eq!(format_offset(-50), "-0.050\n");
    }
}
