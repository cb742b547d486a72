//! macOS's two raw clocks: one runs on while the machine sleeps (`mach_continuous_time`), the other does not
//! (`mach_absolute_time`). Setting the time moves neither.

use nix::{
    libc::{CLOCK_MONOTONIC_RAW, CLOCK_UPTIME_RAW},
    time::ClockId,
};
use sentinel_model::Millis;

/// Since the machine started, sleep included.
pub(crate) fn since_boot() -> Millis {
    millis(ClockId::from_raw(CLOCK_MONOTONIC_RAW))
}

/// Since the machine started, sleep left out.
pub(crate) fn awake() -> Millis {
    millis(ClockId::from_raw(CLOCK_UPTIME_RAW))
}

/// Both exist since macOS 10.12, so that reading them does not fail.
fn millis(clock: ClockId) -> Millis {
    let time = clock.now().map(std::time::Duration::from).unwrap_or_default();
    Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
