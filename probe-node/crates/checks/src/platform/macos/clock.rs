//! The two raw clocks of macOS, which are unaffected when the time is set.
//!
//! One continues while the machine sleeps (`mach_continuous_time`), the other does not
//! (`mach_absolute_time`).

use nix::{
    libc::{CLOCK_MONOTONIC_RAW, CLOCK_UPTIME_RAW},
    time::ClockId,
};
use sentinel_model::Millis;

/// Returns the time since the machine booted, including sleep.
pub(crate) fn since_boot() -> Millis {
    read_millis(ClockId::from_raw(CLOCK_MONOTONIC_RAW))
}

/// Returns the time since the machine booted, excluding sleep.
pub(crate) fn awake() -> Millis {
    read_millis(ClockId::from_raw(CLOCK_UPTIME_RAW))
}

/// Reads a clock. Both clocks exist since macOS 10.12, so this does not fail.
fn read_millis(clock: ClockId) -> Millis {
    let time = clock.now().map(std::time::Duration::from).unwrap_or_default();
    Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
