//! What happens to the laptop's time: everything stands still for a while, or the wall clock jumps.

use crate::{host::Host, world::World};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Every process on the laptop is stopped now and goes on later; the world goes on meanwhile.
pub(crate) fn suspended(world: &World, for_ms: u64) -> Result<()> {
    let processes = world.laptop()?.processes()?;
    ensure!(!processes.is_empty(), "nothing runs on the laptop");
    for process in &processes {
        // What has just ended stands still too.
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

/// Has a program read its wall clock through libfaketime, at first the right one. Only what goes through the C library
/// is touched; monotonic clocks and file times stay as they are.
pub(crate) fn fake_clock(host: &Host, command: &mut Command) -> Result<()> {
    let file = offset_file(host);
    fs::write(&file, offset(0)).with_context(|| format!("cannot write {}", file.display()))?;
    command
        .env("LD_PRELOAD", library()?)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    Ok(())
}

/// By so much from where it is now.
pub(crate) fn clock_jumped(world: &World, by_ms: i64) -> Result<()> {
    ensure!(world.spec.fake_clock, "the clock can only jump in a world with fake_clock = true");
    let file = offset_file(world.laptop()?);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // Always three digits after the point, so that without it they are milliseconds.
    let before: i64 = text.trim().replace('.', "").parse().with_context(|| format!("{text} is no offset"))?;
    fs::write(&file, offset(before + by_ms)).with_context(|| format!("cannot write {}", file.display()))
}

/// As libfaketime reads it: seconds with a sign.
fn offset(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03}\n", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn offset_file(host: &Host) -> PathBuf {
    host.directory().join("faketime")
}

fn library() -> Result<PathBuf> {
    let installed = |directory: &Path| directory.join("faketime/libfaketimeMT.so.1");
    let folders = fs::read_dir("/usr/lib").context("cannot read /usr/lib")?;
    let mut candidates = folders.filter_map(|entry| Some(installed(&entry.ok()?.path())));
    candidates.find(|path| path.is_file()).context("libfaketime is not installed (package faketime)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_written_with_its_sign() {
        assert_eq!(offset(0), "+0.000\n");
        assert_eq!(offset(10_800_050), "+10800.050\n");
        assert_eq!(offset(-1500), "-1.500\n");
        assert_eq!(offset(-50), "-0.050\n");
    }
}
