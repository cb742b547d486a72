//! The only file that reads the system's clocks.

#[cfg(target_os = "macos")]
use crate::platform::macos::clock as macos;
#[cfg(target_os = "windows")]
use crate::platform::windows::clock as windows;
use sentinel_model::{Clock, Moment, Monotonic, Timestamp};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Returns the clock that is handed to every part of a node: [`now`] as the model's type.
pub fn clock() -> Clock {
    Arc::new(now)
}

/// Returns the current time on both clocks.
///
/// `boot` includes time spent suspended (`CLOCK_BOOTTIME` and its equivalents). `wall` is for
/// display only.
pub fn now() -> Moment {
    Moment { boot: boot(), wall: wall() }
}

#[allow(clippy::disallowed_methods)] // this is the clock module
fn wall() -> Timestamp {
    // A clock set before 1970 shows as 1970, which is good enough for display.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(target_os = "linux")]
fn boot() -> Monotonic {
    Monotonic(millis(rustix::time::ClockId::Boottime))
}

#[cfg(target_os = "macos")]
fn boot() -> Monotonic {
    Monotonic(macos::since_boot().0)
}

#[cfg(target_os = "windows")]
fn boot() -> Monotonic {
    Monotonic(windows::since_boot().0)
}

/// Other Unix systems: `CLOCK_MONOTONIC` is the closest equivalent.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "macos"))))]
fn boot() -> Monotonic {
    Monotonic(millis(rustix::time::ClockId::Monotonic))
}

/// Other systems: wall time, which includes suspend but jumps when the clock is set.
#[cfg(not(any(unix, target_os = "windows")))]
fn boot() -> Monotonic {
    Monotonic(u64::try_from(wall().0).unwrap_or(0))
}

#[cfg(all(unix, not(target_os = "macos")))]
fn millis(id: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// Returns how long the machine has slept since it booted.
///
/// The boot clock keeps running during sleep; the monotonic clock does not.
#[cfg(target_os = "linux")]
pub(crate) fn slept() -> sentinel_model::Millis {
    use rustix::time::ClockId;
    // Read in this order so that the time between the two readings never counts as sleep.
    let boot = millis(ClockId::Boottime);
    let awake = millis(ClockId::Monotonic);
    sentinel_model::Millis(boot.saturating_sub(awake))
}

/// Returns how long the machine has slept since it booted.
#[cfg(target_os = "macos")]
pub(crate) fn slept() -> sentinel_model::Millis {
    let boot = macos::since_boot();
    sentinel_model::Millis(boot.0.saturating_sub(macos::awake().0))
}

/// Returns how long the machine has slept since it booted.
#[cfg(target_os = "windows")]
pub(crate) fn slept() -> sentinel_model::Millis {
    let boot = windows::since_boot();
    sentinel_model::Millis(boot.0.saturating_sub(windows::awake().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance() {
        let before = now();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let after = now();
        assert!(after.boot.since(before.boot).0 >= 4);
        assert!(after.wall >= before.wall);
        assert!(after.wall.0 > 1_600_000_000_000, "wall time is in milliseconds since 1970");
    }
}
