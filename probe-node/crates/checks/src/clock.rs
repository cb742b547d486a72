//! The two clocks of the node: the one file that reads them.

#[cfg(target_os = "macos")]
use crate::platform::macos::clock as macos;
#[cfg(target_os = "windows")]
use crate::platform::windows::clock as windows;
use sentinel_model::{Clock, Moment, Monotonic, Timestamp};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The clock every part of a node is given: [`now`] behind the model's type.
pub fn clock() -> Clock {
    Arc::new(now)
}

/// This instant on both clocks. The first counts suspend (`CLOCK_BOOTTIME` and its equals), the second is wall time
/// and is only for people.
pub fn now() -> Moment {
    Moment { boot: boot(), wall: wall() }
}

#[allow(clippy::disallowed_methods)] // this is the clock module
fn wall() -> Timestamp {
    // A clock set before 1970 shows as 1970: it is for display only.
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

/// Elsewhere on Unix `CLOCK_MONOTONIC` is the closest.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "macos"))))]
fn boot() -> Monotonic {
    Monotonic(millis(rustix::time::ClockId::Monotonic))
}

/// Without a boot clock in the standard library, wall time stands in: it counts suspend, and jumps when it is set.
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

/// How long the machine has slept since it booted: the boot clock runs on while asleep, the monotonic one does not.
#[cfg(target_os = "linux")]
pub(crate) fn slept() -> sentinel_model::Millis {
    use rustix::time::ClockId;
    // In this order, so that the time between the two readings never counts as sleep.
    let boot = millis(ClockId::Boottime);
    let awake = millis(ClockId::Monotonic);
    sentinel_model::Millis(boot.saturating_sub(awake))
}

/// How long the machine has slept since it booted.
#[cfg(target_os = "macos")]
pub(crate) fn slept() -> sentinel_model::Millis {
    let boot = macos::since_boot();
    sentinel_model::Millis(boot.0.saturating_sub(macos::awake().0))
}

/// How long the machine has slept since it booted.
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
